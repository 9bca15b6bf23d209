package neural

import "math"

// SelfAttention is causal multi-head attention (Vaswani et al., NeurIPS 2017 [vaswani2017]): each row of a sequence becomes a mean of linear functions of itself and the rows before it, with
// weights softmax(Q·Kᵀ/√w) for each head of width w, and then a linear function of that.
type SelfAttention[T Float] struct {
	heads                  int
	query, key, value, out *Dense[T]
	q, k, v                Matrix[T]
	mixed, dq, dk, dv, dx  Matrix[T]
	weights                []T // of each sequence and head, length×length
	hq, hk, hv, ho, hw     Matrix[T]
	starts                 []int
}

// NewSelfAttention makes a layer for rows of n numbers; heads divides n.
func NewSelfAttention[T Float](p *Parameters[T], n, heads int) *SelfAttention[T] {
	return &SelfAttention[T]{heads: heads, query: NewDense(p, n, n), key: NewDense(p, n, n), value: NewDense(p, n, n), out: NewDense(p, n, n)}
}

// Forward takes sequences one below the other: sequence s is rows starts[s] to starts[s+1] of x. The result holds until the next call.
// Cost: 4·rows·n² multiply-adds, and rows·length·n for attention.
func (a *SelfAttention[T]) Forward(x Matrix[T], starts []int) Matrix[T] {
	a.starts = starts
	a.q, a.k, a.v = a.query.Forward(x), a.key.Forward(x), a.value.Forward(x)
	a.mixed = a.mixed.reshape(x.Rows, x.Cols)
	a.weights = a.weights[:0]
	width := x.Cols / a.heads
	scale := T(1 / math.Sqrt(float64(width)))
	for s := range len(starts) - 1 {
		lo, n := starts[s], starts[s+1]-starts[s]
		for h := range a.heads {
			a.hq, a.hk, a.hv = head(a.hq, a.q, lo, n, h, width), head(a.hk, a.k, lo, n, h, width), head(a.hv, a.v, lo, n, h, width)
			a.hw, a.ho = a.hw.reshape(n, n), a.ho.reshape(n, width)
			product(false, true, a.hq, a.hk, 0, a.hw)
			for i := range n {
				row := a.hw.Row(i)
				for j := range row[:i+1] {
					row[j] *= scale
				}
				softmax(row[:i+1])
				clear(row[i+1:])
			}
			product(false, false, a.hw, a.hv, 0, a.ho)
			a.weights = append(a.weights, a.hw.Data...)
			unhead(a.mixed, a.ho, lo, h)
		}
	}
	return a.out.Forward(a.mixed)
}

// Backward takes the gradient of the result and returns that of x, which holds until the next call.
func (a *SelfAttention[T]) Backward(dy Matrix[T]) Matrix[T] {
	dmixed := a.out.Backward(dy)
	a.dq, a.dk, a.dv = a.dq.reshape(dy.Rows, dy.Cols), a.dk.reshape(dy.Rows, dy.Cols), a.dv.reshape(dy.Rows, dy.Cols)
	width := dy.Cols / a.heads
	scale := T(1 / math.Sqrt(float64(width)))
	at := 0
	var do, dw Matrix[T]
	for s := range len(a.starts) - 1 {
		lo, n := a.starts[s], a.starts[s+1]-a.starts[s]
		for h := range a.heads {
			w := Matrix[T]{n, n, a.weights[at : at+n*n]}
			at += n * n
			a.hq, a.hk, a.hv = head(a.hq, a.q, lo, n, h, width), head(a.hk, a.k, lo, n, h, width), head(a.hv, a.v, lo, n, h, width)
			do, dw = head(a.ho, dmixed, lo, n, h, width), a.hw.reshape(n, n)
			a.ho, a.hw = do, dw
			product(false, true, do, a.hv, 0, dw)
			product(true, false, w, do, 0, a.hv) // a.hv is now the gradient of the values
			unhead(a.dv, a.hv, lo, h)
			for i := range n {
				p, d := w.Row(i), dw.Row(i)
				mean := Dot(p[:i+1], d[:i+1])
				for j := range i + 1 {
					d[j] = scale * p[j] * (d[j] - mean)
				}
				clear(d[i+1:])
			}
			product(true, false, dw, a.hq, 0, a.hv) // and now that of the keys
			unhead(a.dk, a.hv, lo, h)
			product(false, false, dw, a.hk, 0, a.hv) // of the queries
			unhead(a.dq, a.hv, lo, h)
		}
	}
	a.dx = a.dx.reshape(dy.Rows, dy.Cols)
	copy(a.dx.Data, a.query.Backward(a.dq).Data)
	Axpy(1, a.key.Backward(a.dk).Data, a.dx.Data)
	Axpy(1, a.value.Backward(a.dv).Data, a.dx.Data)
	return a.dx
}

// head copies the columns of one head of n rows from lo on to dst.
func head[T Float](dst, m Matrix[T], lo, n, h, width int) Matrix[T] {
	dst = dst.reshape(n, width)
	for i := range n {
		copy(dst.Row(i), m.Row(lo + i)[h*width:(h+1)*width])
	}
	return dst
}

// unhead copies the columns of one head back.
func unhead[T Float](m, src Matrix[T], lo, h int) {
	for i := range src.Rows {
		copy(m.Row(lo + i)[h*src.Cols:(h+1)*src.Cols], src.Row(i))
	}
}

// AttentionPool weighs the rows of a history for one target: with f(j) = h·ReLU(Wᵀ(p⊙q(j)) + b), row j has weight e^f(j) / (Σ e^f)^smoothing, and adds weight·p·q(j) to the
// score. A smoothing below 1 does not punish long histories (He et al., TKDE 2018, section 3.3 [he2018]).
type AttentionPool[T Float] struct {
	smoothing     float64
	hidden, score *Dense[T]
	relu          *Activation[T]
	p             []T
	q             Matrix[T]
	skip          int
	x, df         Matrix[T]
	weights       []T // of the rows
	share         []T // softmax of the rows
	dots          []T // p·q(j)
}

// NewAttentionPool makes a layer for vectors of n numbers with a hidden layer.
func NewAttentionPool[T Float](p *Parameters[T], n, hidden int, smoothing float64) *AttentionPool[T] {
	return &AttentionPool[T]{smoothing: smoothing, hidden: NewDense(p, n, hidden), score: NewDense(p, hidden, 1), relu: ReLU[T]()}
}

// Forward returns what each row of history adds to the score of target, which holds until the next call. The row skip, if not negative, adds 0; there must be another.
// Cost: rows·n·hidden multiply-adds.
func (a *AttentionPool[T]) Forward(target []T, history Matrix[T], skip int) (terms []T) {
	a.p, a.q, a.skip = target, history, skip
	a.x = a.x.reshape(history.Rows, history.Cols)
	a.dots = a.dots[:0]
	for j := range history.Rows {
		x := a.x.Row(j)
		var dot T
		for k, q := range history.Row(j) {
			x[k] = target[k] * q
			dot += x[k]
		}
		a.dots = append(a.dots, dot)
	}
	f := a.score.Forward(a.relu.Forward(a.hidden.Forward(a.x)))
	if skip >= 0 {
		f.Data[skip] = T(math.Inf(-1))
	}
	a.weights, a.share = append(a.weights[:0], f.Data...), append(a.share[:0], f.Data...)
	logSum := softmax(a.share)
	terms = f.Data
	for j, z := range a.weights {
		a.weights[j] = T(math.Exp(float64(z) - a.smoothing*logSum))
		terms[j] = a.weights[j] * a.dots[j]
	}
	return terms
}

// Backward takes the gradient of the score, which is the sum of terms, and adds those of target and history to dp and dq.
func (a *AttentionPool[T]) Backward(g T, dp []T, dq Matrix[T]) {
	n := a.q.Rows
	a.df = a.df.reshape(n, 1)
	var sum T
	for j, w := range a.weights {
		sum += w * a.dots[j]
	}
	for j, w := range a.weights {
		a.df.Data[j] = g * (w*a.dots[j] - T(a.smoothing)*a.share[j]*sum)
	}
	dx := a.hidden.Backward(a.relu.Backward(a.score.Backward(a.df)))
	for j := range n {
		if j == a.skip {
			continue
		}
		d, q, own := dx.Row(j), a.q.Row(j), dq.Row(j)
		w := g * a.weights[j]
		for k, z := range d {
			z += w
			dp[k] += z * q[k]
			own[k] += z * a.p[k]
		}
	}
}
