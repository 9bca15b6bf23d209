package view

import (
	"maps"
	"slices"
)

// Items adds up the features of items over users: of those that are named, or of the first n behind a key. Memory: that of the named, or
// of 2n items, however many there are.
type Items struct {
	only        map[string]bool // nil for all
	after, last string          // items at or before after are not wanted, nor are those behind last unless it is empty
	n           int
	more        bool
	of          map[string]*Item
}

// NamedItems returns Items for some items.
func NamedItems(items []string) *Items {
	s := &Items{only: make(map[string]bool, len(items)), of: map[string]*Item{}}
	for _, item := range items {
		s.only[item] = true
	}
	return s
}

// FirstItems returns Items for the first n items behind a key, n at least 1; empty begins with the first of all.
func FirstItems(after string, n int) *Items {
	return &Items{after: after, n: n, of: map[string]*Item{}}
}

// Wants reports whether an item may be among the result. What it does not want need not be added, but for the knowledge that there is more.
func (s *Items) Wants(item string) bool {
	if s.only != nil {
		return s.only[item]
	}
	if item <= s.after {
		return false
	}
	if s.last != "" && item > s.last {
		s.more = true
		return false
	}
	return true
}

// Add adds what some users say of an item. It keeps x.
func (s *Items) Add(item string, x *Item) {
	if !s.Wants(item) {
		return
	}
	if old := s.of[item]; old != nil {
		old.Add(x)
		return
	}
	s.of[item] = x
	if s.only == nil && len(s.of) > 2*s.n {
		s.shrink()
	}
}

// Until leaves out all items behind one: somebody who was asked has more there.
func (s *Items) Until(item string) {
	if s.last == "" || item < s.last {
		s.last = item
		maps.DeleteFunc(s.of, func(key string, _ *Item) bool { return key > item })
	}
	s.more = true
}

// shrink keeps the first n.
func (s *Items) shrink() {
	if len(s.of) > s.n {
		s.Until(slices.Sorted(maps.Keys(s.of))[s.n-1])
	}
}

// Sorted returns the items, ascending, and whether there are more behind the last one. The caller may change nothing.
func (s *Items) Sorted() (items []string, more bool) {
	if s.only == nil {
		s.shrink()
	}
	return slices.Sorted(maps.Keys(s.of)), s.more
}

// Item returns the features of one of Sorted.
func (s *Items) Item(item string) *Item { return s.of[item] }
