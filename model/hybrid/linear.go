package hybrid

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// linear is a logistic regression: the score is weights·x + base, the logarithm of the odds.
type linear struct {
	base    float64
	weights []float64
}

func (l *linear) predict(x []float32) float64 {
	sum := l.base
	for i, w := range l.weights {
		sum += w * float64(x[i])
	}
	return sum
}

const (
	penalty     = 1.0 // of Σw²/2, for features of deviation 1: as much as one example in 10,000 says, and enough where two features are equal
	newtonSteps = 50
)

// regress minimizes logLoss + penalty·Σw²/2, w the weights of features of mean 0 and deviation 1, by iteratively reweighted least squares: Newton's method, with steps that are halved
// until the loss falls (McCullagh and Nelder, 1989 [mccullagh1989]). The loss is convex, so that the result is the only one. Cost: O(examples·features²) for each of a few steps.
func regress(e *examples) (*linear, error) {
	n, width := e.len(), e.width
	mean, deviation := make([]float64, width), make([]float64, width)
	for i := range n {
		for j, x := range e.row(i) {
			mean[j] += float64(x) / float64(n)
		}
	}
	for i := range n {
		for j, x := range e.row(i) {
			deviation[j] += (float64(x) - mean[j]) * (float64(x) - mean[j]) / float64(n)
		}
	}
	for j, v := range deviation {
		if deviation[j] = math.Sqrt(v); v < 1e-12 {
			deviation[j] = math.Inf(1) // says nothing: its standardized form is 0
		}
	}
	w := make([]float64, width+1) // the last one is the base
	z := make([]float64, width+1)
	standard := func(i int) {
		for j, x := range e.row(i) {
			z[j] = (float64(x) - mean[j]) / deviation[j]
		}
		z[width] = 1
	}
	scores := make([]float64, n)
	loss := func(w []float64) float64 {
		for i := range n {
			standard(i)
			scores[i] = 0
			for j, x := range w {
				scores[i] += x * z[j]
			}
		}
		sum := logLoss(e, scores)
		for _, x := range w[:width] {
			sum += penalty * x * x / 2
		}
		return sum
	}
	now := loss(w)
	first, second := make([]float64, n), make([]float64, n)
	for range newtonSteps {
		logistic(e, scores, first, second)
		gradient, hessian := mat.NewVecDense(width+1, nil), mat.NewSymDense(width+1, nil)
		for j := range width {
			gradient.SetVec(j, penalty*w[j])
			hessian.SetSym(j, j, penalty)
		}
		hessian.SetSym(width, width, 1e-9) // a base without data stays where it is
		for i := range n {
			standard(i)
			for j, x := range z {
				gradient.SetVec(j, gradient.AtVec(j)+first[i]*x)
				for k := j; k <= width; k++ {
					hessian.SetSym(j, k, hessian.At(j, k)+second[i]*x*z[k])
				}
			}
		}
		var factor mat.Cholesky
		if !factor.Factorize(hessian) {
			return nil, errors.New("hybrid: the features have values that no regression can be made of")
		}
		var step mat.VecDense
		if err := factor.SolveVecTo(&step, gradient); err != nil {
			return nil, errors.New("hybrid: the features have values that no regression can be made of")
		}
		next, length, fell := make([]float64, width+1), 1.0, now
		for {
			for j := range w {
				next[j] = w[j] - length*step.AtVec(j)
			}
			if fell = loss(next); fell <= now || length < 1e-6 {
				break
			}
			length /= 2
		}
		if !(now-fell > 1e-9*now) {
			break
		}
		w, now = next, fell
	}
	l := &linear{base: w[width], weights: make([]float64, width)}
	for j := range width {
		l.weights[j] = w[j] / deviation[j]
		l.base -= l.weights[j] * mean[j]
	}
	return l, nil
}
