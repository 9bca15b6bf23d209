package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/kith-io/kith/model"
)

// Settings of tree-structured Parzen estimators: those of Bergstra et al., 2011 [bergstra2011], but that a quarter of the trials counts as good while there are few.
const (
	goodShare  = 0.25
	candidates = 24
)

// parzen draws points where good trials are dense: of candidates drawn from the density l of the good trials, it takes that with the highest
// l/g, g the density of the others. Each coordinate has densities of its own.
type parzen struct {
	axes []parzenAxis
}

// parzenAxis has the densities of one coordinate.
type parzenAxis struct{ good, bad density }

// density is a mixture of normal distributions, cut to [0, 1], one around each point and a wide one as the prior; or, of choices, their shares.
type density struct {
	centers, widths []float64
	shares          []float64 // of choices
}

// newParzen makes the densities of points with their losses.
func newParzen(parameters []model.Parameter, points [][]float64, losses []float64) *parzen {
	ordered := byLoss(points, losses)
	good := min(len(ordered), max(1, int(math.Ceil(goodShare*float64(len(ordered))))))
	p := &parzen{}
	for i := range parameters {
		coordinates := func(points [][]float64) (out []float64) {
			for _, x := range points {
				out = append(out, x[i])
			}
			return out
		}
		choices := 0
		if len(parameters[i].Choices) > 0 {
			choices = int(parameters[i].Search[1]-parameters[i].Search[0]) + 1
		}
		p.axes = append(p.axes, parzenAxis{newDensity(coordinates(ordered[:good]), choices), newDensity(coordinates(ordered[good:]), choices)})
	}
	return p
}

// newDensity makes a density of places in [0, 1]; choices is their number, 0 of a number. The width of a point is the distance to its farther neighbor,
// but not below what so many points would have if they were spread evenly.
func newDensity(at []float64, choices int) density {
	if choices > 0 {
		shares := slices.Repeat([]float64{1}, choices)
		for _, x := range at {
			shares[choiceAt(x, choices)]++
		}
		for i := range shares {
			shares[i] /= float64(len(at) + choices)
		}
		return density{shares: shares}
	}
	d := density{centers: slices.Sorted(slices.Values(append([]float64{0.5}, at...)))}
	prior := slices.Index(d.centers, 0.5)
	for i, x := range d.centers {
		left, right := x, 1-x // the ends count as neighbors
		if i > 0 {
			left = x - d.centers[i-1]
		}
		if i+1 < len(d.centers) {
			right = d.centers[i+1] - x
		}
		width := min(1, max(left, right, 1/min(100, float64(len(d.centers)+1))))
		if i == prior {
			width = 1
		}
		d.widths = append(d.widths, width)
	}
	return d
}

func choiceAt(x float64, choices int) int { return min(choices-1, int(x*float64(choices))) }

// draw returns a place.
func (d *density) draw(rng *rand.Rand) float64 {
	if d.shares != nil {
		x := rng.Float64()
		for i, share := range d.shares {
			if x -= share; x < 0 || i == len(d.shares)-1 {
				return (float64(i) + 0.5) / float64(len(d.shares))
			}
		}
	}
	i := rng.IntN(len(d.centers))
	for range 100 {
		if x := d.centers[i] + d.widths[i]*rng.NormFloat64(); x >= 0 && x <= 1 {
			return x
		}
	}
	return d.centers[i]
}

// log returns the logarithm of the density at a place.
func (d *density) log(x float64) float64 {
	if d.shares != nil {
		return math.Log(d.shares[choiceAt(x, len(d.shares))])
	}
	var sum float64
	for i, c := range d.centers {
		w := d.widths[i]
		inside := (math.Erf((1-c)/w/math.Sqrt2) - math.Erf(-c/w/math.Sqrt2)) / 2
		sum += math.Exp(-(x-c)*(x-c)/(2*w*w)) / (w * math.Sqrt(2*math.Pi) * inside)
	}
	return math.Log(sum / float64(len(d.centers)))
}

// draw returns the best of some points.
func (p *parzen) draw(rng *rand.Rand) []float64 {
	var best []float64
	most := math.Inf(-1)
	for range candidates {
		point := make([]float64, len(p.axes))
		var gain float64
		for i := range p.axes {
			a := &p.axes[i]
			point[i] = a.good.draw(rng)
			gain += a.good.log(point[i]) - a.bad.log(point[i])
		}
		if best == nil || gain > most {
			best, most = point, gain
		}
	}
	return best
}
