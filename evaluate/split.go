package evaluate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/kith-io/kith/fusion"
)

// Names of the ways to divide a table.
const (
	SplitLeaveOneOut    = "leave-one-out"    // LeaveOneOut
	SplitLeaveRandomOut = "leave-random-out" // LeaveRandomOut
	SplitRatio          = "ratio"            // HoldOut
	SplitUserTime       = "user-time"        // HoldOutNewest
	SplitTime           = "time"             // CutTime
	SplitUserCold       = "user-cold"        // HoldOutUsers, of which the query has a part
	SplitUserNew        = "user-new"         // HoldOutUsers, of which the query has nothing
	SplitKFold          = "k-fold"           // KFold
)

// Splits returns the names of all ways to divide a table.
func Splits() []string {
	return []string{SplitLeaveOneOut, SplitLeaveRandomOut, SplitRatio, SplitUserTime, SplitTime, SplitUserCold, SplitUserNew, SplitKFold}
}

// hasRatio tells whether a split looks at a share of the data that is for training.
func hasRatio(split string) bool {
	return split == SplitRatio || split == SplitUserTime || split == SplitTime || split == SplitUserCold || split == SplitUserNew
}

// Division divides the entries of a table into training and test data, once for each fold.
type Division struct {
	// Folds is the number of folds, at least 1.
	Folds int
	// TestOf holds, for each entry of the table, the fold that has it in its test data, or -1 for none. In all other folds the
	// entry is training data, unless one of the next two says otherwise. So no entry is in both parts of a fold, nor in two test sets.
	TestOf []int32
	// History tells of each entry whether no model is trained with it, though queries of its user have it; nil means none. Users with such
	// entries have no training data, and ask as strangers with a basket.
	History []bool
	// Hidden tells of each entry whether it is in no training data, no query and no test data; it may not be in an answer either. nil means none.
	Hidden []bool
}

// trains tells whether an entry is training data of a fold.
func (d *Division) trains(p int64, fold int) bool {
	return d.TestOf[p] != int32(fold) && (d.History == nil || !d.History[p]) && (d.Hidden == nil || !d.Hidden[p])
}

// newDivision returns one fold without test data.
func newDivision(t *fusion.Table) *Division {
	return &Division{Folds: 1, TestOf: slices.Repeat([]int32{-1}, len(t.Item))}
}

// LeaveOneOut holds back the newest entry of each user, of several with one time a random one. Entries of unknown time are the
// oldest; so in a table without times, it is a random one of all. Users with one entry keep it. Others call this leave-last-out.
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

// LeaveRandomOut holds back a random entry of each user, whatever its time: what is called leave-one-out in statistics. Users with one entry
// keep it. Cost: O(users + entries).
func LeaveRandomOut(t *fusion.Table, rng *rand.Rand) *Division {
	d := newDivision(t)
	for u := range t.Users {
		if n := t.Start[u+1] - t.Start[u]; n > 1 {
			d.TestOf[t.Start[u]+rng.Int64N(n)] = 0
		}
	}
	return d
}

// HoldOutNewest holds back the newest entries of each user: as many as HoldOut. Those of one time are in random order, and those of unknown time
// are the oldest. It is an error if the table has no times. Cost: O(entries · log(entries of a user)).
func HoldOutNewest(t *fusion.Table, ratio float64, rng *rand.Rand) (*Division, error) {
	if t.Time == nil {
		return nil, fmt.Errorf("split %s: the data have no times; use another split", SplitUserTime)
	}
	d := newDivision(t)
	for u := range t.Users {
		lo, n := t.Start[u], int(t.Start[u+1]-t.Start[u])
		order := rng.Perm(n)
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.Time[lo+int64(b)], t.Time[lo+int64(a)]) })
		for _, i := range order[:held(n, ratio)] {
			d.TestOf[lo+int64(i)] = 0
		}
	}
	return d, nil
}

// HoldOutUsers keeps the share 1 - ratio of the users, but at least one, and never all, out of the training data. They are drawn from those with two entries or more. Of the
// entries of each, the share 1 - known, but at least one, is test data; the others are the history that a query has, none with a share of 0. So models are measured by
// what they do for users whom they have not seen: strong generalization (Marlin, 2004; as in Liang et al., WWW 2018, section 4.3 [liang2018]).
// 0 < ratio < 1, 0 <= known < 1. Cost: O(entries).
func HoldOutUsers(t *fusion.Table, ratio, known float64, rng *rand.Rand) *Division {
	d := newDivision(t)
	d.History = make([]bool, len(t.Item))
	var able []int
	users := 0
	for u := range t.Users {
		n := t.Start[u+1] - t.Start[u]
		if n > 0 {
			users++
		}
		if n > 1 {
			able = append(able, u)
		}
	}
	rng.Shuffle(len(able), func(i, j int) { able[i], able[j] = able[j], able[i] })
	cold := able[:min(len(able), max(0, users-1), max(1, int(math.Round((1-ratio)*float64(len(able))))))]
	slices.Sort(cold)
	for _, u := range cold {
		lo, n := t.Start[u], int(t.Start[u+1]-t.Start[u])
		for p := range n {
			d.History[lo+int64(p)] = true
		}
		test := max(1, held(n, known))
		if known == 0 {
			test = n
		}
		for _, p := range rng.Perm(n)[:test] {
			d.History[lo+int64(p)], d.TestOf[lo+int64(p)] = false, 0
		}
	}
	return d
}

// held returns how many of n entries of a user are held back.
func held(n int, ratio float64) int {
	return max(0, min(n-1, int(math.Round((1-ratio)*float64(n)))))
}

// HoldOut holds back a random share of the entries of each user: 1 - ratio of them, rounded to the nearest number, but never all.
// 0 < ratio < 1. Cost: O(entries).
func HoldOut(t *fusion.Table, ratio float64, rng *rand.Rand) *Division {
	d := newDivision(t)
	var order []int
	for u := range t.Users {
		n := int(t.Start[u+1] - t.Start[u])
		order = order[:0]
		for i := range n {
			order = append(order, i)
		}
		for i := range held(n, ratio) { // the first steps of a Fisher-Yates shuffle
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
