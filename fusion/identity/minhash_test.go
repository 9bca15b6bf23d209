package identity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestSignaturesEstimateJaccard compares the share of equal places with the exact similarity: the mean error over many pairs must be near none, and
// single ones within five standard errors.
func TestSignaturesEstimateJaccard(t *testing.T) {
	const places, pairs = 256, 400
	h := newMinHash(places, 7)
	r := rand.New(rand.NewPCG(1, 2))
	sum := 0.0
	for range pairs {
		all, both := 10+r.IntN(200), 0
		var a, b []uint64
		p := r.Float64()
		for range all {
			x := r.Uint64()
			switch {
			case r.Float64() < p:
				a, b = append(a, x), append(b, x)
				both++
			case r.IntN(2) == 0:
				a = append(a, x)
			default:
				b = append(b, x)
			}
		}
		slices.Sort(a)
		slices.Sort(b)
		j := jaccard(a, b)
		if want := float64(both) / float64(all); math.Abs(j-want) > 1e-12 {
			t.Fatalf("jaccard of sets that share %d of %d is %v", both, all, j)
		}
		x, y := make([]uint32, places), make([]uint32, places)
		h.sign(x, a)
		h.sign(y, b)
		equal := 0
		for i := range x {
			if x[i] == y[i] {
				equal++
			}
		}
		estimate := float64(equal) / places
		if e := math.Sqrt(max(j*(1-j), 0.01) / places); math.Abs(estimate-j) > 5*e {
			t.Errorf("sets of similarity %v agree at %v of the places; the standard error is %v", j, estimate, e)
		}
		sum += estimate - j
	}
	if mean := sum / pairs; math.Abs(mean) > 0.006 { // 4 standard errors of the mean: 4 x 0.5/16/20
		t.Errorf("the estimate is off by %v on average", mean)
	}
}

// TestUnionFindLikeNaive compares the forest with labels that are all rewritten at each join.
func TestUnionFindLikeNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		f, labels := newForest(n), make([]int, n)
		for i := range labels {
			labels[i] = i
		}
		for range rapid.IntRange(0, 80).Draw(t, "joins") {
			x, y := rapid.IntRange(0, n-1).Draw(t, "x"), rapid.IntRange(0, n-1).Draw(t, "y")
			root, other := f.join(uint32(x), uint32(y))
			if (root == other) != (labels[x] == labels[y]) {
				t.Fatalf("join of %d and %d says %d and %d, labels are %v", x, y, root, other, labels)
			}
			from, to := labels[x], labels[y]
			for i := range labels {
				if labels[i] == from {
					labels[i] = to
				}
			}
		}
		for i := range labels {
			members := 0
			for j := range labels {
				if (f.root(uint32(i)) == f.root(uint32(j))) != (labels[i] == labels[j]) {
					t.Fatalf("%d and %d: roots %d and %d, labels %v", i, j, f.root(uint32(i)), f.root(uint32(j)), labels)
				}
				if labels[i] == labels[j] {
					members++
				}
			}
			if got := int(f.size[f.root(uint32(i))]); got != members {
				t.Fatalf("the set of %d has %d members, not %d", i, members, got)
			}
		}
	})
}

// TestGroupKeepsBounds checks that groups stay within their size and that what is refused would have broken it.
func TestGroupKeepsBounds(t *testing.T) {
	pairs := []scored{{x: 0, y: 1, score: 3}, {x: 2, y: 3, score: 2}, {x: 1, y: 2, score: 9}, {x: 3, y: 4, score: 1}, {x: 0, y: 2, score: 1}}
	joined, refused := group(5, pairs, 3, nil)
	at := func(ps []scored) (out [][2]uint32) {
		for _, p := range ps {
			out = append(out, [2]uint32{p.x, p.y})
		}
		return out
	}
	if d := cmp.Diff([][2]uint32{{1, 2}, {0, 1}, {3, 4}}, at(joined)); d != "" {
		t.Errorf("joined: want (-), got (+):\n%s", d)
	}
	if d := cmp.Diff([][2]uint32{{2, 3}}, at(refused)); d != "" {
		t.Errorf("refused: want (-), got (+):\n%s", d)
	}
}

// TestGroupKeepsSourcesApart checks that no group has two rows of one source, and that the best pair wins.
func TestGroupKeepsSourcesApart(t *testing.T) {
	sources := []uint64{1, 1, 2, 3}
	pairs := []scored{{x: 0, y: 2, score: 1}, {x: 1, y: 2, score: 2}, {x: 2, y: 3, score: 1}, {x: 0, y: 3, score: 1}}
	joined, refused := group(4, pairs, 8, sources)
	if len(joined) != 2 || joined[0].x != 1 || joined[1].x != 0 || joined[1].y != 3 || len(refused) != 0 {
		t.Errorf("joined %v, refused %v; want 1 with 2, then 0 with 3", joined, refused)
	}
}

func TestNormalizeTitle(t *testing.T) {
	c := &TitleConfig{words: map[string]string{"lamp": "light", "new": ""}, ideographs: []replacement{{"落地灯", "灯"}}}
	type parts struct{ Letters, Ideographs, Numbers []string }
	for title, want := range map[string]parts{
		"ＬＥＤ  Lamp, 0.5 L":       {Letters: []string{"led", "light"}, Numbers: []string{"500ml"}},
		"New! Café-Crème 1,5kg":  {Letters: []string{"cafe", "creme"}, Numbers: []string{"1500g"}},
		"1,000 pieces":           {Numbers: []string{"1000pcs"}},
		"No. 2":                  {Letters: []string{"no"}, Numbers: []string{"2"}},
		"Oak 橡木落地灯 120厘米":        {Letters: []string{"oak"}, Ideographs: []string{"橡木灯"}, Numbers: []string{"1200mm"}},
		"iPhone15 128GB":         {Letters: []string{"iphone"}, Numbers: []string{"128gb", "15"}},
		"v1.2.3":                 {Letters: []string{"v"}, Numbers: []string{"1.2", "3"}},
		"":                       {},
		"\xff...":                {},
		"99999999999999999999 x": {Letters: []string{"x"}, Numbers: []string{"1e+20"}},
	} {
		got := c.normalize(title)
		if d := cmp.Diff(want, parts{got.words[alphabetic], got.words[ideographic], got.numbers}); d != "" {
			t.Errorf("%q: want (-), got (+):\n%s", title, d)
		}
	}
}

// FuzzTitle checks that any title can be added and is the same as itself.
func FuzzTitle(f *testing.F) {
	for _, s := range []string{"Alpine Oak Armchair", "ＬＥＤ灯 0.5L", "1,000,5.", "㎏㍑ ½", "カメラ 한국", "\xff\xfe", "0x1p-2 1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		titles, err := NewTitles(DefaultTitles())
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{"a", "b"} {
			if err := titles.Add(Product{Key: source, Source: source, Title: s}); err != nil {
				t.Fatal(err)
			}
		}
		pairs, _, err := titles.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if words := titles.products[0].empty != [scripts]bool{true, true}; (len(pairs) == 1) != words {
			t.Fatalf("%q has words: %t; pairs with itself: %v", s, words, pairs)
		}
	})
}
