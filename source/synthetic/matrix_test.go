package synthetic

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
)

func drawMatrix(t *testing.T, kind string, scale float64, seed uint64) *Matrix {
	t.Helper()
	m, err := DrawMatrix(t.Context(), kind, scale, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatrixIsSound(t *testing.T) {
	for kind, size := range map[string]struct {
		scale                 float64
		users, items, entries int
	}{
		"movies": {0.0205, 2829, 553, 389_500}, // as dense as may be
		"shop":   {0.01, 10_000, 5_000, 200_000},
		"small":  {0.1, 1_000, 500, 20_000},
	} {
		m := drawMatrix(t, kind, size.scale, 1)
		users := len(m.Start) - 1
		if len(m.Item) != size.entries || len(m.Weight) != size.entries || m.Start[0] != 0 || m.Start[users] != int64(size.entries) {
			t.Errorf("%s: %d items and %d weights from %d to %d, want %d", kind, len(m.Item), len(m.Weight), m.Start[0], m.Start[users], size.entries)
		}
		if users > size.users || users < size.users*8/10 || m.NumItems > size.items || m.NumItems < size.items*9/10 {
			t.Errorf("%s: %d users and %d items, want about %d and %d", kind, users, m.NumItems, size.users, size.items)
		}
		popularity := make([]int, m.NumItems)
		for u := range users {
			row := m.Item[m.Start[u]:m.Start[u+1]]
			for n, i := range row {
				if n > 0 && i <= row[n-1] {
					t.Fatalf("%s: row of user %d does not ascend: %v", kind, u, row)
				}
				popularity[i]++
			}
			if len(row) == 0 {
				t.Errorf("%s: user %d has no entry", kind, u)
			}
		}
		if slices.Contains(popularity, 0) {
			t.Errorf("%s: an item has no entry", kind)
		}
		slices.Sort(popularity)
		if median, top := popularity[m.NumItems/2], popularity[m.NumItems-1]; top < 2*median {
			t.Errorf("%s: the most popular item has %d users and the median %d, want a head", kind, top, median)
		}
		for _, w := range m.Weight {
			if w < 1 || w != float32(int(w)) || kind == "movies" && w > 10 {
				t.Fatalf("%s: weight %v", kind, w)
			}
		}
	}
}

func TestMatrixFollowsTheSeed(t *testing.T) {
	same := func(a, b *Matrix) bool { // reflect takes far longer
		return a.NumItems == b.NumItems && slices.Equal(a.Start, b.Start) && slices.Equal(a.Item, b.Item) && slices.Equal(a.Weight, b.Weight)
	}
	for _, kind := range MatrixKinds() {
		if testing.Short() && kind != "small" {
			continue
		}
		first := drawMatrix(t, kind, 0.025, 7)
		if !same(first, drawMatrix(t, kind, 0.025, 7)) {
			t.Errorf("%s: the same seed gave another matrix", kind)
		}
		if same(first, drawMatrix(t, kind, 0.025, 8)) {
			t.Errorf("%s: another seed gave the same matrix", kind)
		}
	}
}

// TestMatrixStays holds a matrix as it is, so that figures of today can be compared with those of later.
func TestMatrixStays(t *testing.T) {
	const want = 0xd824892c405c4766
	m := drawMatrix(t, "small", 0.1, 1)
	h := fnv.New64a()
	for _, part := range []any{m.Start, m.Item, m.Weight} {
		if err := binary.Write(h, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.Sum64(); got != want {
		t.Errorf("hash %#x, want %#x", got, uint64(want))
	}
}

func TestMatrixErrors(t *testing.T) {
	for _, c := range []struct {
		kind  string
		scale float64
		want  string
	}{
		{"books", 1, "movies shop small"},
		{"movies", 0.02, "0.0204 to 100"},
		{"shop", 101, "to 100"},
	} {
		if _, err := DrawMatrix(t.Context(), c.kind, c.scale, 1); !errors.Is(err, ErrMatrix) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s at %v: %v, want ErrMatrix with %q", c.kind, c.scale, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := DrawMatrix(ctx, "small", 1, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
