// Package shelf keeps in memory what filters look at of all products: the values of their attributes, by key. A node holds one for the whole
// cluster, so that each candidate of an answer is tested where the answer is made.
package shelf

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/kith-io/kith/catalog"
)

// MaxTextBytes is the longest text that is held. A longer one, such as a description, equals nothing that a filter names.
const MaxTextBytes = 256

// What a Shelf takes beside texts, as it counts it: measured on Go maps and slices, rounded up.
const (
	// productBytes is a place in the map and in the list, beside the key.
	productBytes = 128
	// cellBytes is a value.
	cellBytes = 16
	// textBytes is a text that some product has, beside its bytes; products that share it share this.
	textBytes = 112
)

// Shelf holds the products. It is safe for concurrent use: many read it at a time, and Put waits for them.
//
// Memory: 128 bytes and the key for each product, deleted ones included; 16 bytes for each value, of a list each of its texts; and 112 bytes
// and the text for each distinct text.
type Shelf struct {
	limit int64

	mu    sync.RWMutex // guards what follows
	slots map[string]uint32
	rows  []row
	names interner
	texts interner
	// there are the products that are not deleted, and omitted those whose values did not fit.
	there, omitted int
	bytes          int64
}

// row is a product. Its cells are replaced as a whole.
type row struct {
	key   string
	cells []cell // by name
	// there: it has a record that is not deleted. omitted: its values did not fit.
	there, omitted bool
}

// cell is a value, or one text of a list.
type cell struct {
	name uint32 // number of the attribute's name
	token
}

// token is a value by which values are compared.
type token struct {
	kind catalog.Type // Texts have Text
	// bits are the number of a text, the bits of a number, 0 or 1, or milliseconds.
	bits uint64
}

// New returns an empty Shelf that takes up to limit bytes.
func New(limit int64) *Shelf {
	return &Shelf{limit: limit, slots: map[string]uint32{}, names: newInterner(), texts: newInterner()}
}

// Put replaces what is known of a product, also by its being deleted. r must pass Check; its texts are kept. When the limit is reached,
// the product counts as one without a record, until it is put again and there is room (see Omitted).
func (s *Shelf) Put(r *catalog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot, known := s.slots[r.Key]
	if !known {
		slot = uint32(len(s.rows))
		s.slots[r.Key] = slot
		s.rows = append(s.rows, row{key: r.Key})
		s.bytes += productBytes + int64(len(r.Key))
	}
	x := &s.rows[slot]
	s.empty(x)
	if r.Deleted {
		return
	}
	x.cells = s.cells(r)
	if s.size() > s.limit {
		s.empty(x)
		x.omitted = true
		s.omitted++
		return
	}
	x.there = true
	s.there++
}

// empty takes away what a product has.
func (s *Shelf) empty(x *row) {
	for _, c := range x.cells {
		s.names.drop(c.name)
		if c.kind == catalog.Text {
			s.texts.drop(uint32(c.bits))
		}
	}
	s.bytes -= cellBytes * int64(len(x.cells))
	if x.there {
		s.there--
	}
	if x.omitted {
		s.omitted--
	}
	x.cells, x.there, x.omitted = nil, false, false
}

// cells returns the values of a record, by name.
func (s *Shelf) cells(r *catalog.Record) []cell {
	n := 0
	for i := range r.Attributes {
		n += max(1, len(r.Attributes[i].Value.Texts))
	}
	cells := make([]cell, 0, n)
	for i := range r.Attributes {
		v := &r.Attributes[i].Value
		add := func(t token) { cells = append(cells, cell{s.names.take(r.Attributes[i].Name), t}) }
		switch v.Type {
		case catalog.Text:
			if len(v.Text) <= MaxTextBytes {
				add(token{catalog.Text, uint64(s.texts.take(v.Text))})
			}
		case catalog.Texts:
			for _, text := range v.Texts {
				if len(text) <= MaxTextBytes {
					add(token{catalog.Text, uint64(s.texts.take(text))})
				}
			}
		case catalog.Number:
			add(number(v.Number))
		case catalog.Bool:
			add(truth(v.Bool))
		case catalog.Time:
			add(token{catalog.Time, uint64(v.Millis)})
		}
	}
	s.bytes += cellBytes * int64(len(cells))
	slices.SortStableFunc(cells, func(a, b cell) int { return cmp.Compare(a.name, b.name) }) // the order of texts stays
	return cells
}

func number(x float64) token { return token{catalog.Number, math.Float64bits(x + 0)} } // minus zero is zero

func truth(x bool) token {
	if x {
		return token{catalog.Bool, 1}
	}
	return token{catalog.Bool, 0}
}

// size returns the bytes that are held.
func (s *Shelf) size() int64 { return s.bytes + s.names.bytes + s.texts.bytes }

// Bytes returns about how much memory is held.
func (s *Shelf) Bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.size()
}

// View calls fn with the products as they are at one moment. Put waits until fn has returned, so it must not block.
func (s *Shelf) View(fn func(v *View)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fn(&View{s})
}

// View is a Shelf that does not change. It must not be kept.
type View struct{ shelf *Shelf }

// None stands for a product that is not on the shelf.
const None = -1

// Products returns the number of products that have a record.
func (v *View) Products() int { return v.shelf.there }

// Omitted returns the number of products whose values did not fit.
func (v *View) Omitted() int { return v.shelf.omitted }

// Find returns the slot of a product, or None. Cost: a lookup without allocation.
func (v *View) Find(key []byte) int {
	if slot, ok := v.shelf.slots[string(key)]; ok {
		return int(slot)
	}
	return None
}

// Slots returns the number of slots. They are from 0, and a product keeps its own for ever.
func (v *View) Slots() int { return len(v.shelf.rows) }

// Each calls fn for each product that has a record among n slots, or fewer at the end.
func (v *View) Each(from, n int, fn func(slot int, key string)) {
	for i := from; i < min(from+n, len(v.shelf.rows)); i++ {
		if x := &v.shelf.rows[i]; x.there {
			fn(i, x.key)
		}
	}
}

// cells returns the values of a slot.
func (v *View) cells(slot int) []cell {
	if slot == None {
		return nil
	}
	return v.shelf.rows[slot].cells
}

// Name is the name of an attribute as a View knows it.
type Name struct {
	id    uint32
	known bool
}

// Known reports whether some product has, or had, the attribute.
func (n Name) Known() bool { return n.known }

// Name returns the attribute of a name.
func (v *View) Name(name string) Name {
	id, ok := v.shelf.names.find(name)
	return Name{id, ok}
}

// Group returns a number that products share whose attribute has the same text, of a list the same first one, and 0 for those that have none.
func (v *View) Group(slot int, name Name) uint32 {
	for _, c := range ofName(v.cells(slot), name) {
		if c.kind == catalog.Text {
			return uint32(c.bits) + 1
		}
	}
	return 0
}

// Text returns the text of an attribute, of a list the first, and whether there is one.
func (v *View) Text(slot int, name Name) (string, bool) {
	if group := v.Group(slot, name); group != 0 {
		return v.shelf.texts.entries[group-1].text, true
	}
	return "", false
}

// Time returns the moment of an attribute in Unix milliseconds, and whether there is one.
func (v *View) Time(slot int, name Name) (int64, bool) {
	for _, c := range ofName(v.cells(slot), name) {
		if c.kind == catalog.Time {
			return int64(c.bits), true
		}
	}
	return 0, false
}

// ofName returns the cells of a name.
func ofName(cells []cell, name Name) []cell {
	if !name.known {
		return nil
	}
	from, to := 0, len(cells)
	for from < to {
		if mid := (from + to) / 2; cells[mid].name < name.id {
			from = mid + 1
		} else {
			to = mid
		}
	}
	for to < len(cells) && cells[to].name == name.id {
		to++
	}
	return cells[from:to]
}
