package cluster_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/cluster"
)

// gaussians draws n vectors around k centers, and returns them with the center of each.
func gaussians(seed uint64, n, dim, k int, deviation float64) (x []float32, of []int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	centers := make([]float64, k*dim)
	for i := range centers {
		centers[i] = 10 * rng.NormFloat64()
	}
	for range n {
		c := rng.IntN(k)
		of = append(of, c)
		for j := range dim {
			x = append(x, float32(centers[c*dim+j]+deviation*rng.NormFloat64()))
		}
	}
	return x, of
}

// adjustedRand is the index of Hubert and Arabie: 1 for the same partition, 0 on average for random ones.
func adjustedRand(a, b []int) float64 {
	pairs := func(n float64) float64 { return n * (n - 1) / 2 }
	both, left, right := map[[2]int]float64{}, map[int]float64{}, map[int]float64{}
	for i := range a {
		both[[2]int{a[i], b[i]}]++
		left[a[i]]++
		right[b[i]]++
	}
	var index, sumLeft, sumRight float64
	for _, n := range both {
		index += pairs(n)
	}
	for _, n := range left {
		sumLeft += pairs(n)
	}
	for _, n := range right {
		sumRight += pairs(n)
	}
	chance := sumLeft * sumRight / pairs(float64(len(a)))
	return (index - chance) / ((sumLeft+sumRight)/2 - chance)
}

func ints(x []int32) []int {
	out := make([]int, len(x))
	for i, v := range x {
		out[i] = int(v)
	}
	return out
}

func lossOf(r *cluster.Result) (loss float64) {
	for _, x := range r.Spread {
		loss += x
	}
	return loss
}

// naive returns the nearest center of a vector, found without tiles or bounds.
func naive(x, centers []float32) (best int, least float64) {
	least = math.Inf(1)
	for c := range len(centers) / len(x) {
		var d2 float64
		for j, v := range x {
			d := float64(v) - float64(centers[c*len(x)+j])
			d2 += d * d
		}
		if d2 < least {
			best, least = c, d2
		}
	}
	return best, least
}

// TestBoundsAreExact: with bounds the passes are those without, to the bit, and in the end each vector is at its nearest center.
func TestBoundsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim, n := rapid.IntRange(1, 9).Draw(t, "dim"), rapid.IntRange(1, 400).Draw(t, "n")
		x := make([]float32, n*dim)
		if rapid.Bool().Draw(t, "grid") { // many equal distances
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			for i := range x {
				x[i] = float32(rng.IntN(3))
			}
		} else {
			x, _ = gaussians(rapid.Uint64().Draw(t, "seed"), n, dim, 5, rapid.SampledFrom([]float64{0.01, 1, 10}).Draw(t, "deviation"))
		}
		o := cluster.DefaultOptions()
		o.Tolerance, o.Seed = 0, rapid.Uint64().Draw(t, "random")
		ks := []int{rapid.IntRange(1, 12).Draw(t, "k")}
		got, err := cluster.KMeans(t.Context(), x, dim, ks, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Plain, o.Threads = true, 3
		want, err := cluster.KMeans(t.Context(), x, dim, ks, o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Assign, want.Assign) || !slices.Equal(got.Centers, want.Centers) || !slices.Equal(got.Trials[0].Loss, want.Trials[0].Loss) {
			t.Fatalf("with bounds %+v, without %+v", got, want)
		}
		var loss float64
		for i, c := range got.Assign {
			best, d2 := naive(x[i*dim:(i+1)*dim], got.Centers)
			loss += d2
			if int(c) != best {
				t.Fatalf("vector %d is at center %d, want %d", i, c, best)
			}
		}
		if math.Abs(loss-lossOf(got)) > 1e-9*(1+loss) {
			t.Fatalf("spread is %v, want %v", lossOf(got), loss)
		}
		last := got.Trials[0].Loss
		for i := 1; i < len(last); i++ {
			if last[i] > last[i-1]*(1+1e-6)+1e-6 {
				t.Fatalf("the loss rises: %v", last)
			}
		}
	})
}

func TestBoundsSaveWork(t *testing.T) {
	x, _ := gaussians(1, 5000, 8, 20, 8)
	o := cluster.DefaultOptions()
	r, err := cluster.KMeans(t.Context(), x, 8, []int{20}, o)
	if err != nil {
		t.Fatal(err)
	}
	trial := r.Trials[0]
	if n := len(trial.Loss); n < 3 || trial.Distances*2 > trial.Plain {
		t.Errorf("%d distances in %d passes, want less than half of %d", trial.Distances, n, trial.Plain)
	}
	t.Logf("%d of %d distances", trial.Distances, trial.Plain)
}

// TestFindsGroups: planted groups that are apart are found again, whole and in mini-batches, and so is their number.
func TestFindsGroups(t *testing.T) {
	x, of := gaussians(2, 1500, 6, 7, 1)
	for name, change := range map[string]func(o *cluster.Options, ks *[]int){
		"passes":       func(*cluster.Options, *[]int) {},
		"mini-batches": func(o *cluster.Options, _ *[]int) { o.MiniBatch, o.Iterations = 200, 40 },
		"number":       func(_ *cluster.Options, ks *[]int) { *ks = []int{2, 3, 5, 7, 9, 12} },
	} {
		o, ks := cluster.DefaultOptions(), []int{7}
		o.Restarts, o.Sample = 3, 200
		change(&o, &ks)
		r, err := cluster.KMeans(t.Context(), x, 6, ks, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := adjustedRand(ints(r.Assign), of); r.K != 7 || got < 0.99 {
			t.Errorf("%s: %d groups, adjusted Rand index %.3f, want 7 and 0.99", name, r.K, got)
		}
		for c, s := range r.Silhouettes {
			if !(s > 0.5) {
				t.Errorf("%s: silhouette of group %d is %v, want above 0.5", name, c, s)
			}
		}
	}
}

// TestFewVectors: where there are fewer different vectors than centers there are fewer centers, and none is twice.
func TestFewVectors(t *testing.T) {
	for name, c := range map[string]struct {
		x    []float32
		want int
	}{
		"none":  {nil, 0},
		"one":   {[]float32{3, 4}, 1},
		"equal": {[]float32{1, 2, 1, 2, 1, 2, 1, 2}, 1},
		"two":   {[]float32{1, 2, 5, 6, 1, 2, 5, 6, 5, 6}, 2},
	} {
		r, err := cluster.KMeans(t.Context(), c.x, 2, []int{4}, cluster.DefaultOptions())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.K != c.want || lossOf(r) != 0 {
			t.Errorf("%s: %d centers, loss %v, want %d and 0", name, r.K, lossOf(r), c.want)
		}
	}
}

func TestRefusesOptions(t *testing.T) {
	nan := float32(math.NaN())
	for name, f := range map[string]func() ([]float32, int, []int, cluster.Options){
		"shape": func() ([]float32, int, []int, cluster.Options) {
			return make([]float32, 5), 2, []int{2}, cluster.DefaultOptions()
		},
		"no k": func() ([]float32, int, []int, cluster.Options) {
			return make([]float32, 4), 2, nil, cluster.DefaultOptions()
		},
		"k of zero": func() ([]float32, int, []int, cluster.Options) {
			return make([]float32, 4), 2, []int{0}, cluster.DefaultOptions()
		},
		"NaN": func() ([]float32, int, []int, cluster.Options) {
			return []float32{1, nan}, 2, []int{1}, cluster.DefaultOptions()
		},
		"options": func() ([]float32, int, []int, cluster.Options) {
			return make([]float32, 4), 2, []int{1}, cluster.Options{}
		},
	} {
		x, dim, ks, o := f()
		if _, err := cluster.KMeans(t.Context(), x, dim, ks, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestIris: three centers of the 150 flowers. The best loss known is 78.9408 (scikit-learn 1.9.1, KMeans(3, n_init=100)), with an adjusted Rand
// index of 0.730 to the species.
func TestIris(t *testing.T) {
	x, dim, of := points(t, "classification/iris.csv")
	o := cluster.DefaultOptions()
	o.Restarts = 5
	r, err := cluster.KMeans(t.Context(), x, dim, []int{3}, o)
	if err != nil {
		t.Fatal(err)
	}
	if loss, ari := lossOf(r), adjustedRand(ints(r.Assign), of); loss > 78.9408*1.001 || math.Abs(ari-0.730) > 0.02 {
		t.Errorf("loss %.4f, adjusted Rand index %.3f; want 78.9408 and 0.730", loss, ari)
	}
}
