package similarity

import (
	"encoding/gob"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kith-io/kith/source/synthetic"
)

var (
	updateScale   = flag.Float64("update.scale", 0, "scale of the shop matrix that updates are measured on; 0 measures nothing")
	updateKind    = flag.String("update.kind", "shop", "kind of the matrix")
	updateFile    = flag.String("update.file", "", "file with a line for each user, its number and items, in the place of the matrix")
	updateParts   = flag.String("update.parts", "0.01", "parts of the entries that come as an update, one after the other")
	updateBursts  = flag.Int("update.bursts", 0, "new entries of a user at a time; 0 is at random")
	updateReserve = flag.Int("update.reserve", 64, "neighbors held of each item")
	updateCells   = flag.Float64("update.cells", 12, "pairs of a cell in short rows")
	updateShort   = flag.Int("update.short", 1<<14, "updates of a short row")
	updateThreads = flag.Int("update.threads", 2, "threads")
	updateBuild   = flag.Bool("update.build", true, "compare with a build after the last update")
	updateEnter   = flag.Float64("update.enter", 0.4, "how near to the K-th score")
	updateCache   = flag.String("update.cache", "", "file for the matrix")
)

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func shopRows(t *testing.T, scale float64) *Rows {
	if *updateCache != "" {
		if f, err := os.Open(*updateCache); err == nil {
			defer func() { _ = f.Close() }()
			r := new(Rows)
			if err := gob.NewDecoder(f).Decode(r); err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	if *updateFile != "" {
		return fileRows(t, *updateFile).ByPopularity()
	}
	m, err := synthetic.DrawMatrix(t.Context(), *updateKind, scale, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := (&Rows{NumItems: m.NumItems, Start: m.Start, Item: m.Item, Weight: m.Weight}).ByPopularity()
	if *updateCache != "" {
		f, err := os.Create(*updateCache)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := gob.NewEncoder(f).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// fileRows reads a user and its items from each line.
func fileRows(t *testing.T, name string) *Rows {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r := &Rows{Start: []int64{0}}
	for line := range strings.Lines(string(text)) {
		var row []uint32
		for _, f := range strings.Fields(line)[1:] {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, uint32(n))
			r.NumItems = max(r.NumItems, n+1)
		}
		slices.Sort(row)
		r.Item = append(r.Item, slices.Compact(row)...)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	r.Weight = slices.Repeat([]float32{1}, len(r.Item))
	return r
}

// split takes n entries out of r, at random or some at a time of a user.
func split(r *Rows, n, burst int, rng *rand.Rand) (rest *Rows, taken []Change) {
	out := make([]bool, len(r.Item))
	for len(taken) < n {
		if burst == 0 {
			k := rng.IntN(len(r.Item))
			if !out[k] {
				out[k] = true
				taken = append(taken, Change{Item: uint32(k)})
			}
			continue
		}
		k := int64(rng.IntN(len(r.Item)))
		u, _ := slices.BinarySearch(r.Start, k+1)
		lo, hi := r.Start[u-1], r.Start[u]
		for range burst {
			k := lo + rng.Int64N(hi-lo)
			if !out[k] {
				out[k] = true
				taken = append(taken, Change{Item: uint32(k)})
			}
		}
	}
	slices.SortFunc(taken, func(a, b Change) int { return int(a.Item) - int(b.Item) })
	rest = &Rows{NumItems: r.NumItems, Start: make([]int64, 1, len(r.Start))}
	at := 0
	for u := range r.NumUsers() {
		for k := r.Start[u]; k < r.Start[u+1]; k++ {
			if out[k] {
				taken[at] = Change{uint32(u), r.Item[k], r.Weight[k]}
				at++
			} else {
				rest.Item, rest.Weight = append(rest.Item, r.Item[k]), append(rest.Weight, r.Weight[k])
			}
		}
		rest.Start = append(rest.Start, int64(len(rest.Item)))
	}
	return rest, taken
}

func TestUpdateCost(t *testing.T) {
	if *updateScale == 0 {
		t.Skip("-update.scale is 0")
	}
	enterPart = float32(*updateEnter)
	shortRow = *updateShort
	r := shopRows(t, *updateScale)
	o := Options{Measure: Cosine, K: 50, Threads: *updateThreads}
	var batches [][]Change
	rng := rand.New(rand.NewPCG(7, 8))
	base := r
	parts := strings.Split(*updateParts, ",")
	for _, part := range slices.Backward(parts) {
		p, err := strconv.ParseFloat(part, 64)
		if err != nil {
			t.Fatal(err)
		}
		var taken []Change
		base, taken = split(base, int(float64(len(r.Item))*p), *updateBursts, rng)
		batches = append(batches, taken)
	}
	slices.Reverse(batches)
	runtime.GC()
	begin := cpuSeconds()
	x, err := NewKept(t.Context(), base, o, *updateReserve, *updateCells)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("state: %.2f cpu s, %v\n", cpuSeconds()-begin, x.SizeBytes())
	var updates []float64
	for n, changes := range batches {
		runtime.GC()
		begin, last := cpuSeconds(), cpuSeconds()
		wall := time.Now()
		laps := ""
		st, err := x.Update(t.Context(), changes, func(name string) {
			now := cpuSeconds()
			laps += fmt.Sprintf(" %s %.3f", name, now-last)
			last = now
		})
		if err != nil {
			t.Fatal(err)
		}
		updates = append(updates, cpuSeconds()-begin)
		fmt.Printf("update %s: %d changes, %.3f cpu s, %.3f s;%s\n  %+v\n", parts[n], len(changes), updates[n], time.Since(wall).Seconds(), laps, st)
	}
	if !*updateBuild {
		return
	}
	runtime.GC()
	begin = cpuSeconds()
	want, err := Build(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	build := cpuSeconds() - begin
	fmt.Printf("build: %.2f cpu s; ratios", build)
	for _, u := range updates {
		fmt.Printf(" %.4f", u/build)
	}
	fmt.Println()
	compareLists(t, want, x.Lists())
}

func compareLists(t *testing.T, want, got *Lists) {
	t.Helper()
	bad := 0
	for i := range want.Len() {
		if !slices.Equal(want.List(uint32(i)), got.List(uint32(i))) {
			if bad++; bad < 5 {
				a, b := got.List(uint32(i)), want.List(uint32(i))
				k := 0
				for k < len(a) && k < len(b) && a[k] == b[k] {
					k++
				}
				t.Errorf("item %d: from %d of %d got %v, want %v", i, k, len(b), a[k:min(k+3, len(a))], b[k:min(k+3, len(b))])
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d lists differ", bad, want.Len())
	}
}

// Lists that follow updates are those of a build, and what bounds pairs does, on matrices with few weights and so many ties.
func TestUpdatesEqualBuild(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := syntheticRows(20+rng.IntN(300), 5+rng.IntN(300), 2+rng.IntN(20), 1+float64(rng.IntN(20)), seed%3 == 0)
		if r.Weight == nil {
			r.Weight = make([]float32, len(r.Item))
			for k := range r.Weight {
				r.Weight[k] = 1
			}
		}
		o := Options{Measure: Cosine, K: 1 + rng.IntN(10), Threads: 1 + rng.IntN(2)}
		base := r
		var batches [][]Change
		for range 6 {
			var taken []Change
			if base, taken = split(base, rng.IntN(len(r.Item)/10+1), rng.IntN(3), rng); len(base.Item) == 0 {
				t.Fatal("nothing left")
			}
			for k := range taken { // some weights rise
				if w := taken[k].Weight; w > 1 && rng.IntN(2) == 0 {
					base = withEntry(base, taken[k].User, taken[k].Item, 1+float32(rng.IntN(int(w-1))))
				}
			}
			batches = append(batches, taken)
		}
		x, err := NewKept(t.Context(), base, o, o.K+rng.IntN(5), float64(1+rng.IntN(10)))
		if err != nil {
			t.Fatal(err)
		}
		for n, changes := range slices.Backward(batches) {
			if _, err := x.Update(t.Context(), changes, func(string) {}); err != nil {
				t.Fatal(err)
			}
			for i := range uint32(r.NumItems) {
				if bad := x.check(i); bad != "" {
					t.Fatalf("seed %d, %d updates left, item %d: %s", seed, n, i, bad)
				}
			}
		}
		want, err := Build(t.Context(), r, o)
		if err != nil {
			t.Fatal(err)
		}
		compareLists(t, want, x.Lists())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// withEntry returns r with one entry more.
func withEntry(r *Rows, user, item uint32, w float32) *Rows {
	at, _ := slices.BinarySearch(r.Item[r.Start[user]:r.Start[user+1]], item)
	k := int(r.Start[user]) + at
	out := &Rows{NumItems: r.NumItems, Start: slices.Clone(r.Start)}
	out.Item = slices.Insert(slices.Clone(r.Item), k, item)
	out.Weight = slices.Insert(slices.Clone(r.Weight), k, w)
	for u := int(user) + 1; u < len(out.Start); u++ {
		out.Start[u]++
	}
	return out
}

// check tells what is wrong with the bounds of item i.
func (x *Kept) check(i uint32) string {
	sums := map[uint32]float32{}
	for _, e := range x.columnOf(i) {
		at := x.at[e>>8]
		for _, f := range x.words[at+1 : at+1+x.words[at]] {
			if f>>8 != i {
				sums[f>>8] += float32(uint8(e)) * float32(uint8(f))
			}
		}
	}
	at := int(i) * x.stride
	for k := range int(x.size[i]) {
		j := x.heldID[at+k]
		if sums[j] != x.heldSum[at+k] {
			return fmt.Sprintf("held %d has sum %v, want %v", j, x.heldSum[at+k], sums[j])
		}
		delete(sums, j)
	}
	cells := x.cellsOf(i)
	for j, s := range sums {
		t := s * x.inverse[j]
		if t > x.bound[i] {
			return fmt.Sprintf("pair %d of sum %v has t %v above the bound %v", j, s, t, x.bound[i])
		}
		if len(cells) == 0 {
			continue
		}
		c := cells[x.cell(j, len(cells))]
		if c&filterBits(j) != filterBits(j) {
			return fmt.Sprintf("pair %d of sum %v is not in the filter", j, s)
		}
		if code := c >> codeShift; code != noLimit && float32(code)*x.unit[i]*slackUp < t {
			return fmt.Sprintf("pair %d of sum %v has t %v above the code %d of unit %v", j, s, t, code, x.unit[i])
		}
	}
	return ""
}
