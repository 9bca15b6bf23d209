package similarity

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// bruteScores is the slow, obvious twin: all scores of all pairs in float64 over
// dense columns, straight from the definitions. NaN marks what is no neighbor.
func bruteScores(r *Rows, o Options) [][]float64 {
	users, items := r.NumUsers(), r.NumItems
	value := make([][]float64, items) // weighed
	stored := make([][]bool, items)
	for i := range items {
		value[i], stored[i] = make([]float64, users), make([]bool, users)
	}
	length := make([]float64, items) // sum of the weights of an item
	var total float64
	rowLength := make([]float64, users)
	for u := range users {
		for p := r.Start[u]; p < r.Start[u+1]; p++ {
			w := 1.0
			if r.Weight != nil {
				w = float64(r.Weight[p])
			}
			i := r.Item[p]
			value[i][u], stored[i][u] = w, true
			length[i] += w
			total += w
			rowLength[u]++
		}
	}
	for u := range users {
		var sum, largest float64
		for i := range items {
			sum += value[i][u]
			largest = max(largest, math.Abs(value[i][u]))
		}
		idf := math.Log(float64(items)) - math.Log(1+rowLength[u])
		for i := range items {
			w := value[i][u]
			switch {
			case !stored[i][u]:
			case o.Measure == AdjustedCosine:
				if value[i][u] = w - sum/rowLength[u]; math.Abs(value[i][u]) <= noise*largest {
					value[i][u] = 0
				}
			case o.Measure == TFIDF:
				value[i][u] = math.Copysign(math.Sqrt(math.Abs(w)), w) * idf
			case o.Measure == BM25 && w != 0:
				l := 1.0
				if total > 0 {
					l = max(0, length[i]/(total/float64(items)))
				}
				size := math.Abs(w)
				value[i][u] = math.Copysign(size*2.2/(size+1.2*(0.25+0.75*l)), w) * idf
			}
		}
	}
	scores := make([][]float64, items)
	for x := range items {
		scores[x] = make([]float64, items)
		for y := range items {
			scores[x][y] = brutePair(value, stored, x, y, o)
		}
	}
	return scores
}

// brutePair is the score of two columns.
func brutePair(value [][]float64, stored [][]bool, x, y int, o Options) float64 {
	var dot, xx, yy, n, a, b float64
	var xs, ys []float64 // of the common users
	users := len(value[x])
	for u := range users {
		dot += value[x][u] * value[y][u]
		xx += value[x][u] * value[x][u]
		yy += value[y][u] * value[y][u]
		if stored[x][u] {
			a++
		}
		if stored[y][u] {
			b++
		}
		if stored[x][u] && stored[y][u] {
			n++
			xs, ys = append(xs, value[x][u]), append(ys, value[y][u])
		}
	}
	all := float64(users)
	var s float64
	switch o.Measure {
	case Pearson:
		s = bruteCorrelation(xs, ys)
	case Jaccard:
		s = n / (a + b - n)
	case Dice:
		s = 2 * n / (a + b)
	case LogLikelihood:
		// The formula of Mahout's LogLikelihood, from entropies.
		xlogx := func(x float64) float64 {
			if x == 0 {
				return 0
			}
			return x * math.Log(x)
		}
		rows := xlogx(all) - xlogx(a) - xlogx(all-a)
		columns := xlogx(all) - xlogx(b) - xlogx(all-b)
		matrix := xlogx(all) - xlogx(n) - xlogx(a-n) - xlogx(b-n) - xlogx(all-a-b+n)
		s = max(0, 2*(rows+columns-matrix))
		if n*all < a*b {
			s = -s
		}
	case BM25:
		s = dot
	case AsymmetricCosine:
		s = dot / (math.Pow(xx, o.Alpha) * math.Pow(yy, 1-o.Alpha))
	case ConditionalProbability:
		s = n / a
	case Lift:
		s = n * all / (a * b)
	case Swing:
		s = bruteSwing(stored, x, y)
	default:
		s = dot / math.Sqrt(xx*yy)
	}
	if o.Shrinkage > 0 {
		s *= n / (n + o.Shrinkage)
	}
	if x == y || n == 0 || n < float64(o.MinSupport) || s == 0 {
		s = math.NaN()
	}
	return s
}

func bruteCorrelation(xs, ys []float64) float64 {
	mean := func(v []float64) (m float64) {
		for _, x := range v {
			m += x / float64(len(v))
		}
		return m
	}
	mx, my := mean(xs), mean(ys)
	var xy, xx, yy float64
	for k := range xs {
		xy += (xs[k] - mx) * (ys[k] - my)
		xx += (xs[k] - mx) * (xs[k] - mx)
		yy += (ys[k] - my) * (ys[k] - my)
	}
	if xx < 1e-12 || yy < 1e-12 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

// bruteSwing is for items of at most swingUsers users.
func bruteSwing(stored [][]bool, x, y int) (s float64) {
	row := func(u int) (n int) {
		for i := range stored {
			if stored[i][u] {
				n++
			}
		}
		return n
	}
	both := func(u int) bool { return stored[x][u] && stored[y][u] }
	for u := range stored[x] {
		for v := range u {
			if !both(u) || !both(v) {
				continue
			}
			common := 0
			for i := range stored {
				if stored[i][u] && stored[i][v] {
					common++
				}
			}
			s += 1 / math.Sqrt(float64(row(u))*float64(row(v))) / (1 + float64(common))
		}
	}
	return s
}

// bruteLists ranks the scores, rounded to float32, and cuts at k.
func bruteLists(scores [][]float64, k int) *Lists {
	l := &Lists{Start: make([]int64, 1)}
	for _, row := range scores {
		var list []Neighbor
		for y, s := range row {
			if !math.IsNaN(s) {
				list = append(list, Neighbor{uint32(y), float32(s)})
			}
		}
		slices.SortFunc(list, func(a, b Neighbor) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
		})
		l.Entries = append(l.Entries, list[:min(k, len(list))]...)
		l.Start = append(l.Start, int64(len(l.Entries)))
	}
	return l
}

// checkClose fails unless the lists are those of scores up to tolerance, relative to
// the largest if that is above 1: each score is right, and no pair left out is better
// than the last one kept.
func checkClose(t interface {
	Helper()
	Fatalf(string, ...any)
}, got *Lists, scores [][]float64, k int, tolerance float64,
) {
	t.Helper()
	if got.Len() != len(scores) || got.Lo != 0 {
		t.Fatalf("got lists [%d,+%d), want [0,+%d)", got.Lo, got.Len(), len(scores))
	}
	largest := 1.0
	for _, s := range slices.Concat(scores...) {
		if a := math.Abs(s); a > largest {
			largest = a
		}
	}
	tolerance *= largest
	for x, row := range scores {
		list := got.List(uint32(x))
		var all []float64 // scores that are not zero within tolerance, best first
		unsure := 0
		for _, s := range row {
			switch {
			case math.IsNaN(s):
			case math.Abs(s) > tolerance:
				all = append(all, s)
			default:
				unsure++
			}
		}
		slices.SortFunc(all, func(a, b float64) int { return cmp.Compare(b, a) })
		if lo, hi := min(k, len(all)), min(k, len(all)+unsure); len(list) < lo || len(list) > hi {
			t.Fatalf("item %d has %d neighbors, want %d to %d", x, len(list), lo, hi)
		}
		seen := map[uint32]bool{}
		for n, e := range list {
			if want := row[e.ID]; !(math.Abs(float64(e.Score)-want) <= tolerance) || e.Score == 0 || seen[e.ID] {
				// A score of zero up to rounding has no twin.
				if !(math.IsNaN(want) && math.Abs(float64(e.Score)) <= tolerance && e.Score != 0) {
					t.Fatalf("item %d neighbor %d has score %v, want %v (once: %v)", x, e.ID, e.Score, want, !seen[e.ID])
				}
			}
			seen[e.ID] = true
			if n > 0 && (list[n-1].Score < e.Score || list[n-1].Score == e.Score && list[n-1].ID >= e.ID) {
				t.Fatalf("item %d: %v before %v", x, list[n-1], e)
			}
		}
		if len(list) == k {
			for y, s := range row {
				if last := float64(list[k-1].Score); s > last+2*tolerance && math.Abs(s) > tolerance && !seen[uint32(y)] {
					t.Fatalf("item %d lacks %d with score %v, its last has %v", x, y, s, last)
				}
			}
		}
	}
}

// equateEmpty takes nil and empty slices for equal.
var equateEmpty = cmpopts.EquateEmpty()

// drawRows draws a matrix of up to 12 users and items. Weights are absent, small
// integers, or any floats with three digits.
func drawRows(t *rapid.T) *Rows {
	users, items := rapid.IntRange(0, 12).Draw(t, "users"), rapid.IntRange(0, 12).Draw(t, "items")
	kind := rapid.IntRange(0, 2).Draw(t, "kind")
	r := &Rows{NumItems: items, Start: make([]int64, 1)}
	if kind > 0 {
		r.Weight = []float32{}
	}
	density := rapid.IntRange(1, 9).Draw(t, "density")
	for range users {
		for i := range items {
			if rapid.IntRange(0, 9).Draw(t, "stored") >= density {
				continue
			}
			r.Item = append(r.Item, uint32(i))
			switch kind {
			case 1:
				r.Weight = append(r.Weight, float32(rapid.IntRange(-1, 5).Draw(t, "weight")))
			case 2:
				r.Weight = append(r.Weight, float32(rapid.IntRange(1, 5000).Draw(t, "weight"))/1000)
			}
		}
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	return r
}

func drawOptions(t *rapid.T) Options {
	return Options{
		Measure:    rapid.SampledFrom(Measures()).Draw(t, "measure"),
		K:          rapid.IntRange(1, 13).Draw(t, "k"),
		Shrinkage:  rapid.SampledFrom([]float64{0, 0, 0.5, 10}).Draw(t, "shrinkage"),
		MinSupport: rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "min support"),
		Alpha:      rapid.SampledFrom([]float64{0.5, 0, 0.3, 1}).Draw(t, "alpha"),
	}
}

func drawBorders(t *rapid.T, items int) []uint32 {
	cuts := rapid.SliceOfN(rapid.Uint32Range(0, uint32(items)), 0, 5).Draw(t, "cuts")
	cuts = append(cuts, 0, uint32(items))
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// exactSums tells whether float32 sums of r are exact, so that results must equal
// the twin bit for bit.
func exactSums(r *Rows, m Measure) bool {
	switch m {
	case Jaccard, Dice, ConditionalProbability, Lift:
		return true
	case Cosine:
		if r.Weight == nil {
			return true
		}
	}
	return m == Cosine && !slices.ContainsFunc(r.Weight, func(w float32) bool { return w != float32(int(w)) })
}

func TestListsEqualBruteForceForAnyBlocksAndThreads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, o := drawRows(t), drawOptions(t)
		borders := drawBorders(t, r.NumItems)
		threads := rapid.IntRange(1, 4).Draw(t, "threads")
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		got, _, err := build(t.Context(), r, o, threads, borders, canHalve(r, &o) && rapid.Bool().Draw(t, "halves"))
		if err != nil {
			t.Fatal(err)
		}
		scores := bruteScores(r, o)
		checkClose(t, got, scores, o.K, 2e-6)
		if exactSums(r, o.Measure) {
			if diff := gocmp.Diff(bruteLists(scores, o.K), got, equateEmpty); diff != "" {
				t.Fatalf("lists differ from brute force (-want +got):\n%s", diff)
			}
		}
		whole, _, err := build(t.Context(), r, o, 1, []uint32{0, uint32(r.NumItems)}, false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(whole, got, equateEmpty); diff != "" {
			t.Fatalf("blocks %v with %d threads differ from Build (-want +got):\n%s", borders, threads, diff)
		}
		far := distributed(t, r, o, borders, drawUserCuts(t, r.NumUsers()))
		if diff := gocmp.Diff(whole, far, equateEmpty); diff != "" {
			t.Fatalf("parts and merges differ from Build (-want +got):\n%s", diff)
		}
	})
}

// TestManyWeights has more weights than a Side has codes for, and items with so few
// neighbors that those touched are listed.
func TestManyWeights(t *testing.T) {
	r := syntheticRows(120, 200, 6, 5, false)
	rng := rand.New(rand.NewPCG(5, 6))
	for k := range r.Weight {
		r.Weight[k] = float32(1 + 4*rng.Float64())
	}
	for _, o := range []Options{
		{Measure: Cosine, K: 10},
		{Measure: Cosine, K: 10, Shrinkage: 10},
		{Measure: AdjustedCosine, K: 200},
		{Measure: Pearson, K: 10, MinSupport: 3},
	} {
		weighed := weigh(t, r, o.Measure)
		side, err := sideOf(weighed, 0, uint32(r.NumItems))
		if err != nil {
			t.Fatal(err)
		}
		if side.value == nil {
			t.Fatal("all weights have codes")
		}
		got, err := Build(t.Context(), r, o)
		if err != nil {
			t.Fatal(err)
		}
		checkClose(t, got, bruteScores(r, o), o.K, 2e-6)
	}
}

// TestScoresOfZeroTakeNoPlace has a first neighbor with the score zero, by a weight of
// zero, before one with a negative score: only the second is a neighbor.
func TestScoresOfZeroTakeNoPlace(t *testing.T) {
	r := &Rows{NumItems: 3, Start: []int64{0, 3}, Item: []uint32{0, 1, 2}, Weight: []float32{5, 0, -1}}
	for _, shrinkage := range []float64{0, 0.5} {
		o := Options{Measure: Cosine, K: 1, Shrinkage: shrinkage}
		got, err := Build(t.Context(), r, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(bruteLists(bruteScores(r, o), o.K), got, equateEmpty); diff != "" {
			t.Errorf("shrinkage %v (-want +got):\n%s", shrinkage, diff)
		}
	}
}

func drawUserCuts(t *rapid.T, users int) []int {
	cuts := rapid.SliceOfN(rapid.IntRange(0, users), 0, 3).Draw(t, "user cuts")
	cuts = append(cuts, 0, users)
	slices.Sort(cuts)
	return cuts
}

// distributed runs the build of a cluster: parts of ranges of users over the wire,
// one task for each block and side in any order, partial lists over the wire, merge.
func distributed(t *rapid.T, r *Rows, o Options, borders []uint32, userCuts []int) *Lists {
	var sums []Sum
	if o.Measure.NeedsSums() {
		sums = make([]Sum, r.NumItems)
	}
	shards := make([]*Rows, len(userCuts)-1)
	for p := range shards {
		shards[p] = &Rows{NumItems: r.NumItems, Start: r.Start[userCuts[p] : userCuts[p+1]+1], Item: r.Item, Weight: r.Weight}
		for i, s := range SumsOf(shards[p]) {
			if sums != nil {
				sums[i].Merge(s)
			}
		}
	}
	weigher, err := NewWeigher(o.Measure, r.NumItems, sums)
	if err != nil {
		t.Fatal(err)
	}
	blocks := make([]*Block, len(borders)-1)
	parts := make([][][]byte, len(blocks))
	for n := range blocks {
		for p, shard := range shards {
			parts[n] = append(parts[n], AppendPart(nil, weigher.Rows(shard), uint32(userCuts[p]), borders[n], borders[n+1]))
		}
		b, err := NewBlock(borders[n], borders[n+1], uint32(r.NumUsers()), parts[n])
		if err != nil {
			t.Fatal(err)
		}
		blocks[n] = b
	}
	var sides []*Side
	for from := 0; from < len(blocks); {
		to := len(blocks)
		if !o.Measure.WholeRows() {
			to = rapid.IntRange(from+1, len(blocks)).Draw(t, "side end")
		}
		side, err := ReadSide(borders[from], borders[from+1:to+1], uint32(r.NumUsers()), func(n int) ([][]byte, error) { return parts[from+n], nil }, o)
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, side)
		from = to
	}
	type pair struct{ block, side int }
	var tasks []pair
	for b := range blocks {
		for s := range sides {
			tasks = append(tasks, pair{b, s})
		}
	}
	if len(tasks) > 1 {
		tasks = rapid.Permutation(tasks).Draw(t, "task order")
	}
	partial := make([][]*Lists, len(blocks))
	var s Scratch
	for _, p := range tasks {
		b := blocks[p.block]
		c := NewCollector(b.Lo, b.Hi, o.K)
		if n := len(partial[p.block]); n > 0 && rapid.Bool().Draw(t, "goes on") {
			c = CollectorOf(partial[p.block][n-1], o.K)
			partial[p.block] = partial[p.block][:n-1]
		}
		if _, err := Run(t.Context(), b, sides[p.side], c, o, &s); err != nil {
			t.Fatal(err)
		}
		back, err := DecodeLists(AppendLists(nil, c.Lists()))
		if err != nil {
			t.Fatal(err)
		}
		partial[p.block] = append(partial[p.block], back)
	}
	out := &Lists{Start: make([]int64, 1)}
	for _, parts := range partial {
		m, err := Merge(o.K, parts...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.Len() {
			out.Entries = append(out.Entries, m.List(m.Lo+uint32(i))...)
			out.Start = append(out.Start, int64(len(out.Entries)))
		}
	}
	return out
}

func TestSearcherEqualsBuildOnTransposed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, o := drawRows(t), drawOptions(t)
		counts := make([]uint64, r.NumItems)
		for _, i := range r.Item {
			counts[i]++
		}
		weigher := NewUserWeigher(o.Measure, uint64(r.NumUsers()), counts)
		rows := weigher.Rows(r)
		columns, plain := r.Transpose(), o
		plain.Measure = o.Measure.OfUsers()
		if o.Measure == AdjustedCosine { // users are compared by what is left of their own means
			columns, plain.Measure = rows.Transpose(), Cosine
		}
		want, err := Build(t.Context(), columns, plain)
		if err != nil {
			t.Fatal(err)
		}
		s := NewSearcher(rows, o)
		for u := range r.NumUsers() {
			items, raw := r.row(u)
			got := s.Nearest(items, weigher.Row(items, raw), o.K, u)
			if diff := gocmp.Diff(want.List(uint32(u)), got, equateEmpty); diff != "" {
				t.Fatalf("row %d (-build +nearest):\n%s", u, diff)
			}
		}
	})
}

// weigh returns r as m weighs it.
func weigh(t testing.TB, r *Rows, m Measure) *Rows {
	t.Helper()
	w, err := NewWeigher(m, r.NumItems, SumsOf(r))
	if err != nil {
		t.Fatal(err)
	}
	return w.Rows(r)
}
