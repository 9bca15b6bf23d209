package identity

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// TitleConfig says when two products are taken for one by their titles. Every field but Samples changes results.
type TitleConfig struct {
	// Letters and Ideographs are the lengths of n-grams, 2 to 8 and 1 to 4.
	Letters, Ideographs int
	// Bands and Rows are the shape of signatures: two titles of similarity s are compared with a probability of 1-(1-s^Rows)^Bands.
	Bands, Rows int
	// Similarity is the least Jaccard similarity of two products that are one.
	Similarity float64
	// Numbers says that both titles must have the same numbers, units converted: "No. 2" and "128 GB" tell products apart by a character.
	Numbers bool
	// Agree says that the attributes given with a title must be equal where both have them, but for Despite.
	Agree bool
	// Despite is the similarity from which attributes that differ do not matter, since sources err about them, too; above 1 for never.
	Despite float64
	// Across says that products of one source are never one: a supplier does not list a product twice. So a listing is joined to the most similar one
	// of each other source alone.
	Across bool
	// Synonyms are words that are written as another one, "" to leave out; longer ones come before shorter ones among ideographs.
	Synonyms map[string]string
	// MaxBucket is the greatest number of products with an equal band that are compared with each other. Larger buckets are cut to neighbors in the order of the rest
	// of the signature, and counted.
	MaxBucket int
	// MaxGroup is the greatest number of listings of a product.
	MaxGroup int
	// Seed chooses the hash functions.
	Seed uint64
	// Samples is how many refused pairs the report shows.
	Samples int

	words      map[string]string
	ideographs []replacement
}

type replacement struct{ from, to string }

// DefaultTitles returns the configuration for titles of products from several suppliers.
func DefaultTitles() TitleConfig {
	return TitleConfig{
		Letters: 3, Ideographs: 2,
		Bands: 32, Rows: 4, // finds 98.8 % of pairs of similarity 0.6, 5 % of those of 0.2
		Similarity: 0.6,
		Numbers:    true, Agree: true, Across: true,
		Despite:   0.9, // titles of the same words; another color or material makes more difference
		MaxBucket: 200, MaxGroup: 8, Samples: 10,
	}
}

func (c *TitleConfig) validate() error {
	switch {
	case c.Letters < 2 || c.Letters > 8 || c.Ideographs < 1 || c.Ideographs > 4:
		return fmt.Errorf("%w: Letters is %d, Ideographs %d; want 2 to 8 and 1 to 4", ErrConfig, c.Letters, c.Ideographs)
	case c.Bands < 1 || c.Bands > 256 || c.Rows < 1 || c.Rows > 32:
		return fmt.Errorf("%w: Bands is %d, Rows %d; want 1 to 256 and 1 to 32", ErrConfig, c.Bands, c.Rows)
	case !(c.Similarity > 0 && c.Similarity <= 1) || !(c.Despite >= c.Similarity):
		return fmt.Errorf("%w: Similarity is %v, Despite %v; want above 0, up to 1, and not below it", ErrConfig, c.Similarity, c.Despite)
	case c.MaxBucket < 2 || c.MaxBucket > 10_000 || c.MaxGroup < 2 || c.Samples < 0:
		return fmt.Errorf("%w: MaxBucket is %d, MaxGroup %d, Samples %d; want 2 to 10000, at least 2, and 0 or more", ErrConfig, c.MaxBucket, c.MaxGroup, c.Samples)
	}
	return nil
}

// Product is a listing. Key is unique within all sources.
type Product struct {
	Key, Source, Title string
	// Attributes such as brand and category, in an order that is the same for all products; "" is missing.
	Attributes []string
}

// Titles finds listings of the same product. It takes the key, 8 bytes for each shingle (about 25 a title), 4 bytes for each band and
// 8 for each attribute. It is not safe for concurrent use.
type Titles struct {
	cfg      TitleConfig
	hash     *minHash
	products []listing
	shingles []uint64
	bands    []uint32
	sign     []uint32
	attrs    []digest
	perItem  int
}

// listing is a product: where its shingles of each script end, and what else it is compared by.
type listing struct {
	key     string
	start   int
	ends    [scripts]int
	numbers uint64
	source  uint64
	empty   [scripts]bool
}

// NewTitles returns an empty collection.
func NewTitles(cfg TitleConfig) (*Titles, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.words = map[string]string{}
	for from, to := range cfg.Synonyms {
		if from = strings.ToLower(from); from == "" {
			return nil, fmt.Errorf("%w: Synonyms has an empty word", ErrConfig)
		}
		to = strings.ToLower(to)
		if isIdeograph([]rune(from)[0]) {
			cfg.ideographs = append(cfg.ideographs, replacement{from, to})
		} else {
			cfg.words[from] = to
		}
	}
	slices.SortFunc(cfg.ideographs, func(p, q replacement) int {
		return cmp.Or(cmp.Compare(len(q.from), len(p.from)), strings.Compare(p.from, q.from))
	})
	return &Titles{cfg: cfg, hash: newMinHash(cfg.Bands*cfg.Rows, cfg.Seed), sign: make([]uint32, cfg.Bands*cfg.Rows), perItem: -1}, nil
}

// Add adds a listing.
func (t *Titles) Add(p Product) error {
	if t.perItem < 0 {
		t.perItem = len(p.Attributes)
	}
	if len(p.Attributes) != t.perItem {
		return fmt.Errorf("%w: product %s has %d attributes; those before have %d", ErrConfig, p.Key, len(p.Attributes), t.perItem)
	}
	title := t.cfg.normalize(p.Title)
	l := listing{key: strings.Clone(p.Key), start: len(t.shingles), source: xxhash.Sum64String(p.Source), numbers: xxhash.Sum64String(strings.Join(title.numbers, " "))}
	for s := range scripts {
		n, marked := t.cfg.Letters, true
		if s == ideographic {
			n, marked = t.cfg.Ideographs, false
		}
		from := len(t.shingles)
		t.shingles = shingles(t.shingles, title.words[s], n, marked)
		l.ends[s] = len(t.shingles)
		set := t.shingles[from:]
		l.empty[s] = len(set) == 0
		t.hash.sign(t.sign, set)
		for b := range t.cfg.Bands {
			h := uint64(b)
			for _, v := range t.sign[b*t.cfg.Rows : (b+1)*t.cfg.Rows] {
				h = combine(h, uint64(v))
			}
			t.bands = append(t.bands, uint32(h))
		}
	}
	for _, a := range p.Attributes {
		v := digest(0)
		if a = Plain.Normalize(a, FormOptions{}); a != "" {
			v = max(1, digest(xxhash.Sum64String(a)))
		}
		t.attrs = append(t.attrs, v)
	}
	t.products = append(t.products, l)
	return nil
}

// set returns the shingles of a listing in a script.
func (t *Titles) set(i uint32, s script) []uint64 {
	l := &t.products[i]
	start := l.start
	if s > 0 {
		start = l.ends[s-1]
	}
	return t.shingles[start:l.ends[s]]
}

// similarity returns the Jaccard similarity of two titles: of the letters and of the ideographs by themselves, weighted by their number, where both have both;
// else of what both have. So a title in two languages equals one in either.
func (t *Titles) similarity(x, y uint32) float64 {
	sum, weight := 0.0, 0.0
	for s := range scripts {
		a, b := t.set(x, s), t.set(y, s)
		if len(a) > 0 && len(b) > 0 {
			w := float64(len(a) + len(b))
			sum += w * jaccard(a, b)
			weight += w
		}
	}
	if weight == 0 {
		return 0
	}
	return sum / weight
}

// possible reports whether two listings may be one, going by their sources and numbers.
func (t *Titles) possible(x, y uint32) bool {
	a, b := &t.products[x], &t.products[y]
	return !(t.cfg.Across && a.source == b.source || t.cfg.Numbers && a.numbers != b.numbers)
}

// least returns the similarity that two listings need to be one.
func (t *Titles) least(x, y uint32) float64 {
	if t.cfg.Agree {
		for i := range t.perItem {
			v, w := t.attrs[int(x)*t.perItem+i], t.attrs[int(y)*t.perItem+i]
			if v != 0 && w != 0 && v != w {
				return t.cfg.Despite
			}
		}
	}
	return t.cfg.Similarity
}

func (t *Titles) band(i uint32, s script, b int) uint32 {
	return t.bands[(int(i)*int(scripts)+int(s))*t.cfg.Bands+b]
}

// DuplicateReport says what Find did.
type DuplicateReport struct {
	Products int `json:"products"`
	// Compared is the number of pairs with an equal band that passed the conditions on sources and numbers, Matched that of those that were similar enough, Joined that of listings
	// that were joined to another one.
	Compared int64 `json:"compared"`
	Matched  int64 `json:"matched"`
	Joined   int64 `json:"joined"`
	// Buckets is the number of buckets that were cut, since more than MaxBucket products had an equal band.
	Buckets int64 `json:"buckets"`
	// Refused is the number of pairs that would have made a group larger than MaxGroup, RefusedPairs has the best of them.
	Refused      int64  `json:"refused"`
	RefusedPairs []Pair `json:"refused_pairs,omitempty"`
}

// Find returns the pairs by which listings are joined, by descending similarity, then key. The result does not depend on the order of Add. Keys must be distinct.
//
// It sorts the listings once for each band and script (Leskovec, Rajaraman and Ullman [leskovec2014], section 3.4), and compares those with an
// equal band exactly.
func (t *Titles) Find(ctx context.Context) ([]Pair, DuplicateReport, error) {
	report := DuplicateReport{Products: len(t.products)}
	byKey, err := t.ranks()
	if err != nil {
		return nil, report, err
	}
	var found []scored // by rank
	cut := map[bucket]bool{}
	by := make([]uint64, 0, len(t.products)) // a band above the rank
	for s := range scripts {
		for b := range t.cfg.Bands {
			if err := ctx.Err(); err != nil {
				return nil, report, err
			}
			by = by[:0]
			for rank, i := range byKey {
				if !t.products[i].empty[s] {
					by = append(by, uint64(t.band(i, s, b))<<32|uint64(rank))
				}
			}
			slices.Sort(by)
			for run := range runs(by) {
				at, width := bucket{s, b, uint32(run[0] >> 32)}, len(run)
				if width > t.cfg.MaxBucket {
					cut[at] = true
					width = t.cut(run, byKey, at)
				}
				for j := range run {
					for _, p := range run[max(0, j-width):j] {
						x, y := byKey[uint32(p)], byKey[uint32(run[j])]
						if !t.possible(x, y) || t.shared(x, y, at, cut) {
							continue
						}
						report.Compared++
						if v := t.similarity(x, y); v >= t.least(x, y) {
							found = append(found, scored{x: min(uint32(p), uint32(run[j])), y: max(uint32(p), uint32(run[j])), score: v})
						}
					}
				}
			}
		}
	}
	report.Buckets = int64(len(cut))
	slices.SortFunc(found, func(p, q scored) int { return cmp.Or(cmp.Compare(p.x, q.x), cmp.Compare(p.y, q.y)) })
	found = slices.CompactFunc(found, func(p, q scored) bool { return p.x == q.x && p.y == q.y })
	report.Matched = int64(len(found))
	var sources []uint64
	if t.cfg.Across {
		for _, i := range byKey {
			sources = append(sources, t.products[i].source)
		}
	}
	joined, refused := group(len(t.products), found, t.cfg.MaxGroup, sources)
	report.Joined, report.Refused = int64(len(joined)), int64(len(refused))
	pair := func(p scored) Pair {
		return Pair{A: t.products[byKey[p.x]].key, B: t.products[byKey[p.y]].key, Score: p.score}
	}
	for _, p := range refused[:min(len(refused), t.cfg.Samples)] {
		report.RefusedPairs = append(report.RefusedPairs, pair(p))
	}
	out := make([]Pair, len(joined))
	for i, p := range joined {
		out[i] = pair(p)
	}
	return out, report, nil
}

// ranks returns the listings in the order of their keys.
func (t *Titles) ranks() ([]uint32, error) {
	byKey := make([]uint32, len(t.products))
	for i := range byKey {
		byKey[i] = uint32(i)
	}
	slices.SortFunc(byKey, func(x, y uint32) int { return strings.Compare(t.products[x].key, t.products[y].key) })
	for i := 1; i < len(byKey); i++ {
		if key := t.products[byKey[i]].key; key == t.products[byKey[i-1]].key {
			return nil, fmt.Errorf("%w: product %s is there twice; put the source before the key", ErrConfig, key)
		}
	}
	return byKey, nil
}

// bucket is the listings with an equal band.
type bucket struct {
	script script
	band   int
	value  uint32
}

// cut sorts a bucket that is too large by the bands that follow, so that the more two listings share the closer they stand, and returns how many
// neighbors each is compared with.
func (t *Titles) cut(run []uint64, byKey []uint32, at bucket) int {
	slices.SortFunc(run, func(p, q uint64) int {
		x, y := byKey[uint32(p)], byKey[uint32(q)]
		for i := 1; i < t.cfg.Bands; i++ {
			b := (at.band + i) % t.cfg.Bands
			if c := cmp.Compare(t.band(x, at.script, b), t.band(y, at.script, b)); c != 0 {
				return c
			}
		}
		return cmp.Compare(p, q)
	})
	return t.cfg.MaxBucket
}

// shared reports whether two listings were in an earlier bucket that was not cut, where they have been compared.
func (t *Titles) shared(x, y uint32, at bucket, cut map[bucket]bool) bool {
	for s := range at.script + 1 {
		if t.products[x].empty[s] || t.products[y].empty[s] {
			continue
		}
		bands := t.cfg.Bands
		if s == at.script {
			bands = at.band
		}
		for b := range bands {
			if v := t.band(x, s, b); v == t.band(y, s, b) && !cut[bucket{s, b, v}] {
				return true
			}
		}
	}
	return false
}
