package synthetic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrMatrix means that there is no such matrix; the error that wraps it says what there is.
var ErrMatrix = errors.New("bad matrix")

// Matrix is a matrix of users and items without a structure of tastes, for measuring speed: one entry for each
// interaction, in compressed sparse rows. Every user and every item has an entry.
type Matrix struct {
	// NumItems is the number of columns.
	NumItems int
	// Start has one element more than there are users: the entries of user u are those from Start[u] to Start[u+1].
	Start []int64
	// Item holds the item of each entry, ascending and unique within a user.
	Item []uint32
	// Weight holds the weight of each entry, a whole number from 1, so that sums of products are exact.
	Weight []float32
}

// MatrixLaw says how users and items of a matrix differ: the popularity of the item of rank r, from 1, is in proportion to
// (r+Head)^-Zipf, and the logarithm of the activity of a user is normal with the deviation Activity. An entry is drawn by the
// product of both, and drawn twice it is one.
type MatrixLaw struct{ Zipf, Head, Activity float64 }

// matrixKind is a size with the laws behind it.
type matrixKind struct {
	name                  string
	users, items, entries float64
	law                   MatrixLaw
	weight                func(r *random) float32
}

// matrixKinds returns the kinds. Movies and shop are those of scripts/bench/matrix.py, with ratings counted in half stars
// instead of stars.
func matrixKinds() []matrixKind {
	return []matrixKind{
		{"movies", 138_000, 27_000, 19_000_000, MatrixLaw{1.25, 150, 1}, halfStars()},
		{"shop", 1_000_000, 500_000, 20_000_000, MatrixLaw{0.85, 50, 1.1}, repeats},
		{"small", 10_000, 5_000, 200_000, MatrixLaw{0.85, 50, 1.1}, repeats},
	}
}

// MatrixKinds returns the names of the kinds that DrawMatrix makes.
func MatrixKinds() []string {
	var names []string
	for _, k := range matrixKinds() {
		names = append(names, k.name)
	}
	return names
}

// halfStars draws a rating of 1 to 10 half stars, distributed about as in MovieLens.
func halfStars() func(*random) float32 {
	share := newAlias([]float64{1, 3, 1, 7, 5, 20, 12, 28, 8, 15})
	return func(r *random) float32 { return float32(1 + share.draw(r)) }
}

// repeats draws a number of purchases: one, and with probability 0.4 each time one more.
func repeats(r *random) float32 {
	n := float32(1)
	for r.float() < 0.4 {
		n++
	}
	return n
}

// Bounds of a matrix.
const (
	maxScale = 100
	// maxDensity is the largest share of pairs that have an entry: with more, the draws that hit none are too many.
	maxDensity = 0.25
)

// DrawMatrix makes a matrix of a kind, its users, items and entries multiplied by scale; users and items that get no
// entry are left out. Entries are drawn by the activity of the user times the popularity of the item until enough
// pairs are distinct. Neither follows from the number of a user or an item. Equal arguments give equal matrices on any machine.
//
// The error is that of ctx, or matches ErrMatrix. Memory: about 11 bytes an entry while it draws, and then 8 more.
func DrawMatrix(ctx context.Context, kind string, scale float64, seed uint64) (*Matrix, error) {
	k, err := matrixKindOf(kind)
	if err != nil {
		return nil, err
	}
	least := math.Ceil(1e4*k.entries/(maxDensity*k.users*k.items)) / 1e4
	if !(scale >= least && scale <= maxScale) {
		return nil, fmt.Errorf("%w: scale of %s is %v; want %v to %v", ErrMatrix, kind, scale, least, maxScale)
	}
	return k.drawMatrix(ctx, int(k.users*scale), int(k.items*scale), int(k.entries*scale), seed)
}

// DrawSized is DrawMatrix with numbers of its own. They must be above zero, and the entries at most a quarter of all pairs.
func DrawSized(ctx context.Context, kind string, users, items, entries int, seed uint64) (*Matrix, error) {
	k, err := matrixKindOf(kind)
	if err != nil {
		return nil, err
	}
	if most := maxDensity * float64(users) * float64(items); users < 1 || items < 1 || entries < 1 || float64(entries) > most {
		return nil, fmt.Errorf("%w: %d users, %d items and %d entries; want 1 or more, and at most %.0f entries", ErrMatrix, users, items, entries, most)
	}
	return k.drawMatrix(ctx, users, items, entries, seed)
}

// LawOf returns the law of a kind. The error matches ErrMatrix.
func LawOf(kind string) (MatrixLaw, error) {
	k, err := matrixKindOf(kind)
	return k.law, err
}

func matrixKindOf(kind string) (matrixKind, error) {
	kinds := matrixKinds()
	at := slices.IndexFunc(kinds, func(k matrixKind) bool { return k.name == kind })
	if at < 0 {
		return matrixKind{}, fmt.Errorf("%w: kind %q; want one of %v", ErrMatrix, kind, MatrixKinds())
	}
	return kinds[at], nil
}

func (k *matrixKind) drawMatrix(ctx context.Context, users, items, entries int, seed uint64) (*Matrix, error) {
	r := newRandom(seed, domainMatrix, 0)
	pairs, err := k.pairs(ctx, users, items, entries, seed, &r)
	if err != nil {
		return nil, err
	}
	return matrixOf(pairs, func() float32 { return k.weight(&r) }), nil
}

// pairs draws the distinct pairs of a matrix, ascending: the user in the high half, the item in the low.
func (k *matrixKind) pairs(ctx context.Context, numUsers, numItems, want int, seed uint64, r *random) ([]uint64, error) {
	activity := make([]float64, numUsers)
	for u := range activity {
		activity[u] = exponentialOf(mul(k.law.Activity, r.normal()))
	}
	popularity := make([]float64, numItems)
	number := newPermutation(seed, domainMatrix, 1, len(popularity))
	for rank := range popularity {
		popularity[number.apply(rank)] = power(float64(rank+1)+k.law.Head, -k.law.Zipf)
	}
	users, items := newAlias(activity), newAlias(popularity)
	pairs := make([]uint64, 0, want+want*3/10+1000)
	for len(pairs) < want {
		for n := range (want-len(pairs))*13/10 + 1000 { // a few more, as some are drawn twice
			if n%(1<<20) == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			pairs = append(pairs, uint64(users.draw(r))<<32|uint64(items.draw(r)))
		}
		slices.Sort(pairs)
		pairs = slices.Compact(pairs)
	}
	kept := pairs[:0] // any of the equally likely subsets
	for n, p := range pairs {
		if r.intN(len(pairs)-n) < want-len(kept) {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// matrixOf numbers the users and the items that have an entry.
func matrixOf(pairs []uint64, weight func() float32) *Matrix {
	m := &Matrix{Item: make([]uint32, len(pairs)), Weight: make([]float32, len(pairs))}
	var number []uint32 // of each item, from 1
	for _, p := range pairs {
		i := int(uint32(p))
		if i >= len(number) {
			number = append(number, make([]uint32, i+1-len(number))...)
		}
		number[i] = 1
	}
	for i, seen := range number {
		if seen > 0 {
			m.NumItems++
			number[i] = uint32(m.NumItems)
		}
	}
	for n, p := range pairs {
		if n == 0 || p>>32 != pairs[n-1]>>32 {
			m.Start = append(m.Start, int64(n))
		}
		m.Item[n], m.Weight[n] = number[uint32(p)]-1, weight()
	}
	m.Start = append(m.Start, int64(len(pairs)))
	return m
}
