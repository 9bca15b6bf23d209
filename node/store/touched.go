package store

import (
	"iter"
	"slices"
	"sync"
)

// keptTouched is how many users whose events have changed a store remembers, in memory: with keys of usual length they take some 80 bytes each, 5 MiB. Where
// more have changed, all events are read.
const keptTouched = 1 << 16

// touched are the users whose events have changed. All whom commands behind floor have changed are there.
type touched struct {
	most int

	mu    sync.Mutex // guards what follows
	floor uint64
	last  map[string]uint64 // index of the last command that changed the user
}

// add notes the users that the command at an index changes. If they are too many it begins anew behind that.
func (t *touched) add(index uint64, users iter.Seq[string]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for user := range users {
		if _, met := t.last[user]; !met && len(t.last) >= t.most {
			t.last, t.floor = nil, index
			return
		}
		if t.last == nil {
			t.last = map[string]uint64{}
		}
		t.last[user] = index
	}
}

// behind returns the users that have changed behind an index, in any order, and forgets the others. known is false if some may be missing.
func (t *touched) behind(after uint64) (users []string, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if after < t.floor {
		return nil, false
	}
	for user, index := range t.last {
		if index > after {
			users = append(users, user)
		}
	}
	if after > t.floor {
		left := make(map[string]uint64, len(users)) // a map that was large stays so
		for _, user := range users {
			left[user] = t.last[user]
		}
		t.last, t.floor = left, after
	}
	return users, true
}

// Changed returns the users, ascending, of whom commands behind the index after, up to cut, may have changed what Scan up to a cut gives: all for whom Scan up to cut
// gives other events than Scan up to after did when that was applied, and perhaps others, also ones that have changed behind cut. known is false if some may be missing: the
// store was opened at, or restored to, an index behind after; it was asked for changes behind a later index before, as those up to it are forgotten then; more
// than 65,536 users have changed; or cut is before after. The error matches ErrBehind if cut is not applied yet. Cost: a pass over the users that
// are remembered, which holds up Apply, and sorting those that are returned.
func (s *Store) Changed(after, cut uint64) (users []string, known bool, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, false, err
	}
	defer s.release(d)
	m, err := d.state() // before the users are looked at: those that it stands for have been noted
	if err != nil {
		return nil, false, err
	}
	if err := m.reached(cut); err != nil {
		return nil, false, err
	}
	if cut < after {
		return nil, false, nil
	}
	users, known = d.touched.behind(after)
	slices.Sort(users)
	return users, known, nil
}
