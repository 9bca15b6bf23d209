package dense

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/similarity"
)

// IndexOptions say how an Index is made. All but Threads change results.
type IndexOptions struct {
	// M is the number of links of a node on the layers above the lowest, which has twice as many: 2 to 256.
	M int
	// EfConstruction is how many near nodes are looked at to choose the links of a new one, M to 10,000.
	EfConstruction int
	// Seed chooses the layers of nodes.
	Seed    uint64
	Threads int
}

// DefaultIndexOptions are of the middle of the paper's ranges: docs/models/embeddings.md has what they find.
func DefaultIndexOptions() IndexOptions {
	return IndexOptions{M: 16, EfConstruction: 100, Seed: 1, Threads: 1}
}

func (o IndexOptions) validate() error {
	switch {
	case o.M < 2 || o.M > maxM:
		return fmt.Errorf("links of a node (M) are %d, want 2 to %d", o.M, maxM)
	case o.EfConstruction < o.M || o.EfConstruction > 10_000:
		return fmt.Errorf("efConstruction is %d, want M (%d) to 10000", o.EfConstruction, o.M)
	}
	return nil
}

const (
	maxM      = 256
	maxLayers = 32
	// A batch of nodes looks for its links at the same time, in the graph without any of them: at most one of batchShare of the nodes that are there, so that few are
	// missed, and no more than maxBatch. The graph does not depend on the number of threads.
	batchShare = 32
	maxBatch   = 512
)

// Index is a graph of small worlds over Vectors. It is not changed once made, and safe for concurrent use.
type Index struct {
	v     *Vectors
	m     int
	entry uint32
	// links has, for each node, those on each of its layers, the lowest first.
	links   [][][]uint32
	scratch sync.Pool // *visits
}

// NewIndex makes the graph of v, by algorithms 1 to 4 of [malkov2020]; nodes are added in batches as in ParlayANN [manohar2024]. It returns ctx's error when ctx ends.
// Cost: about n·log n·EfConstruction·M/2 keys; memory beside v: some 8·M + 70 bytes a vector.
func NewIndex(ctx context.Context, v *Vectors, o IndexOptions) (*Index, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	g := newGraph(v, o.M)
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	for i := range g.links {
		layers := 1 + int(-math.Log(1-rng.Float64())/math.Log(float64(o.M))) // exponential, with the paper's best mL
		g.links[i] = make([][]uint32, min(layers, maxLayers))
	}
	for done := 1; done < v.n; {
		end := min(v.n, done+min(maxBatch, 1+done/batchShare))
		if err := g.addBatch(ctx, done, end, o); err != nil {
			return nil, err
		}
		done = end
	}
	return g, nil
}

func newGraph(v *Vectors, m int) *Index {
	g := &Index{v: v, m: m, links: make([][][]uint32, v.n)}
	g.scratch.New = func() any { return &visits{at: make([]uint32, v.n)} }
	return g
}

// addBatch adds the nodes [from, to): it looks for their links with threads, then links them in order.
func (g *Index) addBatch(ctx context.Context, from, to int, o IndexOptions) error {
	chosen := make([][][]uint32, to-from)
	var eg errgroup.Group
	eg.SetLimit(max(1, o.Threads))
	const share = 16
	for first := from; first < to; first += share {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, eg.Wait())
		}
		eg.Go(func() error {
			s := g.scratch.Get().(*visits)
			defer g.scratch.Put(s)
			for id := first; id < min(to, first+share); id++ {
				chosen[id-from] = g.chooseLinks(s, uint32(id), o.EfConstruction)
			}
			return nil
		})
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	for i, layers := range chosen {
		id := uint32(from + i)
		for layer, links := range layers {
			g.links[id][layer] = links
			for _, other := range links {
				g.linkBack(other, id, layer)
			}
		}
		if len(g.links[id]) > len(g.links[g.entry]) {
			g.entry = id
		}
	}
	return nil
}

// chooseLinks returns the links of a new node on each layer that it has in common with the graph.
func (g *Index) chooseLinks(s *visits, id uint32, ef int) [][]uint32 {
	x := g.v.row(int(id))
	at := near{g.v.key(x, int(g.entry)), g.entry}
	s.keys++
	top := len(g.links[g.entry]) - 1
	own := len(g.links[id]) - 1
	for layer := top; layer > own; layer-- {
		at = g.descend(s, x, at, layer)
	}
	out := make([][]uint32, own+1)
	from := []near{at}
	for layer := min(top, own); layer >= 0; layer-- {
		from = g.searchLayer(s, x, from, ef, layer)
		out[layer] = g.diverse(id, from, g.m, true)
	}
	return out
}

// width is the most links of a node on a layer.
func (g *Index) width(layer int) int {
	if layer == 0 {
		return 2 * g.m
	}
	return g.m
}

// linkBack adds a link, and leaves out the worst if there are too many.
func (g *Index) linkBack(from, to uint32, layer int) {
	links := append(g.links[from][layer], to)
	if len(links) > g.width(layer) {
		x := g.v.row(int(from))
		all := make([]near, len(links))
		for i, id := range links {
			all[i] = near{g.v.key(x, int(id)), id}
		}
		slices.SortFunc(all, near.compare)
		links = g.diverse(from, all, g.width(layer), false)
	}
	g.links[from][layer] = links
}

// diverse returns up to n of candidates, given best first: those that are nearer to the base than to any that was taken before, so that links go in all directions. Algorithm 4 of
// [malkov2020]. The best of the others fill up the links of a new node alone: where a full node loses links, room that is left saves the next choices.
func (g *Index) diverse(base uint32, candidates []near, n int, fill bool) []uint32 {
	out := make([]uint32, 0, n+1)
	bias := g.bias(base)
	var left []uint32
	for _, c := range candidates {
		if len(out) == n {
			return out
		}
		x := g.v.row(int(c.id))
		if slices.ContainsFunc(out, func(taken uint32) bool { return g.between(x, c, taken, bias) }) {
			left = append(left, c.id)
			continue
		}
		out = append(out, c.id)
	}
	if !fill {
		return out
	}
	return append(out, left[:min(len(left), n-len(out))]...)
}

// between reports whether a candidate, with vector x, is nearer to a node that was taken than to the base, whose bias is given: |x-t|² < |x-q|² is x·t - |t|²/2 > x·q - |q|²/2.
func (g *Index) between(x []float32, c near, taken uint32, base float32) bool {
	key := g.v.key(x, int(taken))
	if g.v.bias == nil {
		return key > c.key
	}
	return key > c.key+g.v.bias[c.id]-base
}

// bias returns b of a row.
func (g *Index) bias(id uint32) float32 {
	if g.v.bias == nil {
		return 0
	}
	return g.v.bias[id]
}

// near is a node and its key for what is looked for.
type near struct {
	key float32
	id  uint32
}

func (a near) compare(b near) int {
	switch {
	case a.before(b):
		return -1
	case b.before(a):
		return 1
	}
	return 0
}

func (a near) before(b near) bool { return a.key > b.key || a.key == b.key && a.id < b.id }

// visits is the working memory of one search.
type visits struct {
	at    []uint32 // round in which a node was last seen
	round uint32
	keys  int // computed
	open  []near
	found []near
}

func (s *visits) begin() {
	if s.round++; s.round == 0 {
		clear(s.at)
		s.round = 1
	}
}

func (s *visits) see(id uint32) (first bool) {
	first = s.at[id] != s.round
	s.at[id] = s.round
	return first
}

// descend goes from node to node on a layer as long as one is better.
func (g *Index) descend(s *visits, x []float32, at near, layer int) near {
	for {
		best := at
		for _, id := range g.links[at.id][layer] {
			s.keys++
			if n := (near{g.v.key(x, int(id)), id}); n.before(best) {
				best = n
			}
		}
		if best == at {
			return at
		}
		at = best
	}
}

// searchLayer returns the ef best nodes that it finds on a layer, best first: algorithm 2.
func (g *Index) searchLayer(s *visits, x []float32, from []near, ef, layer int) []near {
	s.begin()
	s.open, s.found = s.open[:0], s.found[:0]
	for _, n := range from {
		s.see(n.id)
		s.open = push(s.open, n, near.before)
		s.found = push(s.found, n, after)
	}
	for len(s.found) > ef {
		_, s.found = pop(s.found, after)
	}
	for len(s.open) > 0 {
		var c near
		c, s.open = pop(s.open, near.before)
		if len(s.found) == ef && s.found[0].before(c) {
			break
		}
		for _, id := range g.links[c.id][layer] {
			if !s.see(id) {
				continue
			}
			s.keys++
			n := near{g.v.key(x, int(id)), id}
			if len(s.found) == ef {
				if !n.before(s.found[0]) {
					continue
				}
				_, s.found = pop(s.found, after)
			}
			s.open = push(s.open, n, near.before)
			s.found = push(s.found, n, after)
		}
	}
	out := slices.Clone(s.found)
	slices.SortFunc(out, near.compare)
	return out
}

func after(a, b near) bool { return b.before(a) }

// push adds to a heap whose top is first.
func push(h []near, n near, first func(a, b near) bool) []near {
	h = append(h, n)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !first(h[i], h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	return h
}

// pop takes the top of a heap.
func pop(h []near, first func(a, b near) bool) (near, []near) {
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return top, h
		}
		if r := down + 1; r < last && first(h[r], h[down]) {
			down = r
		}
		if !first(h[down], h[i]) {
			return top, h
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
}

// Work counts what a search did.
type Work struct {
	// Keys is the number of vectors that the query was compared with.
	Keys int
}

// Nearest returns k vectors near a query, in rank order, with exact scores. ef is how many are kept on the way, at least k: more find more of the nearest, at a cost that grows about as much.
// Cost: about ef·M·log n keys.
func (g *Index) Nearest(x []float32, k, ef int) ([]similarity.Neighbor, Work, error) {
	q, err := g.v.newQuery(make([]float32, g.v.stride), x)
	if err != nil {
		return nil, Work{}, err
	}
	if k < 0 {
		return nil, Work{}, fmt.Errorf("%d neighbors, want 0 or more", k)
	}
	if k == 0 || g.v.n == 0 {
		return nil, Work{}, nil
	}
	s := g.scratch.Get().(*visits)
	defer g.scratch.Put(s)
	s.keys = 1
	at := near{g.v.key(q.x, int(g.entry)), g.entry}
	for layer := len(g.links[g.entry]) - 1; layer > 0; layer-- {
		at = g.descend(s, q.x, at, layer)
	}
	passed := g.searchLayer(s, q.x, []near{at}, max(k, ef), 0)
	found := make([]similarity.Neighbor, len(passed))
	for i, n := range passed {
		found[i] = similarity.Neighbor{ID: n.id, Score: g.v.score(&q, int(n.id))}
	}
	slices.SortFunc(found, func(a, b similarity.Neighbor) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return found[:min(k, len(found))], Work{s.keys}, nil
}
