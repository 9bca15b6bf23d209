package hybrid

import (
	"cmp"
	"context"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"
)

// examples are candidates with what is known of them, in groups of one query each.
type examples struct {
	width int
	x     []float32 // examples × width
	label []bool    // the user has it in what was held back
	start []int     // of each group, and the end
}

func (e *examples) len() int            { return len(e.label) }
func (e *examples) row(i int) []float32 { return e.x[i*e.width : (i+1)*e.width] }
func (e *examples) groups() int         { return len(e.start) - 1 }
func (e *examples) until(group int) int { return e.start[group] }
func (e *examples) part(groups int) *examples {
	n := e.until(groups)
	return &examples{e.width, e.x[:n*e.width], e.label[:n], e.start[:groups+1]}
}

// rest is what part leaves.
func (e *examples) rest(groups int) *examples {
	n := e.until(groups)
	r := &examples{width: e.width, x: e.x[n*e.width:], label: e.label[n:]}
	for _, s := range e.start[groups:] {
		r.start = append(r.start, s-n)
	}
	return r
}

// tree is a regression tree. A node with a feature sends what is at most the threshold to left, the rest to right; both have larger numbers. One with feature -1
// is a leaf.
type tree struct {
	feature     []int32
	threshold   []float32
	left, right []int32
	value       []float64
}

func (t *tree) predict(x []float32) float64 {
	n := int32(0)
	for t.feature[n] >= 0 {
		if x[t.feature[n]] <= t.threshold[n] {
			n = t.left[n]
		} else {
			n = t.right[n]
		}
	}
	return t.value[n]
}

// forest adds up trees.
type forest struct {
	base  float64
	trees []tree
}

func (f *forest) predict(x []float32) float64 {
	sum := f.base
	for i := range f.trees {
		sum += f.trees[i].predict(x)
	}
	return sum
}

const (
	bins      = 64  // of a feature: finer thresholds change little
	leaves    = 15  // of a tree: up to interactions of a few features
	minLeaf   = 20  // examples of a leaf
	ridge     = 1.0 // added to the sum of second derivatives of a leaf
	shrinkage = 0.1 // of each tree [friedman2001]
	patience  = 20  // trees without a better NDCG of the groups that are kept apart
)

// boost grows trees one after the other, each a Newton step on the loss of those before (Friedman, Annals of Statistics 29(5), 2001 [friedman2001]; the gain of a split and the
// value of a leaf are those of Chen and Guestrin, KDD 2016, equations 5 to 7 [chen2016]). Features are cut into bins. The last tenth of the groups is not learned from: the trees that rank it best
// are kept. Cost: about examples·features·trees times the depth; memory: features + 24 bytes an example.
func boost(ctx context.Context, all *examples, derive derivatives, trees, threads int) (*forest, error) {
	apart := max(1, all.groups()/10)
	e, check := all.part(all.groups()-apart), all.rest(all.groups()-apart)
	if e.groups() == 0 {
		e = all
	}
	g := newGrower(e, threads)
	f := &forest{}
	scores, checked := make([]float64, e.len()), make([]float64, check.len())
	first, second := make([]float64, e.len()), make([]float64, e.len())
	best, keep := math.Inf(-1), 0
	for n := range trees {
		derive(e, scores, first, second)
		t, err := g.grow(ctx, first, second)
		if err != nil {
			return nil, err
		}
		f.trees = append(f.trees, t)
		for i := range scores {
			scores[i] += t.predict(e.row(i))
		}
		for i := range checked {
			checked[i] += t.predict(check.row(i))
		}
		if x := meanNDCG(check, checked); x > best {
			best, keep = x, n+1
		}
		if n+1 >= keep+patience {
			break
		}
	}
	f.trees = f.trees[:keep]
	return f, nil
}

// grower grows trees on the same examples.
type grower struct {
	e       *examples
	threads int
	edges   [][]float32 // by feature: what is at most edges[b] is in bin b or below
	bin     [][]uint8   // by feature, then example
}

func newGrower(e *examples, threads int) *grower {
	g := &grower{e: e, threads: max(1, threads)}
	for j := range e.width {
		column := make([]float32, e.len())
		for i := range column {
			column[i] = e.row(i)[j]
		}
		distinct := slices.Compact(slices.Sorted(slices.Values(column)))
		edges := distinct
		if len(distinct) > bins {
			sorted := slices.Sorted(slices.Values(column))
			edges = nil
			for b := 1; b <= bins; b++ {
				edges = append(edges, sorted[b*(len(sorted)-1)/bins])
			}
			edges = slices.Compact(edges)
		}
		bin := make([]uint8, len(column))
		for i, x := range column {
			b, _ := slices.BinarySearch(edges, x)
			bin[i] = uint8(min(b, len(edges)-1))
		}
		g.edges, g.bin = append(g.edges, edges), append(g.bin, bin)
	}
	return g
}

// bucket has the sums of the derivatives of the examples of a bin.
type bucket struct {
	first, second float64
	count         int
}

// split is the best way to divide a node.
type split struct {
	gain    float64
	feature int
	bin     uint8
}

type node struct {
	number    int
	rows      []int32
	histogram [][]bucket // by feature and bin
	sum       bucket
	best      split
}

func (g *grower) grow(ctx context.Context, first, second []float64) (tree, error) {
	var t tree
	rows := make([]int32, g.e.len())
	for i := range rows {
		rows[i] = int32(i)
	}
	add := func(n *node) error {
		n.number = len(t.feature)
		t.feature, t.threshold = append(t.feature, -1), append(t.threshold, 0)
		t.left, t.right = append(t.left, 0), append(t.right, 0)
		t.value = append(t.value, -shrinkage*n.sum.first/(n.sum.second+ridge))
		if n.histogram == nil {
			if err := g.count(ctx, n, first, second); err != nil {
				return err
			}
		}
		n.best = g.choose(n)
		return nil
	}
	root := &node{rows: rows}
	for i := range rows {
		root.sum.first, root.sum.second, root.sum.count = root.sum.first+first[i], root.sum.second+second[i], root.sum.count+1
	}
	if err := add(root); err != nil {
		return t, err
	}
	open := []*node{root}
	for range leaves - 1 {
		// The node of the largest gain is divided next, of equal ones the first.
		slices.SortStableFunc(open, func(a, b *node) int { return cmp.Or(cmp.Compare(b.best.gain, a.best.gain), a.number-b.number) })
		if len(open) == 0 || open[0].best.gain <= 0 {
			break
		}
		n := open[0]
		left, right := g.divide(n, first, second)
		small, large := left, right
		if len(right.rows) < len(left.rows) {
			small, large = right, left
		}
		if err := g.count(ctx, small, first, second); err != nil {
			return t, err
		}
		large.histogram = n.histogram // the rest of the parent's
		for j, h := range small.histogram {
			for b, x := range h {
				l := &large.histogram[j][b]
				l.first, l.second, l.count = l.first-x.first, l.second-x.second, l.count-x.count
			}
		}
		for _, child := range []*node{left, right} {
			if err := add(child); err != nil {
				return t, err
			}
		}
		t.feature[n.number], t.threshold[n.number] = int32(n.best.feature), g.edges[n.best.feature][n.best.bin]
		t.left[n.number], t.right[n.number] = int32(left.number), int32(right.number)
		open = append(open[1:], left, right)
	}
	return t, nil
}

// count fills the histogram of a node.
func (g *grower) count(ctx context.Context, n *node, first, second []float64) error {
	n.histogram = make([][]bucket, g.e.width)
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(g.threads)
	for j := range n.histogram {
		workers.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			h := make([]bucket, len(g.edges[j]))
			for _, i := range n.rows {
				b := &h[g.bin[j][i]]
				b.first, b.second, b.count = b.first+first[i], b.second+second[i], b.count+1
			}
			n.histogram[j] = h
			return nil
		})
	}
	return workers.Wait()
}

// choose returns the split of the largest gain, of equal ones the first.
func (g *grower) choose(n *node) (best split) {
	score := func(b bucket) float64 { return b.first * b.first / (b.second + ridge) }
	whole := score(n.sum)
	for j, h := range n.histogram {
		var left bucket
		for b := range len(h) - 1 {
			left.first, left.second, left.count = left.first+h[b].first, left.second+h[b].second, left.count+h[b].count
			right := bucket{n.sum.first - left.first, n.sum.second - left.second, n.sum.count - left.count}
			if left.count < minLeaf || right.count < minLeaf {
				continue
			}
			if gain := score(left) + score(right) - whole; gain > best.gain+1e-12 {
				best = split{gain, j, uint8(b)}
			}
		}
	}
	return best
}

func (g *grower) divide(n *node, first, second []float64) (left, right *node) {
	left, right = &node{}, &node{}
	for _, i := range n.rows {
		to := right
		if g.bin[n.best.feature][i] <= n.best.bin {
			to = left
		}
		to.rows = append(to.rows, i)
		to.sum.first, to.sum.second, to.sum.count = to.sum.first+first[i], to.sum.second+second[i], to.sum.count+1
	}
	return left, right
}

// derivatives writes the first and second derivatives of the loss by the score of each example.
type derivatives func(e *examples, scores, first, second []float64)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// logLoss is Σ log(1+exp(-s)) of those with the label, and Σ log(1+exp(s)) of the others.
func logLoss(e *examples, scores []float64) (loss float64) {
	for i, s := range scores {
		if e.label[i] {
			s = -s
		}
		loss += max(s, 0) + math.Log1p(math.Exp(-math.Abs(s)))
	}
	return loss
}

// logistic are the derivatives of logLoss.
func logistic(e *examples, scores, first, second []float64) {
	for i, s := range scores {
		p := sigmoid(s)
		first[i], second[i] = p, p*(1-p)
		if e.label[i] {
			first[i]--
		}
	}
}

// ranked returns the examples of a group by score descending, of equal ones the first.
func ranked(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), a-b) })
	return order
}

// idealDCG is the largest DCG of n right items.
func idealDCG(n int) (dcg float64) {
	for r := range n {
		dcg += 1 / math.Log2(float64(r+2))
	}
	return dcg
}

// lambdas are those of LambdaMART (Burges, Microsoft Research MSR-TR-2010-82, 2010, section 7 [burges2010]): the derivatives of log(1+exp(s_j-s_i)) of each pair of an i with the label and a j without,
// weighted by what swapping both in the ranking by the current scores changes in NDCG.
func lambdas(e *examples, scores, first, second []float64) {
	clear(first)
	clear(second)
	for g := range e.groups() {
		lo, hi := e.start[g], e.start[g+1]
		discount := make([]float64, hi-lo)
		right := 0
		for rank, i := range ranked(scores[lo:hi]) {
			discount[i] = 1 / math.Log2(float64(rank+2))
			if e.label[lo+i] {
				right++
			}
		}
		ideal := idealDCG(right)
		for i := lo; i < hi; i++ {
			if !e.label[i] {
				continue
			}
			for j := lo; j < hi; j++ {
				if e.label[j] {
					continue
				}
				change := math.Abs(discount[i-lo]-discount[j-lo]) / ideal
				rho := sigmoid(scores[j] - scores[i])
				first[i] -= rho * change
				first[j] += rho * change
				second[i] += rho * (1 - rho) * change
				second[j] += rho * (1 - rho) * change
			}
		}
	}
}

// ndcgAt is where the NDCG is cut that says which trees are kept.
const ndcgAt = 10

// meanNDCG is the mean NDCG@10 of the groups.
func meanNDCG(e *examples, scores []float64) float64 {
	var sum float64
	for g := range e.groups() {
		lo, hi := e.start[g], e.start[g+1]
		right, dcg := 0, 0.0
		for rank, i := range ranked(scores[lo:hi]) {
			if e.label[lo+i] {
				right++
				if rank < ndcgAt {
					dcg += 1 / math.Log2(float64(rank+2))
				}
			}
		}
		if right > 0 {
			sum += dcg / idealDCG(min(right, ndcgAt))
		}
	}
	return sum / float64(max(1, e.groups()))
}
