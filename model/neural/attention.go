package neural

import (
	"math"

	"github.com/kith-io/kith/model"
)

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

// AttentionPool weighs the items of a history for one target: with f(j) = h·ReLU(W·(p⊙q(j)) + b) + c, item j has weight e^f(j) / (Σ e^f)^smoothing, and adds weight·p·q(j) to the
// score. A smoothing below 1 does not punish long histories (He et al., TKDE 2018, section 3.3 [he2018]).
//
// The history is a matrix with a column for each item, so that all sums run along rows as long as the history.
type AttentionPool[T Float] struct {
	smoothing      float64
	w, dw, b, db   Matrix[T] // hidden×n, 1×hidden
	h, dh, c, dc   Matrix[T] // 1×hidden, 1×1
	p              []T
	q, x, dx       Matrix[T] // n×items
	hidden, active Matrix[T] // hidden×items: what ReLU gives, and its gradient
	f, weights     []T       // of the items
	share          []T       // softmax of f
	dots           []T       // p·q(j)
}

// NewAttentionPool makes a layer for vectors of n numbers with hidden units.
func NewAttentionPool[T Float](p *Parameters[T], n, hidden int, smoothing float64) *AttentionPool[T] {
	a := &AttentionPool[T]{smoothing: smoothing}
	a.w, a.dw = p.take(hidden, n, glorot[T](n, hidden))
	a.b, a.db = p.take(1, hidden, nil)
	a.h, a.dh = p.take(1, hidden, glorot[T](hidden, 1))
	a.c, a.dc = p.take(1, 1, nil)
	return a
}

// Forward returns what each item of history adds to the score of target, which holds until the next call. Item skip, if not negative, adds 0; there must be another.
// Cost: items·n·hidden multiply-adds.
func (a *AttentionPool[T]) Forward(target []T, history Matrix[T], skip int) (terms []T) {
	items := history.Cols
	a.p, a.q = target, history
	a.x = a.x.Resize(history.Rows, items)
	a.dots = append(a.dots[:0], model.Aligned[T](items)...)
	for k, p := range target {
		Axpy(p, history.Row(k), a.x.Row(k))
		Axpy(1, a.x.Row(k), a.dots)
	}
	a.hidden = a.hidden.reshape(a.w.Rows, items)
	product(false, false, a.w, a.x, 0, a.hidden)
	a.f = append(a.f[:0], model.Aligned[T](items)...)
	for j := range a.f {
		a.f[j] = a.c.Data[0]
	}
	for i, bias := range a.b.Data {
		row := a.hidden.Row(i)
		for j, z := range row {
			row[j] = max(z+bias, 0)
		}
		Axpy(a.h.Data[i], row, a.f)
	}
	if skip >= 0 {
		a.f[skip] = T(math.Inf(-1))
	}
	a.weights, a.share = append(a.weights[:0], a.f...), append(a.share[:0], a.f...)
	logSum := softmax(a.share)
	for j, z := range a.weights {
		a.weights[j] = T(math.Exp(float64(z) - a.smoothing*logSum))
		a.f[j] = a.weights[j] * a.dots[j]
	}
	return a.f
}

// Backward takes the gradient of the score, which is the sum of terms, and adds those of target and history to dp and dq. It is called at most once after Forward.
func (a *AttentionPool[T]) Backward(g T, dp []T, dq Matrix[T]) {
	sum, df := Dot(a.weights, a.dots), a.share
	for j, w := range a.weights {
		df[j] = g * (w*a.dots[j] - T(a.smoothing)*a.share[j]*sum)
		a.dc.Data[0] += df[j]
		a.weights[j] = g * w // the gradient of dots
	}
	a.active = a.active.reshape(a.hidden.Rows, a.hidden.Cols)
	for i, h := range a.h.Data {
		y, d := a.hidden.Row(i), a.active.Row(i)
		a.dh.Data[i] += Dot(df, y)
		var bias T
		for j, z := range y {
			d[j] = 0
			if z > 0 {
				d[j] = h * df[j]
				bias += d[j]
			}
		}
		a.db.Data[i] += bias
	}
	product(false, true, a.active, a.x, 1, a.dw)
	a.dx = a.dx.reshape(a.x.Rows, a.x.Cols)
	product(true, false, a.w, a.active, 0, a.dx)
	for k, p := range a.p {
		d := a.dx.Row(k)
		Axpy(1, a.weights, d)
		dp[k] += Dot(d, a.q.Row(k))
		Axpy(p, d, dq.Row(k))
	}
}
