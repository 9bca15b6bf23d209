package rules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
)

// ErrCorrupt is matched by the error of a file that is not a whole model.
var ErrCorrupt = errors.New("corrupt file of rules")

// The file has, little-endian:
//
//	8   magic "kithrule"
//	4   version, 1
//	4   1 if the score is the most confidence, else 0
//	8   items, then users, transactions, itemsets, rules, and items of all left sides: 8 each
//	    for each item: transactions with it on the left, and on the right; users: 4 each
//	    for each rule: item on the right, end of the left side among those of all, transactions with the left side, and with both: 4 each
//	    items of the left sides, ascending within each: 4 each
const (
	magic    = "kithrule"
	version  = 1
	flagMost = 1
)

// file is what a file has.
type file struct {
	users, transactions, itemsets uint64
	most                          bool
	left, right, owners           []uint32 // by item
	rules                         []Rule
}

func (f *file) encode() []byte {
	var flags uint32
	if f.most {
		flags |= flagMost
	}
	var rows, antecedents []uint32
	for _, r := range f.rules {
		antecedents = append(antecedents, r.Antecedent...)
		rows = append(rows, r.Consequent, uint32(len(antecedents)), r.AntecedentCount, r.Count)
	}
	out := model.Append([]byte(magic), version, flags)
	out = model.Append(out, uint64(len(f.left)), f.users, f.transactions, f.itemsets, uint64(len(f.rules)), uint64(len(antecedents)))
	for _, x := range [][]uint32{f.left, f.right, f.owners, rows, antecedents} {
		out = model.Append(out, x...)
	}
	return out
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Read makes a model of a file, which it refers to. It returns an error matching ErrCorrupt for anything but a whole one. Cost and memory: 16 bytes for
// each item, 8 for each rule and 4 for each item of a left side.
func Read(b []byte) (*Model, error) {
	r := model.NewReader(b)
	r.Magic(magic)
	r.Version(version)
	flags, items, users, transactions, itemsets, rules, antecedents := r.Uint32(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()
	if flags > flagMost || users > math.MaxInt32 || transactions > math.MaxUint32 {
		r.Fail("flags %d, %d users and %d transactions", flags, users, transactions)
	}
	m := &Model{users: int(users), transactions: transactions, itemsets: itemsets, most: flags&flagMost != 0}
	m.left, m.right = r.Take(items, 4), r.Take(items, 4)
	owners := r.Take(items, 4)
	m.rows, m.antecedents = r.Take(rules, 16), r.Take(antecedents, 4)
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	counts := make([]int64, items)
	for i := range counts {
		counts[i] = int64(word(owners, i))
	}
	m.popular = popularity.Order(counts)
	if err := m.check(); err != nil {
		return nil, err
	}
	m.index()
	return m, nil
}

// check reports the first rule that cannot be.
func (m *Model) check() error {
	items := uint32(m.Items())
	for id := range items {
		if l, r := word(m.left, int(id)), word(m.right, int(id)); uint64(max(l, r)) > m.transactions {
			return corrupt("item %d is in %d transactions of %d", id, max(l, r), m.transactions)
		}
	}
	begin := uint32(0)
	for i := range m.Len() {
		consequent, end, left, both := word(m.rows, 4*i), word(m.rows, 4*i+1), word(m.rows, 4*i+2), word(m.rows, 4*i+3)
		if end <= begin || int64(end) > int64(len(m.antecedents)/4) || consequent >= items {
			return corrupt("rule %d has its left side from %d to %d, and item %d", i, begin, end, consequent)
		}
		if both == 0 || both > left || uint64(left) > m.transactions || both > word(m.right, int(consequent)) {
			return corrupt("rule %d is in %d transactions, its left side in %d", i, both, left)
		}
		for k := begin; k < end; k++ {
			id := word(m.antecedents, int(k))
			if id >= items || k > begin && id <= word(m.antecedents, int(k)-1) || id == consequent {
				return corrupt("rule %d has item %d on the left", i, id)
			}
		}
		begin = end
	}
	if int(begin) != len(m.antecedents)/4 {
		return corrupt("%d items on the left, of which rules have %d", len(m.antecedents)/4, begin)
	}
	return nil
}

// word returns the number at place i.
func word(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
