package neural_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/model/neural"
)

// layer is a layer with an input of its own: loss is a weighed sum of its output, and backward adds gradients to those of the parameters.
type layer struct {
	loss     func(x neural.Matrix[float64]) float64
	backward func(x neural.Matrix[float64]) neural.Matrix[float64]
}

func matrix(rows, cols int, rng *rand.Rand) neural.Matrix[float64] {
	m := neural.Matrix[float64]{}.Resize(rows, cols)
	for i := range m.Data {
		m.Data[i] = rng.NormFloat64()
	}
	return m
}

func clone(m neural.Matrix[float64]) neural.Matrix[float64] {
	c := neural.Matrix[float64]{}.Resize(m.Rows, m.Cols)
	copy(c.Data, m.Data)
	return c
}

// along makes a layer of a forward and a backward pass: the loss is the sum of outputs times fixed random numbers.
func along(forward, backward func(x neural.Matrix[float64]) neural.Matrix[float64]) layer {
	var weights neural.Matrix[float64]
	loss := func(x neural.Matrix[float64]) float64 {
		y := forward(clone(x))
		if weights.Data == nil {
			weights = matrix(y.Rows, y.Cols, rand.New(rand.NewPCG(5, 5)))
		}
		return neural.Dot(y.Data, weights.Data)
	}
	return layer{loss, func(x neural.Matrix[float64]) neural.Matrix[float64] {
		loss(x)
		return backward(clone(weights))
	}}
}

// checkGradients compares gradients with central differences of the loss, for each number of values.
func checkGradients(t *testing.T, what string, values, grads []float64, loss func() float64) {
	t.Helper()
	const step = 1e-5
	if len(values) != len(grads) {
		t.Fatalf("%s: %d gradients of %d values", what, len(grads), len(values))
	}
	for i := range values {
		x := values[i]
		values[i] = x + step
		up := loss()
		values[i] = x - step
		down := loss()
		values[i] = x
		want := (up - down) / (2 * step)
		if math.Abs(grads[i]-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("%s: gradient %d is %v, differences give %v", what, i, grads[i], want)
		}
	}
}

// TestLayers compares the backward pass of every layer with differences of its forward pass, for its input and its parameters.
func TestLayers(t *testing.T) {
	const rows, cols = 5, 6
	starts := []int{0, 3, 5}
	for name, build := range map[string]func(p *neural.Parameters[float64]) layer{
		"dense": func(p *neural.Parameters[float64]) layer {
			d := neural.NewDense(p, cols, 4)
			return along(d.Forward, d.Backward)
		},
		"relu": func(*neural.Parameters[float64]) layer {
			a := neural.ReLU[float64]()
			return along(a.Forward, a.Backward)
		},
		"gelu": func(*neural.Parameters[float64]) layer {
			a := neural.GELU[float64]()
			return along(a.Forward, a.Backward)
		},
		"dropout": func(*neural.Parameters[float64]) layer {
			d := &neural.Dropout[float64]{Share: 0.4}
			return along(func(x neural.Matrix[float64]) neural.Matrix[float64] {
				return d.Forward(x, rand.New(rand.NewPCG(7, 7)))
			}, d.Backward)
		},
		"layer norm": func(p *neural.Parameters[float64]) layer {
			l := neural.NewLayerNorm(p, cols)
			return along(l.Forward, l.Backward)
		},
		"self-attention": func(p *neural.Parameters[float64]) layer {
			a := neural.NewSelfAttention(p, cols, 2)
			return along(func(x neural.Matrix[float64]) neural.Matrix[float64] { return a.Forward(x, starts) }, a.Backward)
		},
		"attention pool": func(p *neural.Parameters[float64]) layer {
			// The first five numbers are the target, the others the history of five items, of which one is left out.
			a := neural.NewAttentionPool(p, rows, 3, 0.5)
			history := func(x neural.Matrix[float64]) neural.Matrix[float64] {
				return neural.Matrix[float64]{Rows: rows, Cols: cols - 1, Data: x.Data[rows:]}
			}
			var sum neural.Matrix[float64]
			var input neural.Matrix[float64]
			forward := func(x neural.Matrix[float64]) neural.Matrix[float64] {
				input, sum = x, sum.Resize(1, 1)
				for _, z := range a.Forward(x.Data[:rows], history(x), 2) {
					sum.Data[0] += z
				}
				return sum
			}
			return along(forward, func(d neural.Matrix[float64]) neural.Matrix[float64] {
				dx := neural.Matrix[float64]{}.Resize(input.Rows, input.Cols)
				a.Backward(d.Data[0], dx.Data[:rows], history(dx))
				return dx
			})
		},
		"binary cross-entropy": func(*neural.Parameters[float64]) layer {
			positive := make([]bool, rows*cols)
			for i := range positive {
				positive[i] = i%3 == 0
			}
			return layer{
				func(x neural.Matrix[float64]) float64 { return neural.BinaryCrossEntropy(clone(x).Data, positive) },
				func(x neural.Matrix[float64]) neural.Matrix[float64] {
					d := clone(x)
					neural.BinaryCrossEntropy(d.Data, positive)
					return d
				},
			}
		},
		"softmax cross-entropy": func(*neural.Parameters[float64]) layer {
			target := []int{0, 5, 2, 2, 1}
			return layer{
				func(x neural.Matrix[float64]) float64 { return neural.CrossEntropy(clone(x), target) },
				func(x neural.Matrix[float64]) neural.Matrix[float64] {
					d := clone(x)
					neural.CrossEntropy(d, target)
					return d
				},
			}
		},
		"embedding": func(p *neural.Parameters[float64]) layer {
			ids := []uint32{2, 0, 2, 1, 3}
			var y neural.Matrix[float64]
			return along(func(x neural.Matrix[float64]) neural.Matrix[float64] {
				y = y.Resize(rows, cols)
				p.Tables[0].Gather(ids, y)
				for i := range y.Data {
					y.Data[i] *= x.Data[i]
				}
				return y
			}, func(d neural.Matrix[float64]) neural.Matrix[float64] {
				x := matrix(rows, cols, rand.New(rand.NewPCG(3, 3)))
				own := clone(d)
				for i := range d.Data {
					own.Data[i] *= x.Data[i]
				}
				p.Tables[0].Scatter(ids, own)
				for i, id := range ids {
					for k, z := range p.Tables[0].Row(id) {
						d.Row(i)[k] *= z
					}
				}
				return d
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var l layer
			p := neural.Build([]neural.Table{{Rows: 4, Cols: cols, Deviation: 1}}, func(p *neural.Parameters[float64]) { l = build(p) })
			p.Start(rand.New(rand.NewPCG(1, 1)), nil)
			for i, noise := 0, rand.New(rand.NewPCG(2, 2)); i < len(p.Values()); i++ {
				p.Values()[i] += 0.3 * noise.NormFloat64()
			}
			x := matrix(rows, cols, rand.New(rand.NewPCG(3, 3)))
			dx := clone(l.backward(x))
			loss := func() float64 { return l.loss(x) }
			checkGradients(t, "input", x.Data, dx.Data, loss)
			checkGradients(t, "parameters", p.Values(), p.Grads(), loss)
		})
	}
}

// TestDropoutKeepsTheMean: what is kept is scaled up, about the right share is left out, and without a source nothing is.
func TestDropoutKeepsTheMean(t *testing.T) {
	const n = 10000
	x := neural.Matrix[float64]{}.Resize(1, n)
	for i := range x.Data {
		x.Data[i] = 1
	}
	d := &neural.Dropout[float64]{Share: 0.25}
	d.Forward(x, nil)
	if got := neural.Dot(x.Data, x.Data); got != n {
		t.Errorf("without a source: sum %v, want %d", got, n)
	}
	d.Forward(x, rand.New(rand.NewPCG(1, 1)))
	zeros, sum := 0, 0.0
	for _, z := range x.Data {
		if z == 0 {
			zeros++
		}
		sum += z
	}
	// Five deviations of a binomial distribution.
	if bound := 5 * math.Sqrt(n*0.25*0.75); math.Abs(float64(zeros)-n/4) > bound || math.Abs(sum-n) > bound/0.75 {
		t.Errorf("%d of %d left out, sum %v; want %d within %.0f", zeros, n, sum, n/4, bound)
	}
}

// TestAttentionIsCausal: what comes out at a place does not change with what comes after it, nor with another sequence.
func TestAttentionIsCausal(t *testing.T) {
	var a *neural.SelfAttention[float64]
	neural.Build(nil, func(p *neural.Parameters[float64]) { a = neural.NewSelfAttention(p, 4, 2) }).Start(rand.New(rand.NewPCG(1, 1)), nil)
	x := matrix(6, 4, rand.New(rand.NewPCG(2, 2)))
	before := clone(a.Forward(x, []int{0, 4, 6}))
	x.Row(3)[1]++
	after := a.Forward(x, []int{0, 4, 6})
	for i := range x.Rows {
		if same := fmt.Sprint(before.Row(i)) == fmt.Sprint(after.Row(i)); same != (i != 3) {
			t.Errorf("row %d: %v, then %v; only row 3 was to change", i, before.Row(i), after.Row(i))
		}
	}
}

// TestOptimizers: both come near the minimum of a square, Adam's first step has the length of the rate, and Adagrad's follows its formula; rows without a gradient stay.
func TestOptimizers(t *testing.T) {
	for name, first := range map[string]float64{neural.Adam: 0.1, neural.Adagrad: 0.1 * 2 / math.Sqrt(0.1+4)} {
		p := neural.Build([]neural.Table{{Rows: 2, Cols: 1}}, func(*neural.Parameters[float64]) {})
		p.Values()[0], p.Values()[1] = 3, 3
		o := neural.Optimizer[float64]{Name: name, Rate: 0.1}
		for step := range 2000 {
			// Half of the gradient of (x-1)², with a scale of ½.
			p.Tables[0].Grad(0)[0] += 2 * (p.Values()[0] - 1)
			o.Step(p, 0.5)
			if step == 0 && math.Abs(3-first-p.Values()[0]) > 1e-6 {
				t.Errorf("%s: the first step leads from 3 to %v, want %v", name, p.Values()[0], 3-first)
			}
		}
		if math.Abs(p.Values()[0]-1) > 0.01 || p.Values()[1] != 3 {
			t.Errorf("%s: came to %v, want 1 and an untouched 3", name, p.Values())
		}
	}
}
