package similarity

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sealed returns data with the checksum that fits, so that damage behind it is reached.
func sealed(data []byte) []byte {
	if len(data) < sumBytes {
		return data
	}
	return appendSum(slices.Clone(data[:len(data)-sumBytes]), 0)
}

func TestDamagedListsAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := Build(t.Context(), drawRows(t), drawOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		data := AppendLists(nil, l)
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := DecodeLists(data); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: got %v, error %v, want ErrCorrupt", at, got, err)
		}
		if _, err := DecodeLists(data[:at]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: error %v, want ErrCorrupt", at, err)
		}
	})
}

func FuzzDecodeLists(f *testing.F) {
	f.Add(AppendLists(nil, &Lists{Start: make([]int64, 1)}))
	f.Add(AppendLists(nil, &Lists{Lo: 7, Start: []int64{0, 2, 2, 3}, Entries: []Neighbor{{9, 1}, {2, -0.5}, {1 << 31, 0.25}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := DecodeLists(sealed(data))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v, want ErrCorrupt", err)
			}
			return
		}
		if err := l.validate(); err != nil {
			t.Fatal(err)
		}
		again, err := DecodeLists(AppendLists(nil, l))
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(l, again, equateEmpty); diff != "" {
			t.Fatalf("lists change on their way (-before +after):\n%s", diff)
		}
	})
}

func FuzzNewBlock(f *testing.F) {
	for _, weights := range [][]float32{nil, {1, 2.5, -1, 3}, {2, 2, 0.5, 2}} {
		r := &Rows{NumItems: 9, Start: []int64{0, 2, 2, 4}, Item: []uint32{1, 8, 0, 4}, Weight: weights}
		f.Add(AppendPart(nil, r, 5, 0, 9))
		f.Add(AppendPart(nil, r, 0, 1, 5))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = sealed(data)
		p, err := openPart(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v, want ErrCorrupt", err)
			}
			return
		}
		users := p.firstUser + p.users
		if users > 1<<16 || p.hi > 1<<16 {
			return // the caller says how many users there are, and memory goes by it
		}
		b, err := NewBlock(p.lo, p.hi, users, [][]byte{data})
		s, sideErr := NewSide(p.lo, []uint32{p.hi}, users, [][][]byte{{data}}, Options{Measure: Cosine})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || !errors.Is(sideErr, ErrCorrupt) {
				t.Fatalf("errors %v and %v, want ErrCorrupt", err, sideErr)
			}
			return
		}
		if sideErr != nil {
			t.Fatalf("a block is made of the part, but no side: %v", sideErr)
		}
		sideEntries := 0
		for _, at := range s.at {
			sideEntries += int(s.words[at])
		}
		if sideEntries != len(b.user) {
			t.Fatalf("the side has %d entries, the block %d", sideEntries, len(b.user))
		}
		// The block as rows gives the same part, up to longer forms of its numbers.
		items := &Rows{NumItems: int(users), Item: b.user, Weight: b.weight}
		for range p.lo {
			items.Start = append(items.Start, 0)
		}
		for _, start := range b.start {
			items.Start = append(items.Start, int64(start))
		}
		r := items.Transpose()
		shape := *r
		shape.Weight = nil // weights that were weighed may be smaller than Validate wants them
		if err := shape.Validate(); err != nil {
			t.Fatal(err)
		}
		part := AppendPart(nil, r, 0, p.lo, p.hi)
		again, err := NewBlock(p.lo, p.hi, users, [][]byte{part})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(b.start, again.start) || !slices.Equal(b.user, again.user) {
			t.Fatalf("block changes on its way: %v to %v", b, again)
		}
		if _, err := NewSide(p.lo, []uint32{p.hi}, users, [][][]byte{{part}}, Options{Measure: Cosine}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDamagedPartsAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRows(t)
		data := AppendPart(nil, r, 0, 0, uint32(r.NumItems))
		if !bytes.Equal(data, sealed(data)) {
			t.Fatalf("checksum of %x", data)
		}
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := NewBlock(0, uint32(r.NumItems), uint32(r.NumUsers()), [][]byte{data}); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: error %v, want ErrCorrupt", at, err)
		}
	})
}
