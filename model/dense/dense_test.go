package dense_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/dense"
	"github.com/kith-io/kith/similarity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// score is the score of two vectors, straight from the definition.
func score(metric dense.Metric, q, x []float32) float64 {
	var dot, qq, xx, dd float64
	for i := range q {
		a, b := float64(q[i]), float64(x[i])
		dot, qq, xx, dd = dot+a*b, qq+a*a, xx+b*b, dd+(a-b)*(a-b)
	}
	switch metric {
	case dense.Dot:
		return dot
	case dense.L2:
		return -math.Sqrt(dd)
	}
	if dot == 0 {
		return 0
	}
	return dot / math.Sqrt(qq*xx)
}

// clustered returns n vectors around centers: rows of a mixture of Gaussians, as embeddings of products are.
func clustered(n, dim, centers int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	center := make([]float32, centers*dim)
	for i := range center {
		center[i] = float32(rng.NormFloat64())
	}
	out := make([]float32, 0, n*dim)
	for range n {
		c := rng.IntN(centers)
		for j := range dim {
			out = append(out, center[c*dim+j]+0.5*float32(rng.NormFloat64()))
		}
	}
	return out
}

// TestExact compares with the definition: vectors of whole numbers, many of them equal, and of any numbers.
func TestExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metric := dense.Metric(rapid.IntRange(0, 2).Draw(t, "metric"))
		dim := rapid.IntRange(1, 19).Draw(t, "dim")
		number := rapid.OneOf(rapid.Map(rapid.IntRange(-2, 2), func(x int) float32 { return float32(x) }), rapid.Float32Range(-1e6, 1e6), rapid.Float32Range(-1e-20, 1e-20))
		n, queries := rapid.IntRange(0, 500).Draw(t, "n"), rapid.IntRange(0, 3).Draw(t, "queries")
		pool := rapid.SliceOfN(number, 1, 40).Draw(t, "numbers")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		draw := func(rows int) []float32 {
			out := make([]float32, rows*dim)
			for i := range out {
				out[i] = pool[rng.IntN(len(pool))]
			}
			return out
		}
		data, q := draw(n), draw(queries)
		k := rapid.IntRange(0, 20).Draw(t, "k")
		v, err := dense.New(metric, dim, data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Nearest(t.Context(), q, k, 2)
		if err != nil || len(got) != queries {
			t.Fatalf("%d answers, %v", len(got), err)
		}
		for i := range got {
			checkExact(t, metric, dim, data, q[i*dim:(i+1)*dim], -1, k, got[i])
		}
		all, err := v.All(t.Context(), k, 2)
		if err != nil || len(all) != n {
			t.Fatalf("%d lists, %v", len(all), err)
		}
		for i := range min(n, 5) {
			checkExact(t, metric, dim, data, data[i*dim:(i+1)*dim], i, k, all[i])
		}
	})
}

// checkExact compares an answer with all scores: it is in order, scores are right up to the rounding of vectors and scores to float32, and nothing better is missing.
func checkExact(t *rapid.T, metric dense.Metric, dim int, data, q []float32, self, k int, got []similarity.Neighbor) {
	var want []float64
	var size float64
	for i := range len(data) / dim {
		x := data[i*dim : (i+1)*dim]
		size = max(size, math.Abs(score(dense.Dot, q, q)), math.Abs(score(dense.Dot, x, x)))
		if i != self {
			want = append(want, score(metric, q, x))
		}
	}
	switch metric {
	case dense.Cosine:
		size = 1
	case dense.L2:
		size = math.Sqrt(size)
	}
	size += 1e-38 // below, float32 has few digits
	slices.SortFunc(want, func(a, b float64) int { return -cmpFloat(a, b) })
	if len(got) != min(k, len(want)) {
		t.Fatalf("%s: %d neighbors, want %d", metric, len(got), min(k, len(want)))
	}
	for i, n := range got {
		s := score(metric, q, data[int(n.ID)*dim:(int(n.ID)+1)*dim])
		if int(n.ID) == self || math.Abs(float64(n.Score)-s) > 1e-6*size || math.Abs(s-want[i]) > 1e-6*size {
			t.Fatalf("%s: neighbor %d is %v with score %v, want score %v", metric, i, n, s, want[i])
		}
		if i > 0 && (got[i-1].Score < n.Score || got[i-1].Score == n.Score && got[i-1].ID >= n.ID) {
			t.Fatalf("%s: %v before %v", metric, got[i-1], n)
		}
	}
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		metric dense.Metric
		dim    int
		data   []float32
	}{
		"metric":   {9, 1, nil},
		"dim":      {dense.Dot, 0, nil},
		"length":   {dense.Dot, 2, make([]float32, 3)},
		"NaN":      {dense.Cosine, 1, []float32{float32(math.NaN())}},
		"infinity": {dense.L2, 1, []float32{1, float32(math.Inf(1))}},
		"too long": {dense.Dot, 1, []float32{1e16}},
	} {
		if _, err := dense.New(c.metric, c.dim, c.data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	v, err := dense.New(dense.L2, 2, []float32{1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Nearest(t.Context(), make([]float32, 3), 1, 1); err == nil {
		t.Error("query of another length: no error")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.All(ended, 1, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("search with a context that has ended: %v", err)
	}
	if _, err := dense.NewIndex(ended, v, dense.DefaultIndexOptions()); !errors.Is(err, context.Canceled) {
		t.Errorf("index with a context that has ended: %v", err)
	}
	for _, o := range []dense.IndexOptions{{M: 1, EfConstruction: 10}, {M: 16, EfConstruction: 15}, {M: 300, EfConstruction: 300}} {
		if _, err := dense.NewIndex(t.Context(), v, o); err == nil {
			t.Errorf("options %+v: no error", o)
		}
	}
}

// recall returns the part of the 10 nearest that an index finds, and the mean number of keys of a query.
func recall(t testing.TB, v *dense.Vectors, g *dense.Index, queries []float32, ef int) (found, keys float64) {
	t.Helper()
	exact, err := v.Nearest(t.Context(), queries, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range exact {
		got, work, err := g.Nearest(queries[i*v.Dim():(i+1)*v.Dim()], 10, ef)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range want {
			if slices.Contains(got, n) {
				found++
			}
		}
		keys += float64(work.Keys)
	}
	n := float64(len(exact))
	return found / n / 10, keys / n
}

func TestRecall(t *testing.T) {
	const n, dim = 2000, 16
	data := clustered(n+100, dim, 20, 1)
	queries := data[n*dim:]
	for metric := range dense.Metrics {
		v, err := dense.New(dense.Metric(metric), dim, data[:n*dim])
		if err != nil {
			t.Fatal(err)
		}
		o := dense.IndexOptions{M: 12, EfConstruction: 80, Seed: 3, Threads: 2}
		g, err := dense.NewIndex(t.Context(), v, o)
		if err != nil {
			t.Fatal(err)
		}
		found, keys := recall(t, v, g, queries, 64)
		if found < 0.95 || keys > n/3 {
			t.Errorf("%s: recall@10 %.3f with %.0f keys a query, want 0.95 with %d", dense.Metric(metric), found, keys, n/3)
		}
		if wide, _ := recall(t, v, g, queries[:20*dim], n); wide < 0.999 {
			t.Errorf("%s: recall %.4f where all are looked at: some nodes cannot be reached", dense.Metric(metric), wide)
		}
	}
}

func file(t testing.TB, g *dense.Index) []byte {
	t.Helper()
	var b bytes.Buffer
	if n, err := g.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

// TestFile: the same seed gives the same file with any number of threads, and what is read answers as what was written.
func TestFile(t *testing.T) {
	for metric := range dense.Metrics {
		for _, n := range []int{0, 1, 2, 400} {
			const dim = 7
			v, err := dense.New(dense.Metric(metric), dim, clustered(n, dim, 5, 2))
			if err != nil {
				t.Fatal(err)
			}
			o := dense.IndexOptions{M: 4, EfConstruction: 20, Seed: 1, Threads: 1}
			g, err := dense.NewIndex(t.Context(), v, o)
			if err != nil {
				t.Fatal(err)
			}
			one := file(t, g)
			o.Threads = 3
			if g, err = dense.NewIndex(t.Context(), v, o); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(one, file(t, g)) {
				t.Errorf("%s, %d vectors: three threads make another index than one", dense.Metric(metric), n)
			}
			again, err := dense.ReadIndex(one)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(one, file(t, again)) {
				t.Errorf("%s, %d vectors: what was read is written differently", dense.Metric(metric), n)
			}
			q := clustered(20, dim, 5, 9)
			for i := range 20 {
				a, _, errA := g.Nearest(q[i*dim:(i+1)*dim], 5, 10)
				b, _, errB := again.Nearest(q[i*dim:(i+1)*dim], 5, 10)
				if errA != nil || errB != nil || !slices.Equal(a, b) || len(a) != min(5, n) {
					t.Fatalf("%s, %d vectors: %v and, when read, %v (%v, %v)", dense.Metric(metric), n, a, b, errA, errB)
				}
			}
			for cut := range one {
				if _, err := dense.ReadIndex(one[:cut]); !errors.Is(err, dense.ErrCorrupt) {
					t.Fatalf("the first %d bytes: %v, want ErrCorrupt", cut, err)
				}
				if cut > 300 {
					break
				}
			}
		}
	}
}

func FuzzReadIndex(f *testing.F) {
	for metric := range dense.Metrics {
		v, err := dense.New(dense.Metric(metric), 3, clustered(20, 3, 2, 2))
		if err != nil {
			f.Fatal(err)
		}
		g, err := dense.NewIndex(context.Background(), v, dense.IndexOptions{M: 2, EfConstruction: 4})
		if err != nil {
			f.Fatal(err)
		}
		b := file(f, g)
		f.Add(b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := dense.ReadIndex(dense.Sealed(body))
		if err != nil {
			if !errors.Is(err, dense.ErrCorrupt) {
				t.Errorf("%v, want ErrCorrupt", err)
			}
			return
		}
		q := make([]float32, g.Dim())
		q[0] = 1
		if _, _, err := g.Nearest(q, 3, 5); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkPareto is the table of docs/models/embeddings.md: recall against keys for 100,000 vectors of 64 numbers, around centers and, what is the worst case, without any structure.
func BenchmarkPareto(b *testing.B) {
	const n, dim, queries = 100_000, 64, 500
	for i, name := range []string{"clustered", "unstructured"} {
		data := clustered(n+queries, dim, []int{1000, 1}[i], 1)
		v, err := dense.New(dense.L2, dim, data[:n*dim])
		if err != nil {
			b.Fatal(err)
		}
		o := dense.DefaultIndexOptions()
		o.Threads = 2
		start := time.Now()
		g, err := dense.NewIndex(b.Context(), v, o)
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%s: built in %v", name, time.Since(start))
		b.Run(name+"/exact", func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Nearest(b.Context(), data[n*dim:], 10, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/queries, "ns/query")
			b.ReportMetric(n, "keys/query")
		})
		for _, ef := range []int{10, 20, 40, 80, 160, 320, 640} {
			b.Run(fmt.Sprintf("%s/ef=%d", name, ef), func(b *testing.B) {
				found, keys := recall(b, v, g, data[n*dim:], ef)
				i := 0
				for b.Loop() {
					if _, _, err := g.Nearest(data[(n+i%queries)*dim:(n+i%queries+1)*dim], 10, ef); err != nil {
						b.Fatal(err)
					}
					i++
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/query")
				b.ReportMetric(found, "recall@10")
				b.ReportMetric(keys, "keys/query")
			})
		}
	}
}
