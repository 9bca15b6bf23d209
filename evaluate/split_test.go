package evaluate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// drawTable draws a table as fusion makes them: every user and item has an entry.
func drawTable(t *rapid.T) *fusion.Table {
	numItems := rapid.IntRange(1, 9).Draw(t, "items")
	used := make([]bool, numItems)
	var rows [][]uint32
	for range rapid.IntRange(1, 12).Draw(t, "users") {
		var row []uint32
		for i := range uint32(numItems) {
			if rapid.Bool().Draw(t, "has") {
				row = append(row, i)
				used[i] = true
			}
		}
		if row != nil {
			rows = append(rows, row)
		}
	}
	if rows == nil {
		t.Skip("no entries")
	}
	table := &fusion.Table{Start: []int64{0}}
	number := make([]uint32, numItems)
	for i, u := range used {
		if u {
			number[i] = uint32(len(table.Items))
			table.Items = append(table.Items, fmt.Sprintf("i%d", i))
		}
	}
	weights, times := rapid.Bool().Draw(t, "weights"), rapid.Bool().Draw(t, "times")
	for u, row := range rows {
		table.Users = append(table.Users, fmt.Sprintf("u%02d", u))
		for _, i := range row {
			table.Item = append(table.Item, number[i])
			if weights {
				table.Weight = append(table.Weight, float32(rapid.IntRange(1, 10).Draw(t, "weight"))/2)
			}
			if times {
				table.Time = append(table.Time, rapid.Int64Range(0, 6).Draw(t, "time"))
			}
		}
		table.Start = append(table.Start, int64(len(table.Item)))
	}
	return table
}

// heldOut returns the entries of one user in the test data of any fold.
func heldOut(table *fusion.Table, d *evaluate.Division, u int) (entries []int64) {
	for p := table.Start[u]; p < table.Start[u+1]; p++ {
		if d.TestOf[p] >= 0 {
			entries = append(entries, p)
		}
	}
	return entries
}

func checkDivision(t *rapid.T, table *fusion.Table, d *evaluate.Division, folds int) {
	if d.Folds != folds || len(d.TestOf) != len(table.Item) {
		t.Fatalf("%d folds over %d entries, want %d over %d", d.Folds, len(d.TestOf), folds, len(table.Item))
	}
	for p, f := range d.TestOf {
		if f < -1 || int(f) >= folds {
			t.Fatalf("entry %d is in the test data of fold %d of %d", p, f, folds)
		}
	}
}

func TestLeaveOneOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, seed := drawTable(t), rapid.Uint64().Draw(t, "seed")
		d := evaluate.LeaveOneOut(table, seeded(seed))
		checkDivision(t, table, d, 1)
		for u := range table.Users {
			held := heldOut(table, d, u)
			n := table.Start[u+1] - table.Start[u]
			if want := min(1, int(n)-1); len(held) != want {
				t.Fatalf("user %d has %d entries, %d held back, want %d", u, n, len(held), want)
			}
			if len(held) == 0 || table.Time == nil {
				continue
			}
			for p := table.Start[u]; p < table.Start[u+1]; p++ {
				if table.Time[p] > table.Time[held[0]] {
					t.Fatalf("user %d: held back entry of time %d, but there is one of %d", u, table.Time[held[0]], table.Time[p])
				}
			}
		}
		if again := evaluate.LeaveOneOut(table, seeded(seed)); !slices.Equal(d.TestOf, again.TestOf) {
			t.Fatal("the same seed gives another division")
		}
	})
}

func TestHoldOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, seed := drawTable(t), rapid.Uint64().Draw(t, "seed")
		ratio := rapid.Float64Range(0.01, 0.99).Draw(t, "ratio")
		d := evaluate.HoldOut(table, ratio, seeded(seed))
		checkDivision(t, table, d, 1)
		for u := range table.Users {
			n := int(table.Start[u+1] - table.Start[u])
			if held, want := len(heldOut(table, d, u)), min(n-1, int(math.Floor((1-ratio)*float64(n)+0.5))); held != want {
				t.Fatalf("user %d has %d entries, %d held back, want %d", u, n, held, want)
			}
		}
		if again := evaluate.HoldOut(table, ratio, seeded(seed)); !slices.Equal(d.TestOf, again.TestOf) {
			t.Fatal("the same seed gives another division")
		}
	})
}

// Every entry of a user must be held back equally often.
func TestRandomSplitsAreUniform(t *testing.T) {
	table := &fusion.Table{
		Users: []string{"u"}, Items: []string{"a", "b", "c", "d", "e"},
		Start: []int64{0, 5}, Item: []uint32{0, 1, 2, 3, 4},
	}
	const rounds = 5000
	for name, c := range map[string]struct {
		divide func(rng *rand.Rand) *evaluate.Division
		share  float64 // of the rounds in which an entry is in test data of fold 0
	}{
		"leave one out": {func(rng *rand.Rand) *evaluate.Division { return evaluate.LeaveOneOut(table, rng) }, 0.2},
		"hold out":      {func(rng *rand.Rand) *evaluate.Division { return evaluate.HoldOut(table, 0.6, rng) }, 0.4},
		"k-fold":        {func(rng *rand.Rand) *evaluate.Division { return evaluate.KFold(table, 5, rng) }, 0.2},
	} {
		counts := make([]float64, 5)
		for seed := range uint64(rounds) {
			for p, f := range c.divide(seeded(seed)).TestOf {
				if f == 0 {
					counts[p]++
				}
			}
		}
		sigma := math.Sqrt(rounds * c.share * (1 - c.share))
		for p, n := range counts {
			if math.Abs(n-c.share*rounds) > 5*sigma { // 1 in 2 million, and the seeds are fixed
				t.Errorf("%s: entry %d is held back %v times of %d, want about %v", name, p, n, rounds, c.share*rounds)
			}
		}
	}
}

func TestCutTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		ratio := rapid.Float64Range(0.01, 0.99).Draw(t, "ratio")
		d, err := evaluate.CutTime(table, ratio)
		if table.Time == nil || slices.Min(table.Time) == slices.Max(table.Time) {
			if err == nil {
				t.Fatal("no two times, but no error")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkDivision(t, table, d, 1)
		newestTrain, oldestTest, train := int64(-1), int64(math.MaxInt64), 0
		for p, at := range table.Time {
			if d.TestOf[p] < 0 {
				newestTrain, train = max(newestTrain, at), train+1
			} else {
				oldestTest = min(oldestTest, at)
			}
		}
		if newestTrain >= oldestTest || train == 0 || train == len(table.Time) {
			t.Fatalf("%d training entries up to time %d, test entries from %d", train, newestTrain, oldestTest)
		}
		// No other cut between two times comes nearer to the ratio.
		target := math.Round(ratio * float64(len(table.Time)))
		for _, cut := range table.Time {
			before := 0
			for _, at := range table.Time {
				if at < cut {
					before++
				}
			}
			if before > 0 && math.Abs(float64(before)-target) < math.Abs(float64(train)-target) {
				t.Fatalf("%d of %d entries are for training, want nearest to %v, as %d", train, len(table.Time), target, before)
			}
		}
	})
}

func TestKFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, seed := drawTable(t), rapid.Uint64().Draw(t, "seed")
		folds := rapid.IntRange(2, 7).Draw(t, "folds")
		d := evaluate.KFold(table, folds, seeded(seed))
		checkDivision(t, table, d, folds)
		sizes := make([]int, folds)
		for p, f := range d.TestOf {
			if f < 0 {
				t.Fatalf("entry %d is in no test data", p)
			}
			sizes[f]++
		}
		if slices.Max(sizes)-slices.Min(sizes) > 1 {
			t.Fatalf("sizes of folds %v, want equal", sizes)
		}
		if again := evaluate.KFold(table, folds, seeded(seed)); !slices.Equal(d.TestOf, again.TestOf) {
			t.Fatal("the same seed gives another division")
		}
	})
}
