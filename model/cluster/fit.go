package cluster

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// oversampling is how many candidates a round of k-means|| draws for each center, and rounds how many rounds there are: with 2 and 5 Bahmani et al.
	// [bahmani2012] are at the loss of k-means++ (their table 5.3).
	oversampling, rounds = 2, 5
	// maxRounds bounds the rounds where there are fewer candidates than centers.
	maxRounds = 20
	// candidatePasses are those of Lloyd over the candidates, in the driver.
	candidatePasses = 10
)

// fitting is k-means as a state machine: next takes what the shards said and returns the next step. There is a trial for each number of centers and restart.
type fitting struct {
	o      Options
	dim    int
	ks     []int
	total  int64
	trials []Trial
	trial  int // that is at work
	phase  phase
	round  uint32

	candidates []float32
	drawn      []float32 // of the last round
	centers    []float32
	seen       []int64 // vectors that each center is the mean of, in mini-batches
	empty      []int
	sample     []float32
	found      [][]float32 // centers by trial

	best   int
	counts []int64
	spread []float64
}

type phase uint8

const (
	phaseStart phase = iota
	phaseSample
	phaseFirst
	phaseCost
	phaseDraw
	phaseAssign
	phaseFarthest
	phaseBatch
	phaseFinal
	phaseSpread
)

// sampleTrial is the trial of the random numbers of the sample, which are none of a trial.
const sampleTrial = math.MaxUint32

func newFitting(dim int, total int64, ks []int, o Options) *fitting {
	f := &fitting{o: o, dim: dim, ks: ks, total: total}
	for _, k := range ks {
		for range max(1, o.Restarts) {
			f.trials = append(f.trials, Trial{K: int(min(int64(k), total)), Silhouette: math.NaN()})
		}
	}
	return f
}

// next returns the next step; done says that there is none.
func (f *fitting) next(said []reply) (st step, done bool) {
	all := f.merged(said)
	switch f.phase {
	case phaseStart:
		f.phase = phaseSample
		return step{Kind: stepSample, Trial: sampleTrial, Count: f.o.Sample}, false
	case phaseSample:
		f.sample = f.take(said, f.o.Sample, false)
		return f.begin(), false
	case phaseFirst:
		f.candidates = f.take(said, 1, false)
		f.phase, f.round = phaseCost, 0
		return step{Kind: stepCost, Trial: uint32(f.trial), Fresh: true, Centers: f.candidates}, false
	case phaseCost:
		t := f.at()
		t.Seeding += all.Distances
		n := len(f.candidates) / f.dim
		if all.Sum > 0 && (f.round < rounds || n < t.K && f.round < maxRounds) {
			f.round++
			f.phase = phaseDraw
			return step{Kind: stepDraw, Trial: uint32(f.trial), Round: f.round, Chance: oversampling * float64(t.K) / all.Sum}, false
		}
		f.centers = reduce(f.candidates, all.Counts, f.dim, t.K, rand.New(rand.NewPCG(f.o.Seed, uint64(f.trial))))
		t.K = len(f.centers) / f.dim
		f.normalize()
		f.round = 0
		if f.o.MiniBatch > 0 {
			f.seen = make([]int64, t.K)
			return f.batch(), false
		}
		return f.pass(true), false
	case phaseDraw:
		f.drawn = all.Vectors
		f.candidates = append(f.candidates, f.drawn...)
		f.phase = phaseCost
		return step{Kind: stepCost, Trial: uint32(f.trial), Centers: f.drawn}, false
	case phaseBatch:
		f.learn(all)
		if int(f.round) < f.o.Iterations {
			return f.batch(), false
		}
		f.round = 0
		return f.pass(true), false
	case phaseAssign:
		return f.assigned(all), false
	case phaseFarthest:
		f.refill(said)
		return f.pass(false), false
	case phaseFinal:
		f.counts = all.Counts
		t := &f.trials[f.best]
		t.Distances, t.Plain = t.Distances+all.Distances, t.Plain+f.total*int64(t.K)
		f.phase = phaseSpread
		return step{Kind: stepSpread, Centers: f.found[f.best]}, false
	case phaseSpread:
		f.spread = all.Sums
	}
	return step{}, true
}

func (f *fitting) at() *Trial { return &f.trials[f.trial] }

// merged adds up what the shards said, in their order.
func (f *fitting) merged(said []reply) (all reply) {
	for _, r := range said {
		if all.Sums == nil {
			all.Sums = make([]float64, len(r.Sums))
		}
		if all.Counts == nil {
			all.Counts = make([]int64, len(r.Counts))
		}
		all.add(r)
		all.Vectors = append(all.Vectors, r.Vectors...)
	}
	return all
}

// take returns the count vectors of the least keys of all shards, or of the largest.
func (f *fitting) take(said []reply, count int, largest bool) (out []float32) {
	type entry struct {
		key    uint64
		vector []float32
	}
	var all []entry
	for _, r := range said {
		for i, k := range r.Keys {
			if largest {
				k = ^k
			}
			all = append(all, entry{k, r.Vectors[i*f.dim : (i+1)*f.dim]})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	for _, e := range all[:min(count, len(all))] {
		out = append(out, e.vector...)
	}
	return out
}

// begin starts the trial at hand.
func (f *fitting) begin() step {
	f.phase = phaseFirst
	return step{Kind: stepSample, Trial: uint32(f.trial), Count: 1}
}

// pass asks for a pass of Lloyd.
func (f *fitting) pass(fresh bool) step {
	f.phase = phaseAssign
	return step{Kind: stepAssign, Trial: uint32(f.trial), Fresh: fresh, Centers: f.centers}
}

// assigned moves the centers to the means, and says what comes next.
func (f *fitting) assigned(all reply) step {
	t := f.at()
	t.Distances += all.Distances
	t.Plain += f.total * int64(t.K)
	loss := all.Sum
	for c := range t.K {
		var dot, square float64
		for j, x := range f.centers[c*f.dim : (c+1)*f.dim] {
			dot += float64(x) * all.Sums[c*f.dim+j]
			square += float64(x) * float64(x)
		}
		loss += float64(all.Counts[c])*square - 2*dot
	}
	loss = max(0, loss)
	t.Loss = append(t.Loss, loss)
	n := len(t.Loss)
	settled := n > 1 && (all.Changed == 0 || t.Loss[n-2]-loss <= f.o.Tolerance*t.Loss[n-2])
	if n > f.o.Iterations || settled || f.o.MiniBatch > 0 {
		return f.finish()
	}
	f.empty = f.empty[:0]
	next := slices.Clone(f.centers)
	for c, n := range all.Counts {
		if n == 0 {
			f.empty = append(f.empty, c)
			continue
		}
		for j := range f.dim {
			next[c*f.dim+j] = float32(all.Sums[c*f.dim+j] / float64(n))
		}
	}
	if len(f.empty) > 0 {
		st := step{Kind: stepFarthest, Count: len(f.empty), Centers: f.centers}
		f.centers, f.phase = next, phaseFarthest
		f.normalize()
		return st
	}
	f.centers = next
	f.normalize()
	return f.pass(false)
}

// refill moves centers without vectors to the vectors that are farthest from theirs.
func (f *fitting) refill(said []reply) {
	far := f.take(said, len(f.empty), true)
	for i := range len(far) / f.dim {
		copy(f.centers[f.empty[i]*f.dim:(f.empty[i]+1)*f.dim], far[i*f.dim:])
	}
	f.normalize()
}

// normalize gives centers length 1 if that is asked for.
func (f *fitting) normalize() {
	if !f.o.Spherical {
		return
	}
	for at := 0; at < len(f.centers); at += f.dim {
		unit(f.centers[at : at+f.dim])
	}
}

// unit gives a vector length 1, unless it is 0.
func unit(x []float32) bool {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return false
	}
	for i, v := range x {
		x[i] = float32(float64(v) / math.Sqrt(sum))
	}
	return true
}

func (f *fitting) batch() step {
	f.phase = phaseBatch
	f.round++
	return step{Kind: stepBatch, Trial: uint32(f.trial), Round: f.round, Chance: float64(f.o.MiniBatch) / float64(f.total), Centers: f.centers}
}

// learn moves each center to the mean of all vectors that it was given so far: the rate 1/count of Sculley, all vectors of a batch at a time.
func (f *fitting) learn(all reply) {
	t := f.at()
	t.Distances, t.Plain = t.Distances+all.Distances, t.Plain+all.Distances
	for c, n := range all.Counts {
		if n == 0 {
			continue
		}
		before := float64(f.seen[c])
		f.seen[c] += n
		for j := range f.dim {
			x := &f.centers[c*f.dim+j]
			*x = float32((float64(*x)*before + all.Sums[c*f.dim+j]) / float64(f.seen[c]))
		}
	}
	f.normalize()
}

// finish ends a trial, and starts the next, or what comes after the last.
func (f *fitting) finish() step {
	t := f.at()
	f.found = append(f.found, f.centers)
	if len(f.ks) > 1 {
		t.Silhouette, _ = silhouette(f.sample, f.centers, f.dim)
	}
	if f.trial+1 < len(f.trials) {
		f.trial++
		return f.begin()
	}
	for i := range f.trials {
		if better(&f.trials[i], &f.trials[f.best]) {
			f.best = i
		}
	}
	f.phase = phaseFinal
	return step{Kind: stepAssign, Fresh: f.best != f.trial, Centers: f.found[f.best]}
}

// better says whether a is preferred to b: by silhouette where there are several numbers of centers, else by loss.
func better(a, b *Trial) bool {
	if a.K != b.K && !math.IsNaN(a.Silhouette) && !math.IsNaN(b.Silhouette) {
		return a.Silhouette > b.Silhouette
	}
	return a.K == b.K && a.Loss[len(a.Loss)-1] < b.Loss[len(b.Loss)-1]
}

// progress is the part of the trials that is behind.
func (f *fitting) progress() float64 {
	if f.phase >= phaseFinal {
		return 1
	}
	passes := float64(0)
	if f.phase == phaseAssign || f.phase == phaseBatch || f.phase == phaseFarthest {
		passes = min(1, float64(max(int(f.round), len(f.at().Loss)))/float64(max(1, f.o.Iterations)))
	}
	return (float64(f.trial) + passes) / float64(len(f.trials))
}

// reduce chooses k of the candidates, each weighted by the number of vectors that it is nearest to: k-means++ (Arthur and Vassilvitskii, SODA 2007
// [arthur2007], section 6 has the greedy form), and passes of Lloyd over the candidates. It returns fewer if there are fewer of weight.
// Cost: O(candidates·k·dim·log k).
func reduce(candidates []float32, weights []int64, dim, k int, rng *rand.Rand) (centers []float32) {
	n := len(candidates) / dim
	at := func(i int) []float32 { return candidates[i*dim : (i+1)*dim] }
	near, best, of := make([]float64, n), make([]float64, n), make([]int, n)
	for i := range near {
		near[i] = 1
	}
	tries := 2 + int(math.Log(float64(k))) // the greedy form: of several draws the one that leaves the least loss
	with := make([]float64, n)
	for c := range min(k, n) {
		var sum float64
		for i, d2 := range near {
			sum += d2 * float64(weights[i])
		}
		if sum == 0 {
			break
		}
		chosen, least := -1, math.Inf(1)
		for range tries {
			drawn, rest := -1, rng.Float64()*sum
			for i, d2 := range near {
				if w := d2 * float64(weights[i]); w > 0 {
					drawn = i // the last one, if rounding leaves a rest
					if rest -= w; rest < 0 {
						break
					}
				}
			}
			var loss float64
			for i := range with {
				with[i] = distance2(at(i), at(drawn))
				if c > 0 {
					with[i] = min(with[i], near[i])
				}
				loss += with[i] * float64(weights[i])
			}
			if loss < least {
				chosen, least = drawn, loss
				copy(best, with)
			}
		}
		centers = append(centers, at(chosen)...)
		copy(near, best)
	}
	k = len(centers) / dim
	for range candidatePasses {
		sums, counts := make([]float64, k*dim), make([]float64, k)
		for i := range n {
			of[i] = nearestOf(at(i), centers)
			counts[of[i]] += float64(weights[i])
			for j, x := range at(i) {
				sums[of[i]*dim+j] += float64(x) * float64(weights[i])
			}
		}
		for c, w := range counts {
			if w == 0 {
				continue
			}
			for j := range dim {
				centers[c*dim+j] = float32(sums[c*dim+j] / w)
			}
		}
	}
	return centers
}

// nearestOf returns the nearest center, of equal ones the first.
func nearestOf(x, centers []float32) int {
	best, least := 0, math.Inf(1)
	for c := range len(centers) / len(x) {
		if d2 := distance2(x, centers[c*len(x):(c+1)*len(x)]); d2 < least {
			best, least = c, d2
		}
	}
	return best
}

// silhouette returns the mean silhouette of the vectors of a sample, and that of each center, NaN for one without vectors in it. That of a vector is (b-a)/max(a,b), a the mean
// distance to the others of its own center, b the least mean distance to those of another (Rousseeuw, J. Comput. Appl. Math. 20, 1987 [rousseeuw1987]); it is 0 where
// its center has no other, or no other center has any. Cost: O(sample² dim).
func silhouette(sample, centers []float32, dim int) (mean float64, of []float64) {
	n, k := len(sample)/dim, len(centers)/dim
	at := func(i int) []float32 { return sample[i*dim : (i+1)*dim] }
	cluster, counts := make([]int, n), make([]float64, k)
	for i := range n {
		cluster[i] = nearestOf(at(i), centers)
		counts[cluster[i]]++
	}
	of = make([]float64, k)
	sums := make([]float64, k)
	for i := range n {
		clear(sums)
		for j := range n {
			sums[cluster[j]] += math.Sqrt(distance2(at(i), at(j)))
		}
		own, b := cluster[i], math.Inf(1)
		for c, sum := range sums {
			if c != own && counts[c] > 0 {
				b = min(b, sum/counts[c])
			}
		}
		if counts[own] > 1 && !math.IsInf(b, 1) {
			a := sums[own] / (counts[own] - 1)
			if d := max(a, b); d > 0 {
				of[own] += (b - a) / d
				mean += (b - a) / d
			}
		}
	}
	for c, count := range counts {
		of[c] /= count
	}
	return mean / float64(max(1, n)), of
}
