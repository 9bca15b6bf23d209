package hybrid

import (
	"fmt"
	"math"
	"slices"

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

// Blending adds up what models say of each item, times their weights. It is immutable and safe for concurrent use.
type Blending struct {
	names   []string
	weights []float64
	n       Normalization
	depth   int
}

// NewBlending returns a blending of models, each asked for depth items. weights goes with names.
func NewBlending(names []string, weights []float64, n Normalization, depth int) (*Blending, error) {
	if err := checkBase(names, weights, depth); err != nil {
		return nil, err
	}
	if int(n) >= len(Normalizations()) {
		return nil, fmt.Errorf("unknown normalization %d", n)
	}
	return &Blending{names, weights, n, depth}, nil
}

// Base implements train.Combination.
func (b *Blending) Base() []string { return slices.Clone(b.names) }

// Depths implements train.Combination.
func (b *Blending) Depths(model.Query) []int { return same(b.depth, len(b.names)) }

// Combine implements train.Combination: items by weighted sum. Cost: O(models · depth · log depth).
func (b *Blending) Combine(_ model.Query, answers [][]model.Scored) []model.Scored {
	a := gather(answers)
	scores := make([]float64, len(a.items))
	for i, weight := range b.weights {
		values, absent := normalize(a.answers[i], b.n, b.depth)
		for j, at := range a.position[i] {
			x := absent
			if at >= 0 {
				x = values[at]
			}
			scores[j] += weight * x
		}
	}
	return a.rank(scores)
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

// Switching lets one model answer, by the length of the history: those that need little come first. It is immutable and safe for concurrent use.
type Switching struct {
	names []string
	until []int
}

// NewSwitching returns a switching: model i answers histories of fewer than until[i] items that no model before it answers, and the last, which has no bound, all others.
func NewSwitching(names []string, until []int) (*Switching, error) {
	if err := checkBase(names, nil, 1); err != nil {
		return nil, err
	}
	if len(until) != len(names)-1 {
		return nil, fmt.Errorf("%d lengths of histories for %d models, want one less than models", len(until), len(names))
	}
	for i, n := range until {
		if n < 1 || i > 0 && n <= until[i-1] {
			return nil, fmt.Errorf("lengths of histories are %v, want ascending from 1", until)
		}
	}
	return &Switching{names, until}, nil
}

// choose returns the model for a query.
func (s *Switching) choose(q model.Query) int {
	i := 0
	for i < len(s.until) && len(q.Items) >= s.until[i] {
		i++
	}
	return i
}

// Base implements train.Combination.
func (s *Switching) Base() []string { return slices.Clone(s.names) }

// Depths implements train.Combination: one model is asked.
func (s *Switching) Depths(q model.Query) []int {
	depths := make([]int, len(s.names))
	depths[s.choose(q)] = q.N
	return depths
}

// Combine implements train.Combination: the answer of that model.
func (s *Switching) Combine(q model.Query, answers [][]model.Scored) []model.Scored {
	return answers[s.choose(q)]
}
