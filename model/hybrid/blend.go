package hybrid

import (
	"fmt"
	"math"

	"github.com/kith-io/kith/model"
)

// Normalization says how scores of different parts are made comparable. Each looks at one answer of one part.
type Normalization uint8

const (
	// MinMax maps the least score of the answer to 0 and the largest to 1; all are 1 if they are equal. What is not in the answer has 0. Lee, SIGIR 1997 [lee1997].
	MinMax Normalization = iota
	// ZScore is the number of standard deviations above the mean of the answer, 0 if all are equal. What is not in the answer has that of its last item.
	ZScore
	// Rank is 1 for the first, falling by 1/depth with each rank, and 0 for what is not in the answer: the count of Borda.
	Rank
	// Reciprocal is 1/(60+rank), rank from 1, and 0 for what is not in the answer: reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009 [cormack2009]).
	Reciprocal
)

// reciprocalK is the constant of Cormack et al., who found results to depend little on it.
const reciprocalK = 60

// Normalizations are the names of all, by value.
func Normalizations() []string { return []string{"min-max", "z-score", "rank", "reciprocal"} }

// Blend adds up what the parts say of each item, times their weights. It is safe for concurrent use if the parts are.
type Blend struct {
	parts   []Part
	catalog *Catalog
	n       Normalization
	depth   int
}

// NewBlend returns a blend of parts, each asked for depth items. The catalog is that of the matrix that the parts were made of.
func NewBlend(parts []Part, c *Catalog, n Normalization, depth int) (*Blend, error) {
	if err := checkParts(parts, depth); err != nil {
		return nil, err
	}
	if int(n) >= len(Normalizations()) {
		return nil, fmt.Errorf("hybrid: unknown normalization %d", n)
	}
	return &Blend{parts, c, n, depth}, nil
}

// Recommend returns the items of the largest weighted sum, filled up from popularity. The error is that of a part, or matches model.ErrQuery.
// Cost: that of the parts, and O(parts·depth·log depth).
func (b *Blend) Recommend(q model.Query) ([]model.Scored, error) {
	a, err := b.catalog.ask(b.parts, &q, b.depth)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(a.items))
	for i, p := range b.parts {
		values, absent := normalize(a.answers[i], b.n, b.depth)
		for j, at := range a.position[i] {
			x := absent
			if at >= 0 {
				x = values[at]
			}
			scores[j] += p.Weight * x
		}
	}
	return b.catalog.answer(&q, a.items, scores), nil
}

// normalize returns the values of an answer, and that of what is not in it.
func normalize(answer []model.Scored, n Normalization, depth int) (values []float64, absent float64) {
	values = make([]float64, len(answer))
	if len(answer) == 0 {
		return values, 0
	}
	switch n {
	case MinMax:
		high, low := answer[0].Score, answer[len(answer)-1].Score
		for i, s := range answer {
			values[i] = 1
			if high > low {
				values[i] = (s.Score - low) / (high - low)
			}
		}
	case ZScore:
		var sum, square float64
		for _, s := range answer {
			sum += s.Score
		}
		mean := sum / float64(len(answer))
		for _, s := range answer {
			square += (s.Score - mean) * (s.Score - mean)
		}
		deviation := math.Sqrt(square / float64(len(answer)))
		if answer[0].Score == answer[len(answer)-1].Score {
			return values, 0
		}
		for i, s := range answer {
			values[i] = (s.Score - mean) / deviation
		}
		absent = values[len(values)-1]
	case Rank:
		for i := range answer {
			values[i] = 1 - float64(i)/float64(depth)
		}
	case Reciprocal:
		for i := range answer {
			values[i] = 1 / float64(reciprocalK+i+1)
		}
	}
	return values, absent
}

// Switch lets one part answer, by the length of the history: models that need little come first. It is safe for concurrent use if the parts are.
type Switch struct {
	parts []Part
	until []int
}

// NewSwitch returns a switch: part i answers histories of fewer than until[i] items that no part before it answers, and the last part, which has no bound, all others.
func NewSwitch(parts []Part, until []int) (*Switch, error) {
	if len(parts) == 0 || len(until) != len(parts)-1 {
		return nil, fmt.Errorf("hybrid: %d lengths of histories for %d models, want one less than models", len(until), len(parts))
	}
	for i, n := range until {
		if n < 1 || i > 0 && n <= until[i-1] {
			return nil, fmt.Errorf("hybrid: lengths of histories are %v, want ascending from 1", until)
		}
	}
	return &Switch{parts, until}, nil
}

// Recommend returns what the part for the length of the history says. The error is that of the part.
func (s *Switch) Recommend(q model.Query) ([]model.Scored, error) {
	i := 0
	for i < len(s.until) && len(q.Items) >= s.until[i] {
		i++
	}
	answer, err := s.parts[i].Model.Recommend(q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.parts[i].Name, err)
	}
	return answer, nil
}
