package identity

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func find(t *testing.T, cfg TitleConfig, products []Product) ([]Pair, DuplicateReport) {
	t.Helper()
	titles, err := NewTitles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range products {
		if err := titles.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	pairs, report, err := titles.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pairs, report
}

func TestDuplicateTitles(t *testing.T) {
	listing := func(source, title string, attributes ...string) Product {
		return Product{Key: source + title, Source: source, Title: title, Attributes: attributes}
	}
	with := func(change func(*TitleConfig)) TitleConfig {
		cfg := DefaultTitles()
		change(&cfg)
		return cfg
	}
	tests := []struct {
		name string
		cfg  TitleConfig
		a, b Product
		one  bool
	}{
		{"order, case, width, unit", DefaultTitles(), listing("a", "Alpine Oak Bench 120 cm"), listing("b", "ＢＥＮＣＨ, oak (alpine) 1.2m"), true},
		{"another number", DefaultTitles(), listing("a", "Phone 128 GB"), listing("b", "Phone 256 GB"), false},
		{"numbers do not matter", with(func(c *TitleConfig) { c.Numbers = false }), listing("a", "Phone 128 GB"), listing("b", "Phone 256 GB"), true},
		{"another brand of a similar title", DefaultTitles(), listing("a", "Alpine Oak Garden Bench large", "x"), listing("b", "Alpine Oak Garden Bench", "y"), false},
		{"the same brand of a similar title", DefaultTitles(), listing("a", "Alpine Oak Garden Bench large", "x"), listing("b", "Alpine Oak Garden Bench", "X "), true},
		{"another brand of the same title", DefaultTitles(), listing("a", "Alpine Oak Garden Bench", "x"), listing("b", "Oak Garden Bench Alpine", "y"), true},
		{"brands are strict", with(func(c *TitleConfig) { c.Despite = 2 }), listing("a", "Alpine Oak Garden Bench", "x"), listing("b", "Oak Garden Bench Alpine", "y"), false},
		{"a missing brand", DefaultTitles(), listing("a", "Alpine Oak Garden Bench large", "x"), listing("b", "Alpine Oak Garden Bench", ""), true},
		{"one source", DefaultTitles(), listing("a", "Alpine Oak Bench"), listing("a", "Oak Bench Alpine"), false},
		{"one source may repeat", with(func(c *TitleConfig) { c.Across = false }), listing("a", "Alpine Oak Bench"), listing("a", "Oak Bench Alpine"), true},
		{"Chinese", DefaultTitles(), listing("a", "北欧橡木落地灯 客厅用"), listing("b", "客厅用北欧橡木落地灯"), true},
		{"Chinese beside English", DefaultTitles(), listing("a", "Nordic Oak Floor Lamp"), listing("b", "北欧橡木落地灯 Nordic Oak Floor Lamp"), true},
		{"Chinese against English", DefaultTitles(), listing("a", "Nordic Oak Floor Lamp"), listing("b", "北欧橡木落地灯"), false},
		{
			"by a dictionary", with(func(c *TitleConfig) { c.Synonyms = map[string]string{"橡木": "桌", "rucksack": "backpack"} }),
			listing("a", "Nylon Rucksack"), listing("b", "nylon backpack"), true,
		},
		{"nothing in common", DefaultTitles(), listing("a", "Alpine Oak Bench"), listing("b", "Silk Scarf"), false},
		{"no title", DefaultTitles(), listing("a", ""), listing("b", "..."), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if pairs, _ := find(t, tt.cfg, []Product{tt.a, tt.b}); (len(pairs) == 1) != tt.one {
				t.Errorf("%q and %q: %v, want one: %t", tt.a.Title, tt.b.Title, pairs, tt.one)
			}
		})
	}
}

// TestFindLikeAllPairs compares with the exact similarities of all pairs: what banding misses must be as little as its formula says, nothing else may be
// found, and the order of the listings must not matter.
func TestFindLikeAllPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	words := []string{"alpine", "amber", "bench", "chair", "copper", "garden", "lamp", "nordic", "oak", "paper", "reading", "steel", "table", "velvet", "walnut", "wool"}
	var products []Product
	for i := range 400 {
		title := ""
		for range r.IntN(4) + 2 {
			title += words[r.IntN(len(words))] + " "
		}
		products = append(products, Product{Key: fmt.Sprintf("k%03d", i), Source: fmt.Sprint(i), Title: title})
	}
	cfg := DefaultTitles()
	cfg.MaxGroup = 2 // so that each pair is its own
	titles, err := NewTitles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range products {
		if err := titles.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	similar := int64(0)
	for x := range products {
		for y := range x {
			if titles.similarity(uint32(x), uint32(y)) >= cfg.Similarity {
				similar++
			}
		}
	}
	pairs, report := find(t, cfg, products)
	if similar < 100 || report.Matched > similar || float64(report.Matched) < 0.985*float64(similar) {
		t.Errorf("%d pairs found, %d are similar", report.Matched, similar)
	}
	// Pairs apart in a bucket that was cut are found by another band.
	small := cfg
	small.MaxBucket = 3
	if _, cut := find(t, small, products); cut.Buckets == 0 || float64(cut.Matched) < 0.95*float64(similar) {
		t.Errorf("with small buckets, of which %d are cut, %d pairs of %d are found", cut.Buckets, cut.Matched, similar)
	}
	shuffled := slices.Clone(products)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	others, otherReport := find(t, cfg, shuffled)
	if d := cmp.Diff(pairs, others); d != "" {
		t.Errorf("in another order:\n%s", d)
	}
	if d := cmp.Diff(report, otherReport); d != "" {
		t.Errorf("reports in another order:\n%s", d)
	}
}

// TestLargeBuckets lists the same title a thousand times: the buckets are cut, and yet all that is one is found.
func TestLargeBuckets(t *testing.T) {
	cfg := DefaultTitles()
	cfg.MaxBucket, cfg.MaxGroup = 10, 2000
	var products []Product
	for i := range 1000 {
		products = append(products, Product{Key: fmt.Sprintf("k%04d", i), Source: fmt.Sprint(i), Title: "Steel Bottle"})
	}
	pairs, report := find(t, cfg, products)
	if report.Buckets == 0 || report.Joined != 999 || len(pairs) != 999 {
		t.Errorf("%+v; want buckets to be cut, and 999 joined", report)
	}
	if all := int64(1000 * 999 / 2); report.Compared >= all {
		t.Errorf("%d pairs compared of %d", report.Compared, all)
	}
}

func TestTitlesRefuse(t *testing.T) {
	for _, change := range []func(*TitleConfig){
		func(c *TitleConfig) { c.Letters = 1 },
		func(c *TitleConfig) { c.Ideographs = 9 },
		func(c *TitleConfig) { c.Bands = 0 },
		func(c *TitleConfig) { c.Rows = 99 },
		func(c *TitleConfig) { c.Similarity = 0 },
		func(c *TitleConfig) { c.Despite = 0.5 },
		func(c *TitleConfig) { c.MaxBucket = 1 },
		func(c *TitleConfig) { c.MaxGroup = 1 },
		func(c *TitleConfig) { c.Synonyms = map[string]string{"": "x"} },
	} {
		cfg := DefaultTitles()
		change(&cfg)
		if _, err := NewTitles(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: error %v, want %v", cfg, err, ErrConfig)
		}
	}
	titles, err := NewTitles(DefaultTitles())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(titles.Add(Product{Key: "a", Title: "x"}), titles.Add(Product{Key: "a", Title: "y"})); err != nil {
		t.Fatal(err)
	}
	if err := titles.Add(Product{Key: "b", Attributes: []string{"x"}}); !errors.Is(err, ErrConfig) {
		t.Errorf("other attributes: error %v, want %v", err, ErrConfig)
	}
	if _, _, err := titles.Find(t.Context()); !errors.Is(err, ErrConfig) {
		t.Errorf("a key twice: error %v, want %v", err, ErrConfig)
	}
}
