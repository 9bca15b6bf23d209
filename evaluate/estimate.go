package evaluate

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Estimate is a figure with its 95% confidence interval. Low and High are the figure itself where there is nothing to tell its spread
// from: one user, one fold.
type Estimate struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// spread returns the half width of the interval around a mean with a standard error that comes from n observations.
func spread(standardError float64, n int) float64 {
	if n < 2 || standardError == 0 {
		return 0
	}
	return distuv.StudentsT{Sigma: 1, Nu: float64(n - 1)}.Quantile(0.975) * standardError
}

// within moves the bounds of the interval into [low, high].
func (e Estimate) within(low, high float64) Estimate {
	return Estimate{e.Mean, max(low, e.Low), min(high, e.High)}
}

// overFolds returns the mean of the figures of the folds.
func overFolds(figures []float64) Estimate {
	mean, deviation := stat.MeanStdDev(figures, nil)
	half := 0.0
	if n := len(figures); n > 1 {
		half = spread(deviation/math.Sqrt(float64(n)), n)
	}
	return Estimate{mean, mean - half, mean + half}
}

// ratio collects pairs (x, y) of the users, whose figure is the sum of all x over the sum of all y. With y = 1 that is the mean of x.
// Ratios add up: see add.
type ratio struct {
	n          int
	x, y       float64
	xx, xy, yy float64
}

func (r *ratio) observe(x, y float64) {
	r.add(ratio{1, x, y, x * x, x * y, y * y})
}

// add merges what was observed elsewhere.
func (r *ratio) add(o ratio) {
	r.n += o.n
	r.x, r.y = r.x+o.x, r.y+o.y
	r.xx, r.xy, r.yy = r.xx+o.xx, r.xy+o.xy, r.yy+o.yy
}

// estimate returns the ratio with the interval of the ratio estimator: its variance is n/(n-1) · sum (x - R·y)² / (sum y)².
// The sum of y must not be 0.
func (r *ratio) estimate() Estimate {
	figure := r.x / r.y
	n := float64(r.n)
	residuals := max(0, r.xx-2*figure*r.xy+figure*figure*r.yy)
	half := spread(math.Sqrt(n/max(1, n-1)*residuals)/r.y, r.n)
	return Estimate{figure, figure - half, figure + half}
}

// root returns the estimate of the root of a figure that is not negative.
func (e Estimate) root() Estimate {
	return Estimate{math.Sqrt(e.Mean), math.Sqrt(max(0, e.Low)), math.Sqrt(e.High)}
}
