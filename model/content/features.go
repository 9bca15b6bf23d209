package content

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kith-io/kith/model/text"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Options say what products are compared by. All change results.
type Options struct {
	Weighting text.Weighting
	// Text, Category and Number are the weights of the three parts, 0 or more; 0 leaves a part out.
	Text, Category, Number float64
	// MaxShare leaves out words and categories that a larger share of the products has, above 0 to 1.
	MaxShare float64
	// Knots is the number of points that the values of a number are put between, at least 2.
	Knots int
}

// DefaultOptions are good for short descriptions with a few attributes.
func DefaultOptions() Options {
	return Options{Weighting: text.TFIDF, Text: 1, Category: 1, Number: 0.5, MaxShare: 0.5, Knots: 8}
}

func (o Options) validate() error {
	switch {
	case !(o.Text >= 0 && o.Category >= 0 && o.Number >= 0 && o.Text+o.Category+o.Number <= 1e6):
		return fmt.Errorf("weights of text, categories and numbers are %v, %v and %v, want 0 to 1e6 in all", o.Text, o.Category, o.Number)
	case !(o.MaxShare > 0 && o.MaxShare <= 1):
		return fmt.Errorf("largest share is %v, want above 0 and at most 1", o.MaxShare)
	case o.Knots < 2:
		return fmt.Errorf("%d knots, want at least 2", o.Knots)
	}
	return nil
}

// Space is what products are compared by: the words, categories and scales of a set of products. It is not changed once made, and safe for concurrent use.
type Space struct {
	o           Options
	isCategory  map[string]bool // by name of an attribute
	prose, tags *text.Model
	scales      map[string]scale
	columns     int
}

// NewSpace counts what products have. Cost: O(characters + values · log values).
func NewSpace(products []train.Product, o Options) (*Space, error) {
	s, _, _, err := newSpace(products, o)
	return s, err
}

// Features returns products × features, so that the cosine of two rows is the similarity of the package comment. Cost: that of NewSpace.
func Features(products []train.Product, o Options) (*similarity.Rows, error) {
	s, documents, tags, err := newSpace(products, o)
	if err != nil {
		return nil, err
	}
	rows := &similarity.Rows{NumItems: s.columns, Start: make([]int64, 1, len(products)+1), Weight: []float32{}}
	for p := range products {
		s.append(rows, &products[p], documents[p], tags[p])
	}
	return rows, nil
}

// newSpace is NewSpace that also returns the words and the categories of each product.
func newSpace(products []train.Product, o Options) (s *Space, documents, tags [][]string, err error) {
	if err := o.validate(); err != nil {
		return nil, nil, nil, err
	}
	s = &Space{o: o, isCategory: categories(products), scales: map[string]scale{}}
	documents, tags = make([][]string, len(products)), make([][]string, len(products))
	numbers := map[string][]float64{}
	for p := range products {
		documents[p], tags[p] = s.split(&products[p])
		for _, a := range products[p].Attributes {
			if a.IsNumber() && finite(a.Number) {
				numbers[a.Name] = append(numbers[a.Name], a.Number)
			}
		}
	}
	s.prose = text.Fit(documents, o.Weighting, 2, o.MaxShare)
	s.tags = text.Fit(tags, text.TFIDF, 2, o.MaxShare)
	s.columns = len(s.prose.Terms) + len(s.tags.Terms)
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		scale := newScale(numbers[name], o.Knots)
		scale.first = s.columns
		s.columns += len(scale.knots)
		s.scales[name] = scale
	}
	return s, documents, tags, nil
}

// Columns is the number of features.
func (s *Space) Columns() int { return s.columns }

// Vector returns the features of a product, ascending, and their weights. The product need not be one that s was made of: what s does not know is left out, and a number beyond all
// others counts as the nearest of them.
func (s *Space) Vector(p train.Product) (features []uint32, weights []float32) {
	rows := &similarity.Rows{Weight: []float32{}}
	documents, tags := s.split(&p)
	s.append(rows, &p, documents, tags)
	return rows.Item, rows.Weight
}

// split returns the words of a product's prose, if these count, and its categories.
func (s *Space) split(p *train.Product) (words, tags []string) {
	for _, a := range p.Attributes {
		for _, v := range a.Texts {
			if !s.isCategory[a.Name] {
				if s.o.Text > 0 {
					words = append(words, text.Tokens(v)...)
				}
			} else if v = category(v); v != "" {
				tags = append(tags, a.Name+"\x00"+v)
			}
		}
	}
	slices.Sort(tags)
	return words, slices.Compact(tags)
}

// append appends the row of a product.
func (s *Space) append(rows *similarity.Rows, p *train.Product, words, tags []string) {
	terms, weights := s.prose.Vector(words)
	appendPart(rows, 0, terms, weights, s.o.Text)
	terms, weights = s.tags.Vector(tags)
	appendPart(rows, len(s.prose.Terms), terms, weights, s.o.Category)
	terms, weights = terms[:0], weights[:0]
	for _, a := range p.Attributes { // by name, as columns are
		if a.IsNumber() {
			terms, weights = s.scales[a.Name].append(terms, weights, a.Number)
		}
	}
	appendPart(rows, 0, terms, weights, s.o.Number)
	rows.Start = append(rows.Start, int64(len(rows.Item)))
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// categories returns the names of the attributes whose texts repeat: there are at most half as many different ones as there are of all. Others are prose.
func categories(products []train.Product) map[string]bool {
	all, different := map[string]int{}, map[string]map[string]bool{}
	for _, p := range products {
		for _, a := range p.Attributes {
			for _, v := range a.Texts {
				if different[a.Name] == nil {
					different[a.Name] = map[string]bool{}
				}
				all[a.Name]++
				different[a.Name][category(v)] = true
			}
		}
	}
	out := map[string]bool{}
	for name, n := range all {
		out[name] = 2*len(different[name]) <= n
	}
	return out
}

func category(v string) string { return strings.ToLower(strings.TrimSpace(v)) }

// appendPart appends a vector with its length made √weight, columns shifted by offset.
func appendPart(rows *similarity.Rows, offset int, terms []uint32, weights []float32, weight float64) {
	var square float64
	for _, w := range weights {
		square += float64(w) * float64(w)
	}
	if square == 0 || weight == 0 {
		return
	}
	by := math.Sqrt(weight / square)
	for i, term := range terms {
		if w := float32(float64(weights[i]) * by); w >= similarity.MinWeight {
			rows.Item = append(rows.Item, uint32(offset)+term)
			rows.Weight = append(rows.Weight, w)
		}
	}
}

// scale puts the values of a number between knots.
type scale struct {
	knots []float64 // ascending; none where all values are the same
	first int       // the column of the first
}

// newScale puts n knots at quantiles of equal distance, so that half of the products are on each side of the middle whatever the unit; equal ones are one.
func newScale(values []float64, n int) scale {
	slices.Sort(values)
	var knots []float64
	for k := range n {
		knots = append(knots, values[k*(len(values)-1)/(n-1)])
	}
	if knots = slices.Compact(knots); len(knots) < 2 {
		return scale{}
	}
	return scale{knots: knots}
}

// append appends the roots of the two hat functions (linear B-splines) that are not zero at x. The sum of their squares is 1, so the product with those of another value is a
// kernel that is 1 for equal values, falls with the distance, and is 0 from two knots on.
func (s scale) append(terms []uint32, weights []float32, x float64) ([]uint32, []float32) {
	if len(s.knots) == 0 || !finite(x) {
		return terms, weights
	}
	x = min(max(x, s.knots[0]), s.knots[len(s.knots)-1])
	k, exact := slices.BinarySearch(s.knots, x)
	if exact {
		return append(terms, uint32(s.first+k)), append(weights, 1)
	}
	part := x/2 - s.knots[k-1]/2 // halves, so that no difference is beyond float64
	part /= s.knots[k]/2 - s.knots[k-1]/2
	return append(terms, uint32(s.first+k-1), uint32(s.first+k)), append(weights, float32(math.Sqrt(1-part)), float32(math.Sqrt(part)))
}
