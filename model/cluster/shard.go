package cluster

import (
	"cmp"
	"context"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

const (
	tileRows  = 256  // vectors in one matrix product: with 64 components they and their products with 64 centers fit a second-level cache
	chunkRows = 4096 // vectors whose sums are formed in one go; the sums of chunks are added in their order, whatever the number of threads
	// slack is by what part a bound is made looser: above the rounding of the float64 operations that it comes from.
	slack = 1e-9
)

// step is what all shards do next.
type step struct {
	Kind stepKind
	// Trial chooses the random numbers, Round those of one step, and Fresh says that nothing is known of earlier centers.
	Trial, Round uint32
	Fresh        bool
	// Count is how many vectors are wanted; Chance scales the probability of each.
	Count  int
	Chance float64
	// Centers is k×dim.
	Centers []float32
}

type stepKind uint8

const (
	// sample asks for the Count vectors with the least random numbers, which are Keys.
	stepSample stepKind = 1 + iota
	// cost adds candidates to those of the trial. Sum is Σ d², Counts how many vectors are nearest to each candidate.
	stepCost
	// draw asks for each vector with probability Chance·d².
	stepDraw
	// assign is a pass of Lloyd. Sums and Counts are of each center, Sum is the sum of |x|².
	stepAssign
	// batch assigns each vector with probability Chance, and no other.
	stepBatch
	// farthest asks for the Count vectors farthest from their centers; Keys are the bits of the distances.
	stepFarthest
	// spread asks for Σ d² of each center, in Sums.
	stepSpread
)

// reply is what one shard says. Slices that a step does not speak of are empty.
type reply struct {
	Sum                float64
	Changed, Distances int64
	Keys               []uint64
	Vectors            []float32
	Sums               []float64
	Counts             []int64
}

// shard is a part of the vectors, with what is known of them.
type shard struct {
	dim, threads int
	// ids are the numbers of the vectors among those of all shards, nil for those from 0 on: random numbers are of vectors, not of shards.
	ids []uint64
	// x has the vectors, row by row.
	x       []float32
	squares float64 // Σ|x|²
	norm    []float32
	seed    uint64
	// plain leaves the bounds out.
	plain bool

	// Of seeding: the square of the distance to the nearest candidate, and which one it is.
	candidates int
	near       []float64
	nearest    []int32

	// Of the passes: the center of each vector, -1 for none yet, no less than the distance to it, and no more than that to any other.
	of           []int32
	upper, lower []float64
	centers      []float32
}

func newShard(x []float32, dim int, ids []uint64, seed uint64, plain bool, threads int) *shard {
	n := len(x) / dim
	s := &shard{
		dim: dim, threads: max(1, threads), ids: ids, x: x, norm: make([]float32, n), seed: seed, plain: plain,
		near: make([]float64, n), nearest: make([]int32, n), of: make([]int32, n), upper: make([]float64, n), lower: make([]float64, n),
	}
	for i := range n {
		var sum float64
		for _, v := range s.vector(i) {
			sum += float64(v) * float64(v)
		}
		s.norm[i] = float32(math.Sqrt(sum))
		s.squares += sum
	}
	return s
}

func (s *shard) len() int               { return len(s.norm) }
func (s *shard) vector(i int) []float32 { return s.x[i*s.dim : (i+1)*s.dim] }

// random returns a number of [0, 1) and its bits for a vector: equal for equal seeds, trials and rounds, wherever the vector is.
func (s *shard) random(i int, trial, round uint32) (float64, uint64) {
	id := uint64(i)
	if s.ids != nil {
		id = s.ids[i]
	}
	h := mix(mix(s.seed+uint64(trial)<<32+uint64(round)) + id)
	return float64(h>>11) / (1 << 53), h
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// distance2 returns |a-b|², summed in float64.
func distance2(a, b []float32) float64 {
	var sum float64
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += d * d
	}
	return sum
}

func (s *shard) do(ctx context.Context, st step) (reply, error) {
	switch st.Kind {
	case stepSample:
		return s.sample(st), ctx.Err()
	case stepCost:
		return s.cost(ctx, st)
	case stepDraw:
		return s.draw(st), ctx.Err()
	case stepAssign:
		return s.assign(ctx, st)
	case stepBatch:
		return s.batch(ctx, st)
	case stepFarthest:
		return s.farthest(st), ctx.Err()
	default:
		return s.spread(st), ctx.Err()
	}
}

// keyed is a vector with what it is ranked by.
type keyed struct {
	key uint64
	row int
}

// best replies with the count vectors of the least keys, ascending.
func (s *shard) best(count int, key func(i int) uint64) reply {
	all := make([]keyed, s.len())
	for i := range all {
		all[i] = keyed{key(i), i}
	}
	slices.SortFunc(all, func(a, b keyed) int { return cmp.Or(cmp.Compare(a.key, b.key), a.row-b.row) })
	var r reply
	for _, e := range all[:min(count, len(all))] {
		r.Keys = append(r.Keys, e.key)
		r.Vectors = append(r.Vectors, s.vector(e.row)...)
	}
	return r
}

func (s *shard) sample(st step) reply {
	return s.best(st.Count, func(i int) uint64 {
		_, h := s.random(i, st.Trial, st.Round)
		return h
	})
}

func (s *shard) farthest(st step) reply {
	r := s.best(st.Count, func(i int) uint64 { return ^math.Float64bits(distance2(s.vector(i), s.center(st.Centers, s.of[i]))) })
	for i, k := range r.Keys {
		r.Keys[i] = ^k
	}
	return r
}

func (s *shard) center(centers []float32, c int32) []float32 {
	return centers[int(c)*s.dim : (int(c)+1)*s.dim]
}

func (s *shard) draw(st step) (r reply) {
	for i := range s.len() {
		if p, _ := s.random(i, st.Trial, st.Round); p < st.Chance*s.near[i] {
			r.Vectors = append(r.Vectors, s.vector(i)...)
		}
	}
	return r
}

func (s *shard) spread(st step) (r reply) {
	r.Sums = make([]float64, len(st.Centers)/s.dim)
	for i := range s.len() {
		r.Sums[s.of[i]] += distance2(s.vector(i), s.center(st.Centers, s.of[i]))
	}
	return r
}

// chunks calls f for each chunk of vectors, several at a time, each with working memory of its own.
func (s *shard) chunks(ctx context.Context, f func(chunk, lo, hi int)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.threads)
	for chunk, lo := 0, 0; lo < s.len(); chunk, lo = chunk+1, lo+chunkRows {
		hi := min(lo+chunkRows, s.len())
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f(chunk, lo, hi)
			return nil
		})
	}
	return g.Wait()
}

func (s *shard) numChunks() int { return (s.len() + chunkRows - 1) / chunkRows }

func (s *shard) cost(ctx context.Context, st step) (reply, error) {
	if st.Fresh {
		s.candidates = 0
		for i := range s.near {
			s.near[i] = math.Inf(1)
		}
	}
	sc := newScanner(st.Centers, s.dim)
	sums := make([]float64, s.numChunks())
	err := s.chunks(ctx, func(chunk, lo, hi int) {
		sc.scan(s, rowsOf(lo, hi), func(i int, c int32, d2, _ float64) {
			if d2 < s.near[i] {
				s.near[i], s.nearest[i] = d2, int32(s.candidates)+c
			}
		})
		for _, d2 := range s.near[lo:hi] {
			sums[chunk] += d2
		}
	})
	s.candidates += sc.k
	r := reply{Counts: make([]int64, s.candidates), Distances: int64(s.len()) * int64(sc.k)}
	for _, x := range sums {
		r.Sum += x
	}
	for _, c := range s.nearest {
		r.Counts[c]++
	}
	return r, err
}

func rowsOf(lo, hi int) []int32 {
	rows := make([]int32, hi-lo)
	for i := range rows {
		rows[i] = int32(lo + i)
	}
	return rows
}

// assign is a pass. The bounds hold after it: upper ≥ |x - c| for the center of x, lower ≤ |x - c'| for all others.
func (s *shard) assign(ctx context.Context, st step) (reply, error) {
	sc := newScanner(st.Centers, s.dim)
	fresh := st.Fresh || s.plain || len(s.centers) != len(st.Centers)
	if st.Fresh {
		for i := range s.of {
			s.of[i] = -1
		}
	}
	var m moves
	if !fresh {
		m = newMoves(s.centers, st.Centers, s.dim)
	}
	parts := make([]reply, s.numChunks())
	err := s.chunks(ctx, func(chunk, lo, hi int) {
		p := &parts[chunk]
		rows := rowsOf(lo, hi)
		if !fresh {
			rows = s.undecided(&m, st.Centers, rows, p)
		}
		p.Distances += int64(len(rows)) * int64(sc.k)
		sc.scan(s, rows, func(i int, c int32, d2, others float64) {
			if s.of[i] != c {
				s.of[i] = c
				p.Changed++
			}
			s.upper[i], s.lower[i] = math.Sqrt(d2), math.Sqrt(max(0, others))
		})
		p.Sums, p.Counts = make([]float64, len(st.Centers)), make([]int64, sc.k)
		for i := lo; i < hi; i++ {
			s.add(p, i, s.of[i])
		}
	})
	s.centers = slices.Clone(st.Centers)
	r := s.joined(parts, sc.k)
	r.Sum = s.squares
	r.Distances += m.distances
	return r, err
}

func (s *shard) add(p *reply, i int, c int32) {
	p.Counts[c]++
	sum := p.Sums[int(c)*s.dim:]
	for j, v := range s.vector(i) {
		sum[j] += float64(v)
	}
}

func (s *shard) joined(parts []reply, k int) reply {
	r := reply{Sums: make([]float64, k*s.dim), Counts: make([]int64, k)}
	for _, p := range parts {
		r.add(p)
	}
	return r
}

// add adds the figures of p.
func (r *reply) add(p reply) {
	r.Sum += p.Sum
	r.Changed += p.Changed
	r.Distances += p.Distances
	for i, x := range p.Sums {
		r.Sums[i] += x
	}
	for i, n := range p.Counts {
		r.Counts[i] += n
	}
}

// moves is how far centers have moved, and how near they are to each other.
type moves struct {
	by []float64
	// most is the largest of by, of the center at, and second the largest of the others.
	at           int32
	most, second float64
	half         []float64 // half of the distance to the nearest other center
	distances    int64
}

func newMoves(before, now []float32, dim int) moves {
	k := len(now) / dim
	m := moves{by: make([]float64, k), half: make([]float64, k), distances: int64(k) + int64(k)*int64(k-1)/2}
	at := func(x []float32, c int) []float32 { return x[c*dim : (c+1)*dim] }
	for c := range k {
		m.half[c] = math.Inf(1)
		m.by[c] = math.Sqrt(distance2(at(before, c), at(now, c))) * (1 + slack)
		if x := m.by[c]; x > m.most {
			m.at, m.most, m.second = int32(c), x, m.most
		} else {
			m.second = max(m.second, x)
		}
	}
	for a := range k {
		for b := range a {
			h := math.Sqrt(distance2(at(now, a), at(now, b))) / 2
			m.half[a], m.half[b] = min(m.half[a], h), min(m.half[b], h)
		}
	}
	return m
}

// undecided moves the bounds of rows, and returns those that may have another center than before. rows is overwritten.
func (s *shard) undecided(m *moves, centers []float32, rows []int32, r *reply) []int32 {
	out := rows[:0]
	for _, i := range rows {
		c := s.of[i]
		s.upper[i] += m.by[c]
		if c == m.at {
			s.lower[i] -= m.second
		} else {
			s.lower[i] -= m.most
		}
		bound := max(s.lower[i], m.half[c]) * (1 - slack)
		if s.upper[i]*(1+slack) < bound {
			continue
		}
		s.upper[i] = math.Sqrt(distance2(s.vector(int(i)), s.center(centers, c)))
		r.Distances++
		if s.upper[i]*(1+slack) < bound {
			continue
		}
		out = append(out, i)
	}
	return out
}

func (s *shard) batch(ctx context.Context, st step) (reply, error) {
	sc := newScanner(st.Centers, s.dim)
	parts := make([]reply, s.numChunks())
	err := s.chunks(ctx, func(chunk, lo, hi int) {
		p := &parts[chunk]
		p.Sums, p.Counts = make([]float64, len(st.Centers)), make([]int64, sc.k)
		var rows []int32
		for i := lo; i < hi; i++ {
			if x, _ := s.random(i, st.Trial, st.Round); x < st.Chance {
				rows = append(rows, int32(i))
			}
		}
		p.Distances = int64(len(rows)) * int64(sc.k)
		sc.scan(s, rows, func(i int, c int32, d2, _ float64) {
			p.Sum += d2
			s.add(p, i, c)
		})
	})
	return s.joined(parts, sc.k), err
}

// scanner finds nearest centers, tile by tile: a product of matrices in float32 tells which centers can be it, and float64 which one is.
type scanner struct {
	k, dim  int
	centers blas32.General
	squares []float64 // of the centers
}

func newScanner(centers []float32, dim int) *scanner {
	sc := &scanner{k: len(centers) / dim, dim: dim}
	sc.centers = blas32.General{Rows: sc.k, Cols: dim, Stride: dim, Data: centers}
	sc.squares = make([]float64, sc.k)
	for c := range sc.k {
		for _, x := range centers[c*dim : (c+1)*dim] {
			sc.squares[c] += float64(x) * float64(x)
		}
	}
	return sc
}

// scan calls found for each of rows with its nearest center, of equal ones the first, the square of the distance to it, and no more than the least square of
// the distances to the others, infinite where there are none. It is safe for concurrent use.
func (sc *scanner) scan(s *shard, rows []int32, found func(i int, c int32, d2, others float64)) {
	if len(rows) == 0 || sc.k == 0 {
		return
	}
	n := min(tileRows, len(rows))
	tile, products := make([]float32, n*sc.dim), make([]float32, n*sc.k)
	low := make([]float64, sc.k)
	// The error of a sum of dim products in float32 is below dim·u·|x||c|, u = 2^-24 [higham2002]; twice that for all that is rounded besides.
	unit := 2 * float64(sc.dim+4) / (1 << 24)
	for len(rows) > 0 {
		n := min(tileRows, len(rows))
		for t, i := range rows[:n] {
			copy(tile[t*sc.dim:], s.vector(int(i)))
		}
		blas32.Gemm(blas.NoTrans, blas.Trans, 1, blas32.General{Rows: n, Cols: sc.dim, Stride: sc.dim, Data: tile}, sc.centers,
			0, blas32.General{Rows: n, Cols: sc.k, Stride: sc.k, Data: products})
		for t, i := range rows[:n] {
			x := tile[t*sc.dim : (t+1)*sc.dim]
			norm := float64(s.norm[i])
			least := math.Inf(1) // of the highest that each distance can be
			for c, p := range products[t*sc.k : (t+1)*sc.k] {
				d2 := norm*norm + sc.squares[c] - 2*float64(p)
				err := unit * (norm*norm + sc.squares[c])
				low[c] = d2 - err
				least = min(least, d2+err)
			}
			best, bestD2, others := int32(0), math.Inf(1), math.Inf(1)
			for c, l := range low {
				if l > least {
					others = min(others, l)
					continue
				}
				d2 := distance2(x, sc.centers.Data[c*sc.dim:(c+1)*sc.dim])
				if d2 < bestD2 {
					best, bestD2, others = int32(c), d2, min(others, bestD2)
				} else {
					others = min(others, d2)
				}
			}
			found(int(i), best, bestD2, others)
		}
		rows = rows[n:]
	}
}
