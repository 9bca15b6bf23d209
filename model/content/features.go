package content

import (
	"fmt"
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

// Features returns products × features, so that the cosine of two rows is the similarity of the package comment. Cost: O(characters + values · log values).
func Features(products []train.Product, o Options) (*similarity.Rows, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	isCategory := categories(products)
	documents := make([][]string, len(products))
	tags := make([][]string, len(products))
	numbers := map[string][]float64{}
	for p, product := range products {
		for _, a := range product.Attributes {
			switch {
			case len(a.Texts) == 0:
				if !math.IsNaN(a.Number) && !math.IsInf(a.Number, 0) {
					numbers[a.Name] = append(numbers[a.Name], a.Number)
				}
			case isCategory[a.Name]:
				for _, v := range a.Texts {
					if v = category(v); v != "" {
						tags[p] = append(tags[p], a.Name+"\x00"+v)
					}
				}
			default:
				for _, s := range a.Texts {
					documents[p] = append(documents[p], text.Tokens(s)...)
				}
			}
		}
		slices.Sort(tags[p])
		tags[p] = slices.Compact(tags[p])
	}
	prose := text.Fit(documents, o.Weighting, 2, o.MaxShare)
	kinds := text.Fit(tags, text.TFIDF, 2, o.MaxShare)
	scales := map[string]scale{}
	columns := len(prose.Terms) + len(kinds.Terms)
	// In the order of the products, so that columns have the same numbers each time.
	for _, product := range products {
		for _, a := range product.Attributes {
			if _, seen := scales[a.Name]; len(a.Texts) == 0 && !seen && numbers[a.Name] != nil {
				s := newScale(numbers[a.Name], o.Knots)
				s.first = columns
				columns += len(s.knots)
				scales[a.Name] = s
			}
		}
	}
	rows := &similarity.Rows{NumItems: columns, Start: make([]int64, 1, len(products)+1), Weight: []float32{}}
	for p, product := range products {
		terms, weights := prose.Vector(documents[p])
		appendPart(rows, 0, terms, weights, o.Text)
		terms, weights = kinds.Vector(tags[p])
		appendPart(rows, len(prose.Terms), terms, weights, o.Category)
		terms, weights = terms[:0], weights[:0]
		for _, a := range product.Attributes {
			if s, ok := scales[a.Name]; ok && len(a.Texts) == 0 {
				terms, weights = s.append(terms, weights, a.Number)
			}
		}
		sortTogether(terms, weights)
		appendPart(rows, 0, terms, weights, o.Number)
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return rows, nil
}

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
	if len(s.knots) == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return terms, weights
	}
	k, exact := slices.BinarySearch(s.knots, x) // within the knots: they span all values
	if exact {
		return append(terms, uint32(s.first+k)), append(weights, 1)
	}
	part := x/2 - s.knots[k-1]/2 // halves, so that no difference is beyond float64
	part /= s.knots[k]/2 - s.knots[k-1]/2
	return append(terms, uint32(s.first+k-1), uint32(s.first+k)), append(weights, float32(math.Sqrt(1-part)), float32(math.Sqrt(part)))
}

// sortTogether sorts terms ascending and weights with them. A product has few numbers.
func sortTogether(terms []uint32, weights []float32) {
	for i := 1; i < len(terms); i++ {
		for j := i; j > 0 && terms[j] < terms[j-1]; j-- {
			terms[j], terms[j-1] = terms[j-1], terms[j]
			weights[j], weights[j-1] = weights[j-1], weights[j]
		}
	}
}
