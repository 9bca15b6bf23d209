//go:build unix

package similarity

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kith-io/kith/source/synthetic"
)

var (
	updateScale  = flag.Float64("update.scale", 0, "scale of the matrix that updates are measured on; 0 measures nothing")
	updateKind   = flag.String("update.kind", "shop", "kind of the matrix")
	updateParts  = flag.String("update.parts", "0.01", "parts of the entries that come as an update, one after the other")
	updateBounds = flag.Bool("update.bounds", true, "whether those who follow know the bounds of all lists")
	updateBursts = flag.Int("update.bursts", 0, "new entries of a user at a time; 0 is at random")
)

// cpuSeconds returns the processor seconds of the process.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// TestUpdateCost sets updates beside a build of the same matrix.
func TestUpdateCost(t *testing.T) {
	if *updateScale == 0 {
		t.Skip("-update.scale is 0")
	}
	m, err := synthetic.DrawMatrix(t.Context(), *updateKind, *updateScale, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := (&Rows{NumItems: m.NumItems, Start: m.Start, Item: m.Item, Weight: m.Weight}).ByPopularity()
	o := Options{Measure: Cosine, K: 50, Threads: 2}
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
	x, err := NewKept(t.Context(), base, o, 64, 12)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("state: %.2f processor s, %v", cpuSeconds()-begin, x.SizeBytes())
	var updates []float64
	for n, changes := range batches {
		runtime.GC()
		begin := cpuSeconds()
		st, err := x.Update(t.Context(), changes)
		if err != nil {
			t.Fatal(err)
		}
		updates = append(updates, cpuSeconds()-begin)
		t.Logf("update of %s: %d changes, %.3f processor s; %+v", parts[n], len(changes), updates[n], st)
	}
	runtime.GC()
	begin = cpuSeconds()
	want, err := Build(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	build := cpuSeconds() - begin
	t.Logf("build: %.2f processor s", build)
	for n, u := range updates {
		t.Logf("update of %s: %.4f of a build", parts[n], u/build)
	}
	compareLists(t, want, x.Lists())
}
