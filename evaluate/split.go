package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/kith-io/kith/fusion"
)

// Names of the ways to divide a table.
const (
	SplitLeaveOneOut = "leave-one-out" // LeaveOneOut
	SplitRatio       = "ratio"         // HoldOut
	SplitTime        = "time"          // CutTime
	SplitKFold       = "k-fold"        // KFold
)

// Splits returns the names of all ways to divide a table.
func Splits() []string {
	return []string{SplitLeaveOneOut, SplitRatio, SplitTime, SplitKFold}
}

// Division divides the entries of a table into training and test data, once for each fold.
type Division struct {
	// Folds is the number of folds, at least 1.
	Folds int
	// TestOf holds, for each entry of the table, the fold that has it in its test data, or -1 for none. In all other folds the
	// entry is training data. So no entry is in both parts of a fold, nor in two test sets.
	TestOf []int32
}

// newDivision returns one fold without test data.
func newDivision(t *fusion.Table) *Division {
	return &Division{Folds: 1, TestOf: slices.Repeat([]int32{-1}, len(t.Item))}
}

// LeaveOneOut holds back the newest entry of each user, of several with one time a random one. Entries of unknown time are the
// oldest; so in a table without times, it is a random one of all. Users with one entry keep it.
// Cost: O(entries).
func LeaveOneOut(t *fusion.Table, rng *rand.Rand) *Division {
	d := newDivision(t)
	for u := range t.Users {
		lo, hi := t.Start[u], t.Start[u+1]
		if hi-lo < 2 {
			continue
		}
		last, ties := lo, 0
		for p := lo; p < hi; p++ {
			if t.Time != nil && t.Time[p] != t.Time[last] {
				if t.Time[p] > t.Time[last] {
					last, ties = p, 1
				}
				continue
			}
			if ties++; rng.IntN(ties) == 0 {
				last = p
			}
		}
		d.TestOf[last] = 0
	}
	return d
}

// HoldOut holds back a random share of the entries of each user: 1 - ratio of them, rounded to the nearest number, but never all.
// 0 < ratio < 1. Cost: O(entries).
func HoldOut(t *fusion.Table, ratio float64, rng *rand.Rand) *Division {
	d := newDivision(t)
	var order []int
	for u := range t.Users {
		n := int(t.Start[u+1] - t.Start[u])
		held := min(n-1, int(math.Round((1-ratio)*float64(n))))
		order = order[:0]
		for i := range n {
			order = append(order, i)
		}
		for i := range held { // the first steps of a Fisher-Yates shuffle
			j := i + rng.IntN(n-i)
			order[i], order[j] = order[j], order[i]
			d.TestOf[t.Start[u]+int64(order[i])] = 0
		}
	}
	return d
}

// CutTime holds back what is newest over all users: the entries from the time on before which the share ratio of all entries
// lies, or as near to that as it gets with all entries of one time on one side. Entries of unknown time are the oldest.
// 0 < ratio < 1. It is an error if the table has not two different times. Cost: O(entries · log entries).
func CutTime(t *fusion.Table, ratio float64) (*Division, error) {
	if t.Time == nil {
		return nil, fmt.Errorf("split %s: the data have no times; use another split", SplitTime)
	}
	d := newDivision(t)
	times := slices.Sorted(slices.Values(t.Time))
	if len(times) == 0 || times[0] == times[len(times)-1] {
		return nil, fmt.Errorf("split %s: all entries have the same time; use another split", SplitTime)
	}
	target := int(math.Round(ratio * float64(len(times))))
	cut := times[min(target, len(times)-1)]
	before, _ := slices.BinarySearch(times, cut)
	after, _ := slices.BinarySearch(times, cut+1)
	if before == 0 || after < len(times) && after-target < target-before {
		cut = times[after]
	}
	for p, at := range t.Time {
		if at >= cut {
			d.TestOf[p] = 0
		}
	}
	return d, nil
}

// KFold deals all entries out to the test data of the folds at random, to each the same number, or one more. folds is at least 2.
// Cost: O(entries).
func KFold(t *fusion.Table, folds int, rng *rand.Rand) *Division {
	d := newDivision(t)
	d.Folds = folds
	for p, q := range rng.Perm(len(t.Item)) {
		d.TestOf[q] = int32(p % folds)
	}
	return d
}
