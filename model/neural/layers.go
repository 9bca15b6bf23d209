package neural

import (
	"math"
	"math/rand/v2"
)

// Dense is y = x·W + b, with x n×in and y n×out.
type Dense[T Float] struct {
	w, dw, b, db Matrix[T]
	x, y, dx     Matrix[T]
}

// NewDense makes a layer that begins with weights of Glorot and Bengio [glorot2010] and a bias of 0.
func NewDense[T Float](p *Parameters[T], in, out int) *Dense[T] {
	d := &Dense[T]{}
	d.w, d.dw = p.take(in, out, glorot[T](in, out))
	d.b, d.db = p.take(1, out, nil)
	return d
}

// Forward returns y, which holds until the next call. x must not change before Backward.
func (d *Dense[T]) Forward(x Matrix[T]) Matrix[T] {
	d.x, d.y = x, d.y.reshape(x.Rows, d.w.Cols)
	for i := range x.Rows {
		copy(d.y.Row(i), d.b.Data)
	}
	product(false, false, x, d.w, 1, d.y)
	return d.y
}

// Backward takes the gradient of y and returns that of x, which holds until the next call.
func (d *Dense[T]) Backward(dy Matrix[T]) Matrix[T] {
	product(true, false, d.x, dy, 1, d.dw)
	for i := range dy.Rows {
		Axpy(1, dy.Row(i), d.db.Data)
	}
	d.dx = d.dx.reshape(d.x.Rows, d.x.Cols)
	product(false, true, dy, d.w, 0, d.dx)
	return d.dx
}

// Activation is a function of each number of a matrix. Forward changes x in place and Backward the gradient.
type Activation[T Float] struct {
	f, slope func(x T) T
	x        Matrix[T]
	rectify  bool
}

// ReLU is max(0, x).
func ReLU[T Float]() *Activation[T] { return &Activation[T]{rectify: true} }

// GELU is x·Φ(x), where Φ is the distribution function of the normal distribution (Hendrycks and Gimpel, 2016 [hendrycks2016]).
func GELU[T Float]() *Activation[T] {
	cdf := func(x float64) float64 { return (1 + math.Erf(x/math.Sqrt2)) / 2 }
	return &Activation[T]{
		f: func(x T) T { return x * T(cdf(float64(x))) },
		slope: func(x T) T {
			z := float64(x)
			return T(cdf(z) + z*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi))
		},
	}
}

// Forward replaces x by its function, and returns it.
func (a *Activation[T]) Forward(x Matrix[T]) Matrix[T] {
	a.x = a.x.reshape(x.Rows, x.Cols)
	copy(a.x.Data, x.Data)
	if a.rectify {
		for i, z := range x.Data {
			x.Data[i] = max(z, 0)
		}
		return x
	}
	for i, z := range x.Data {
		x.Data[i] = a.f(z)
	}
	return x
}

// Backward replaces the gradient of the function by that of x, and returns it.
func (a *Activation[T]) Backward(dy Matrix[T]) Matrix[T] {
	if a.rectify {
		for i, z := range a.x.Data {
			if z <= 0 {
				dy.Data[i] = 0
			}
		}
		return dy
	}
	for i, z := range a.x.Data {
		dy.Data[i] *= a.slope(z)
	}
	return dy
}

// Dropout sets a share of numbers to 0 in training and multiplies the others by 1/(1-share), so that nothing changes when serving (Srivastava et al.,
// 2014 [srivastava2014]).
type Dropout[T Float] struct {
	Share float64
	mask  []T
}

// Forward changes x in place, and returns it. Without a source of random numbers, it leaves x as it is.
func (d *Dropout[T]) Forward(x Matrix[T], rng *rand.Rand) Matrix[T] {
	d.mask = d.mask[:0]
	if rng == nil || d.Share == 0 {
		return x
	}
	cut, kept := uint32(d.Share*(1<<32)), T(1/(1-d.Share))
	var bits uint64
	for i := range x.Data {
		if bits >>= 32; i%2 == 0 {
			bits = rng.Uint64()
		}
		scale := kept
		if uint32(bits) < cut {
			scale = 0
		}
		d.mask = append(d.mask, scale)
		x.Data[i] *= scale
	}
	return x
}

// Backward changes the gradient in place, and returns it.
func (d *Dropout[T]) Backward(dy Matrix[T]) Matrix[T] {
	for i, scale := range d.mask {
		dy.Data[i] *= scale
	}
	return dy
}

// LayerNorm gives each row mean 0 and variance 1, and multiplies and shifts it by learned vectors (Ba et al., 2016 [ba2016]).
type LayerNorm[T Float] struct {
	gain, dgain, shift, dshift Matrix[T]
	unit, y, dx                Matrix[T]
	scale                      []T
}

// NewLayerNorm makes a layer for rows of n numbers that begins with a gain of 1 and a shift of 0.
func NewLayerNorm[T Float](p *Parameters[T], n int) *LayerNorm[T] {
	l := &LayerNorm[T]{}
	l.gain, l.dgain = p.take(1, n, ones[T])
	l.shift, l.dshift = p.take(1, n, nil)
	return l
}

// normFloor is added to a variance, so that a constant row does not divide by 0.
const normFloor = 1e-5

// Forward returns the result, which holds until the next call.
func (l *LayerNorm[T]) Forward(x Matrix[T]) Matrix[T] {
	l.unit, l.y = l.unit.reshape(x.Rows, x.Cols), l.y.reshape(x.Rows, x.Cols)
	l.scale = l.scale[:0]
	n := T(x.Cols)
	for i := range x.Rows {
		row, unit, y := x.Row(i), l.unit.Row(i), l.y.Row(i)
		var mean, variance T
		for _, z := range row {
			mean += z
		}
		mean /= n
		for _, z := range row {
			variance += (z - mean) * (z - mean)
		}
		scale := T(1 / math.Sqrt(float64(variance/n)+normFloor))
		l.scale = append(l.scale, scale)
		for j, z := range row {
			unit[j] = (z - mean) * scale
			y[j] = unit[j]*l.gain.Data[j] + l.shift.Data[j]
		}
	}
	return l.y
}

// Backward takes the gradient of the result and returns that of x, which holds until the next call.
func (l *LayerNorm[T]) Backward(dy Matrix[T]) Matrix[T] {
	l.dx = l.dx.reshape(dy.Rows, dy.Cols)
	n := T(dy.Cols)
	for i := range dy.Rows {
		d, unit, dx := dy.Row(i), l.unit.Row(i), l.dx.Row(i)
		var sum, along T
		for j, g := range d {
			l.dgain.Data[j] += g * unit[j]
			l.dshift.Data[j] += g
			dx[j] = g * l.gain.Data[j]
			sum += dx[j]
			along += dx[j] * unit[j]
		}
		for j := range dx {
			dx[j] = l.scale[i] * (dx[j] - sum/n - unit[j]*along/n)
		}
	}
	return l.dx
}
