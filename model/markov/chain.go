package markov

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Names of the states of a Chain that are no behaviors.
const (
	Start = "start"
	End   = "end"
)

// ErrState is matched by the error of a question about a state that a chain does not have.
var ErrState = errors.New("unknown state")

// Chain is a first-order Markov chain with an end. It is immutable and safe for concurrent use.
type Chain struct {
	names []string // End is the last
	p     *mat.Dense
}

// NewChain makes a chain of states; p[i][j] is the probability of state j right after state i. What a row lacks to 1 is the probability of End, which is
// added to the states. The error names the state whose row is not one of probabilities.
func NewChain(names []string, p [][]float64) (*Chain, error) {
	n := len(names)
	if len(p) != n {
		return nil, fmt.Errorf("%d rows for %d states", len(p), n)
	}
	c := &Chain{append(slices.Clone(names), End), mat.NewDense(n+1, n+1, nil)}
	for i, row := range p {
		if slices.Contains(c.names[:i], names[i]) || names[i] == End {
			return nil, fmt.Errorf("state %q is there twice", names[i])
		}
		if len(row) != n {
			return nil, fmt.Errorf("state %q has %d probabilities for %d states", names[i], len(row), n)
		}
		rest := 1.0
		for j, x := range row {
			if !(x >= 0 && x <= 1) {
				return nil, fmt.Errorf("the probability of %q after %q is %v, want 0 to 1", names[j], names[i], x)
			}
			c.p.Set(i, j, x)
			rest -= x
		}
		if rest < -1e-9 {
			return nil, fmt.Errorf("the probabilities after %q sum to %v, want up to 1", names[i], 1-rest)
		}
		if rest > 1e-12*float64(n) { // else the rounding of sums
			c.p.Set(i, n, rest)
		}
	}
	c.p.Set(n, n, 1)
	return c, nil
}

// States returns the names of the states, End last. The caller must not change them.
func (c *Chain) States() []string { return c.names }

func (c *Chain) state(name string) (int, error) {
	if i := slices.Index(c.names, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("%w %q, want one of %q", ErrState, name, c.names)
}

// Path returns the probability that the chain, being in the first state, goes through all others one after the other: the product of the steps. It is 1 for
// one state.
func (c *Chain) Path(states ...string) (float64, error) {
	p, before := 1.0, -1
	for _, name := range states {
		i, err := c.state(name)
		if err != nil {
			return 0, err
		}
		if before >= 0 {
			p *= c.p.At(before, i)
		}
		before = i
	}
	return p, nil
}

// maxSteps bounds how far ahead Ahead looks.
const maxSteps = 1 << 20

// Ahead returns the probability of each of States after n steps from a state: a row of the n-th power of the matrix. Cost: O(states³ log n).
func (c *Chain) Ahead(from string, n int) ([]float64, error) {
	i, err := c.state(from)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > maxSteps {
		return nil, fmt.Errorf("%d steps, want 0 to %d", n, maxSteps)
	}
	var power mat.Dense
	power.Pow(c.p, n)
	return slices.Clone(power.RawRowView(i)), nil
}

// Fate is what becomes of a chain that stops at certain states.
type Fate struct {
	// From is where it begins.
	From string
	// Chance has, for each of the states where it stops, End last, the probability that it stops there. They sum to 1.
	Chance []float64
	// Steps is the expected number of steps until it stops.
	Steps float64
}

// Stopping returns the fate from each state that is not one of stop; End is one where it stops too. The error is one for a chain that from some state never comes to any of them.
// Cost: O(states³). The fundamental matrix [kemeny1960] is not formed: (I − Q) X = R is solved for the chances, and (I − Q) t = 1 for the steps.
func (c *Chain) Stopping(stop ...string) ([]Fate, error) {
	ends := make([]int, 0, len(stop)+1)
	for _, name := range append(slices.Clone(stop), End) {
		i, err := c.state(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(ends, i) {
			return nil, fmt.Errorf("state %q is there twice", name)
		}
		ends = append(ends, i)
	}
	var passing []int
	for i := range c.names {
		if !slices.Contains(ends, i) {
			passing = append(passing, i)
		}
	}
	if len(passing) == 0 {
		return nil, nil
	}
	left := mat.NewDense(len(passing), len(passing), nil)
	right := mat.NewDense(len(passing), len(ends)+1, nil)
	for a, i := range passing {
		for b, j := range passing {
			x := -c.p.At(i, j)
			if a == b {
				x++
			}
			left.Set(a, b, x)
		}
		for b, j := range ends {
			right.Set(a, b, c.p.At(i, j))
		}
		right.Set(a, len(ends), 1)
	}
	if name, ok := c.stuck(passing, ends); ok {
		return nil, fmt.Errorf("from state %q the chain comes to none of %q", name, append(slices.Clone(stop), End))
	}
	var x mat.Dense
	if err := x.Solve(left, right); err != nil && math.IsInf(float64(condition(err)), 1) {
		return nil, fmt.Errorf("solve for the states %q: %w", stop, err)
	}
	var out []Fate
	for a, i := range passing {
		row := x.RawRowView(a)
		out = append(out, Fate{c.names[i], slices.Clone(row[:len(ends)]), row[len(ends)]})
	}
	return out, nil
}

// condition returns the condition of an error of a solution that may be of few digits, or else infinity.
func condition(err error) mat.Condition {
	var c mat.Condition
	if errors.As(err, &c) {
		return c
	}
	return mat.Condition(math.Inf(1))
}

// stuck finds a state from which none of the ends is reached.
func (c *Chain) stuck(passing, ends []int) (name string, ok bool) {
	reaches := make([]bool, len(c.names))
	for _, i := range ends {
		reaches[i] = true
	}
	for again := true; again; {
		again = false
		for _, i := range passing {
			for j := range c.names {
				if !reaches[i] && reaches[j] && c.p.At(i, j) > 0 {
					reaches[i], again = true, true
				}
			}
		}
	}
	if k := slices.IndexFunc(passing, func(i int) bool { return !reaches[i] }); k >= 0 {
		return c.names[passing[k]], true
	}
	return "", false
}
