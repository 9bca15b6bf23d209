package neural

import "math"

// Names of optimizers.
const (
	Adam    = "adam"
	Adagrad = "adagrad"
)

// Optimizer changes parameters against their gradients: Adam (Kingma and Ba, ICLR 2015 [kingma2015]) or Adagrad (Duchi et al., JMLR 2011 [duchi2011]). Of tables, only rows with
// a gradient change, and only their moments: a step costs what a batch touches, not the size of the catalog.
type Optimizer[T Float] struct {
	// Name is Adam or Adagrad, Rate the length of a step.
	Name string
	Rate float64
	// Decay adds Decay·value to the gradient of those parameters that a batch touches.
	Decay float64
	steps int
	m, v  []T
}

// Constants of the papers: memories of Adam, and what keeps divisions from 0.
const (
	adamFirst, adamSecond, adamFloor = 0.9, 0.999, 1e-8
	adagradStart                     = 0.1
)

// Step does one step with the gradients of p times scale, and clears them.
func (o *Optimizer[T]) Step(p *Parameters[T], scale float64) {
	if o.v == nil {
		o.v = make([]T, len(p.values))
		if o.Name == Adam {
			o.m = make([]T, len(p.values))
		} else {
			for i := range o.v {
				o.v[i] = adagradStart
			}
		}
	}
	o.steps++
	at := 0
	for _, e := range p.Tables {
		cols := e.Value.Cols
		for k, id := range e.Touched {
			o.update(p.values, at+int(id)*cols, e.grads[k*cols:(k+1)*cols], T(scale))
		}
		at += len(e.Value.Data)
	}
	o.update(p.values, p.dense, p.grads, T(scale))
	p.clearGrads()
}

// update changes the values from at on by gradients g·scale.
func (o *Optimizer[T]) update(values []T, at int, g []T, scale T) {
	x, v := values[at:at+len(g)], o.v[at:at+len(g)]
	decay := T(o.Decay)
	if o.Name != Adam {
		rate := T(o.Rate)
		for i, d := range g {
			d = d*scale + decay*x[i]
			v[i] += d * d
			x[i] -= rate * d / T(math.Sqrt(float64(v[i])))
		}
		return
	}
	m := o.m[at : at+len(g)]
	n := float64(o.steps)
	rate := T(o.Rate * math.Sqrt(1-math.Pow(adamSecond, n)) / (1 - math.Pow(adamFirst, n)))
	for i, d := range g {
		d = d*scale + decay*x[i]
		m[i] += (1 - adamFirst) * (d - m[i])
		v[i] += (1 - adamSecond) * (d*d - v[i])
		x[i] -= rate * m[i] / (T(math.Sqrt(float64(v[i]))) + adamFloor)
	}
}
