package neural

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Table is a part of the parameters that is looked up by rows, such as the embeddings of items: a pass changes few of them.
type Table struct {
	Rows, Cols int
	// Deviation is the standard deviation of the normal distribution that the values begin with.
	Deviation float64
	// Local says that the rows are of the users of one worker, and not shared with others.
	Local bool
}

// Embedding is a table with the gradients of those rows that were used since they were last cleared.
type Embedding[T Float] struct {
	// Value is the table; networks that share parameters share its memory.
	Value Matrix[T]
	// Touched are the rows with a gradient, in the order of their first use; gradient k of grads is of row Touched[k].
	Touched []uint32
	grads   []T
	slot    []int32 // by row: 1 + its place in Touched, 0 for none
}

// Row returns the values of a row, which the caller must not change.
func (e *Embedding[T]) Row(id uint32) []T { return e.Value.Row(int(id)) }

// Gather copies rows to dst, which has one row for each id.
func (e *Embedding[T]) Gather(ids []uint32, dst Matrix[T]) {
	for k, id := range ids {
		copy(dst.Row(k), e.Row(id))
	}
}

// Grad returns the gradient of a row, for adding to it until the next call of Grad.
func (e *Embedding[T]) Grad(id uint32) []T {
	if e.slot == nil {
		e.slot = make([]int32, e.Value.Rows)
	}
	cols := e.Value.Cols
	if e.slot[id] == 0 {
		e.Touched = append(e.Touched, id)
		e.slot[id] = int32(len(e.Touched))
		e.grads = slices.Grow(e.grads, cols)[:len(e.grads)+cols]
		clear(e.grads[len(e.grads)-cols:])
	}
	k := int(e.slot[id]-1) * cols
	return e.grads[k : k+cols : k+cols]
}

// Scatter adds the rows of d to the gradients of ids: the backward pass of Gather.
func (e *Embedding[T]) Scatter(ids []uint32, d Matrix[T]) {
	for k, id := range ids {
		Axpy(1, d.Row(k), e.Grad(id))
	}
}

func (e *Embedding[T]) clear() {
	for _, id := range e.Touched {
		e.slot[id] = 0
	}
	e.Touched, e.grads = e.Touched[:0], e.grads[:0]
}

// Parameters are all numbers that a network learns, in one vector: the tables, then what layers take. Those made by Twin share the values and have
// gradients of their own.
type Parameters[T Float] struct {
	Tables []*Embedding[T]
	specs  []Table
	values []T // of tables, then dense
	dense  int // where the dense part begins
	grads  []T // of the dense part
	used   int // of the dense part
	starts []func(rng *rand.Rand)
}

// Build makes parameters for tables and for what build takes from them, and calls build with values that are all 0. It calls build twice: first to find out
// the size.
func Build[T Float](tables []Table, build func(p *Parameters[T])) *Parameters[T] {
	sizing := &Parameters[T]{specs: tables}
	for _, t := range tables {
		sizing.dense += t.Rows * t.Cols
		sizing.Tables = append(sizing.Tables, &Embedding[T]{Value: Matrix[T]{Cols: t.Cols}})
	}
	build(sizing)
	return over(tables, make([]T, sizing.dense+sizing.used), build)
}

// Size returns the number of parameters that Build makes, without making them.
func Size(tables []Table, build func(p *Parameters[float32])) int {
	sizing := &Parameters[float32]{specs: tables}
	for _, t := range tables {
		sizing.dense += t.Rows * t.Cols
		sizing.Tables = append(sizing.Tables, &Embedding[float32]{Value: Matrix[float32]{Cols: t.Cols}})
	}
	build(sizing)
	return sizing.dense + sizing.used
}

// over makes parameters whose values are a given vector of the right length.
func over[T Float](tables []Table, values []T, build func(p *Parameters[T])) *Parameters[T] {
	p := &Parameters[T]{specs: tables, values: values}
	for _, t := range tables {
		n := t.Rows * t.Cols
		p.Tables = append(p.Tables, &Embedding[T]{Value: Matrix[T]{t.Rows, t.Cols, values[p.dense : p.dense+n : p.dense+n]}})
		p.dense += n
	}
	p.grads = make([]T, len(values)-p.dense)
	build(p)
	return p
}

// Twin makes parameters that share the values of p, for another network.
func (p *Parameters[T]) Twin(build func(p *Parameters[T])) *Parameters[T] {
	return over(p.specs, p.values, build)
}

// Values returns all values: the tables in their order, then those of the layers. They share the memory of p.
func (p *Parameters[T]) Values() []T { return p.values }

// Grads returns the gradients that go with Values, in memory of their own; 0 for rows without one.
func (p *Parameters[T]) Grads() []T {
	out := make([]T, 0, len(p.values))
	for _, e := range p.Tables {
		all := make([]T, len(e.Value.Data))
		for k, id := range e.Touched {
			copy(all[int(id)*e.Value.Cols:], e.grads[k*e.Value.Cols:(k+1)*e.Value.Cols])
		}
		out = append(out, all...)
	}
	return append(out, p.grads...)
}

// take gives a layer a matrix of parameters and their gradients. start fills it at the beginning; nil leaves it 0.
func (p *Parameters[T]) take(rows, cols int, start func(rng *rand.Rand, v []T)) (value, grad Matrix[T]) {
	lo, hi := p.used, p.used+rows*cols
	p.used = hi
	if p.values == nil {
		return Matrix[T]{Rows: rows, Cols: cols}, Matrix[T]{Rows: rows, Cols: cols}
	}
	value = Matrix[T]{rows, cols, p.values[p.dense+lo : p.dense+hi : p.dense+hi]}
	if start != nil {
		p.starts = append(p.starts, func(rng *rand.Rand) { start(rng, value.Data) })
	}
	return value, Matrix[T]{rows, cols, p.grads[lo:hi:hi]}
}

// Start gives all parameters the values that training begins with: normal ones in tables, those of Glorot and Bengio [glorot2010] in dense layers.
// Rows of local tables are drawn from local, the others from shared, which must be equal for all workers.
func (p *Parameters[T]) Start(shared, local *rand.Rand) {
	for i, t := range p.specs {
		rng := shared
		if t.Local {
			rng = local
		}
		for k := range p.Tables[i].Value.Data {
			p.Tables[i].Value.Data[k] = T(rng.NormFloat64() * t.Deviation)
		}
	}
	for _, start := range p.starts {
		start(shared)
	}
}

// glorot draws uniformly from ±√(6/(in+out)).
func glorot[T Float](in, out int) func(rng *rand.Rand, v []T) {
	bound := math.Sqrt(6 / float64(in+out))
	return func(rng *rand.Rand, v []T) {
		for i := range v {
			v[i] = T((2*rng.Float64() - 1) * bound)
		}
	}
}

func ones[T Float](_ *rand.Rand, v []T) {
	for i := range v {
		v[i] = 1
	}
}

// clearGrads sets all gradients to 0.
func (p *Parameters[T]) clearGrads() {
	clear(p.grads)
	for _, e := range p.Tables {
		e.clear()
	}
}

// addGrads adds the gradients of q, which has the shape of p.
func (p *Parameters[T]) addGrads(q *Parameters[T]) {
	Axpy(1, q.grads, p.grads)
	for i, e := range q.Tables {
		for k, id := range e.Touched {
			Axpy(1, e.grads[k*e.Value.Cols:(k+1)*e.Value.Cols], p.Tables[i].Grad(id))
		}
	}
}
