package experiment_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/experiment"
)

// TestCompareByHand: of 400 users of the control 40 did it, and of 400 of the variant 72. The variance of the difference is
// 0.1·0.9/400 + 0.18·0.82/400 = 0.000594; for α = 0.05 and 10,000 users ρ² = (5.991+ln 6.991)/10,000 = 0.00079362, and nρ²+1 = 1.63489. So the radius is
// √(0.000594·800)·√(2·1.63489/(800²·0.00079362)·ln(1.27863/0.05)) = 0.099581, and p = 1.27863·exp(-0.08²·800·0.00079362/(2·0.000594·1.63489)) = 0.157824.
func TestCompareByHand(t *testing.T) {
	of := func(did uint64) experiment.Sample {
		return experiment.Sample{N: 400, Outcomes: did, Sum: float64(did), Squares: float64(did)}
	}
	d := experiment.Compare(of(40), of(72), 0.05, 10_000)
	want := experiment.Difference{Known: true, Value: 0.08, Low: -0.019581154, High: 0.179581154, P: 0.157824261}
	for _, x := range [][2]float64{{d.Value, want.Value}, {d.Low, want.Low}, {d.High, want.High}, {d.P, want.P}} {
		if !d.Known || math.Abs(x[0]-x[1]) > 1e-8 {
			t.Fatalf("got %+v, want %+v", d, want)
		}
	}
	// The p-value is the α at whose interval 0 is the end, where ρ is that of the α.
	if d := experiment.Compare(of(40), of(78), 0.05, 10_000); (d.P <= 0.05) != (d.Low > 0) {
		t.Errorf("%+v: the interval and the p-value disagree", d)
	}
	for _, few := range []experiment.Sample{of(0), {N: 99, Outcomes: 50, Sum: 50, Squares: 50}} {
		if d := experiment.Compare(of(10), few, 0.05, 10_000); d.Known || d.P != 1 {
			t.Errorf("%+v against 10 of 400: %+v, want nothing known", few, d)
		}
	}
}

// visitors are users of two variants, half of them each, who buy some time after they came.
type visitors struct {
	rng      *rand.Rand
	rate     [2]float64 // of users who buy
	late     int        // users who come before another one buys, on average
	samples  [2]experiment.Sample
	revenues [2]experiment.Sample
	waiting  []waiting
}

type waiting struct{ variant, at int }

// come lets one more come, as the nth, and those buy whose time it is.
func (v *visitors) come(n int) {
	variant := v.rng.IntN(2)
	v.samples[variant].N++
	v.revenues[variant].N++
	if v.rng.Float64() < v.rate[variant] {
		v.waiting = append(v.waiting, waiting{variant, n + int(v.rng.ExpFloat64()*float64(v.late))})
	}
	left := v.waiting[:0]
	for _, w := range v.waiting {
		if w.at > n {
			left = append(left, w)
			continue
		}
		s, r := &v.samples[w.variant], &v.revenues[w.variant]
		s.Outcomes, s.Sum, s.Squares = s.Outcomes+1, s.Sum+1, s.Squares+1
		spent := 20 * math.Exp(v.rng.NormFloat64()) // with a long tail
		r.Outcomes, r.Sum, r.Squares = r.Outcomes+1, r.Sum+spent, r.Squares+spent*spent
	}
	v.waiting = left
}

// fixedP is the p-value of a test for a sample of fixed size, as many tools report it.
func fixedP(a, b experiment.Sample) float64 {
	v := func(s experiment.Sample) float64 {
		return (s.Squares/float64(s.N) - s.Mean()*s.Mean()) / float64(s.N)
	}
	if v(a)+v(b) == 0 {
		return 1
	}
	return math.Erfc(math.Abs(a.Mean()-b.Mean()) / math.Sqrt(v(a)+v(b)) / math.Sqrt2)
}

// looks is how often one looks, evenly, while users come.
const (
	looks = 100
	users = 10_000
	alpha = 0.05
)

// atMost fails when more of n than alpha, and three standard deviations.
func atMost(t *testing.T, what string, got, n int) {
	t.Helper()
	if most := float64(n)*alpha + 3*math.Sqrt(float64(n)*alpha*(1-alpha)); float64(got) > most {
		t.Errorf("%s: %d of %d, want at most %v and chance: %.0f", what, got, n, alpha, most)
	}
}

// TestPeekingAtEqualVariants: of tests between two variants that are alike, at which one looks 100 times and stops at the first significant value, at most α reject. A
// test for a fixed size rejects many more, so the simulation can tell.
func TestPeekingAtEqualVariants(t *testing.T) {
	const runs = 400
	var split, exact, rate, revenue, fixed int
	for run := range runs {
		v := &visitors{rng: rand.New(rand.NewPCG(1, uint64(run))), rate: [2]float64{0.05, 0.05}, late: 500}
		var rejected [5]bool
		for n := range users {
			v.come(n)
			if (n+1)%(users/looks) > 0 {
				continue
			}
			a, b := v.samples[0], v.samples[1]
			of := experiment.Compare(v.revenues[0], v.revenues[1], alpha, users)
			both := experiment.Compare(a, b, alpha, users)
			for i, r := range []bool{
				experiment.SplitP([]uint64{a.N, b.N}, []float64{1, 1}) <= alpha,
				experiment.SplitP([]uint64{a.Outcomes, b.Outcomes}, []float64{1, 1}) <= alpha,
				both.Known && (both.Low > 0 || both.High < 0), of.Known && of.P <= alpha,
				n > users/looks && fixedP(a, b) <= alpha,
			} {
				rejected[i] = rejected[i] || r
			}
		}
		for i, x := range []*int{&split, &exact, &rate, &revenue, &fixed} {
			if rejected[i] {
				*x++
			}
		}
	}
	t.Logf("of %d tests of equal variants, %d looks at %d users: the split rejected %.1f%%, conversions %.1f%%, the interval of conversions %.1f%%, revenue %.1f%%; a fixed test %.1f%%",
		runs, looks, users, percent(split, runs), percent(exact, runs), percent(rate, runs), percent(revenue, runs), percent(fixed, runs))
	atMost(t, "split", split, runs)
	atMost(t, "conversions", exact, runs)
	atMost(t, "interval of conversions", rate, runs)
	atMost(t, "revenue", revenue, runs)
	if fixed < 4*alpha*runs {
		t.Errorf("a test for a fixed size rejects %d of %d; want far too many, or the simulation shows nothing", fixed, runs)
	}
}

func percent(x, n int) float64 { return 100 * float64(x) / float64(n) }

// TestPeekingAtDifferentVariants: a difference is found, and the interval has the true one at all looks but for a share of α of the tests.
func TestPeekingAtDifferentVariants(t *testing.T) {
	const runs = 200
	const more = 0.02
	var exact, missed, after int
	for run := range runs {
		v := &visitors{rng: rand.New(rand.NewPCG(2, uint64(run))), rate: [2]float64{0.05, 0.05 + more}, late: 1}
		found, miss := false, false
		for n := range users {
			v.come(n)
			if (n+1)%(users/looks) > 0 {
				continue
			}
			a, b := v.samples[0], v.samples[1]
			if !found && experiment.SplitP([]uint64{a.Outcomes, b.Outcomes}, []float64{1, 1}) <= alpha {
				found = true
				after += n + 1
			}
			d := experiment.Compare(a, b, alpha, users)
			miss = miss || d.Known && (d.Low > more || d.High < more)
		}
		if found {
			exact++
		}
		if miss {
			missed++
		}
	}
	t.Logf("of %d tests of 5%% against 7%%: %.1f%% found within %d users, after %d on average; the interval missed the difference in %.1f%%",
		runs, percent(exact, runs), users, after/max(1, exact), percent(missed, runs))
	if exact < runs*8/10 {
		t.Errorf("%d of %d found, want at least 80%%", exact, runs)
	}
	atMost(t, "missed", missed, runs)
}

// TestSplitP: a split that is off is found, one that is not stays, and the order of the shares' unit does not matter.
func TestSplitP(t *testing.T) {
	for _, tt := range []struct {
		counts    []uint64
		shares    []float64
		low, high float64
	}{
		{[]uint64{5000, 5000}, []float64{50, 50}, 1, 1},
		{[]uint64{5080, 4920}, []float64{50, 50}, 0.5, 1},
		{[]uint64{5300, 4700}, []float64{50, 50}, 0, 1e-5},
		{[]uint64{5300, 4700}, []float64{53, 47}, 1, 1},
		{[]uint64{0, 0, 0}, []float64{1, 2, 3}, 1, 1},
		{[]uint64{1000, 2000, 3050}, []float64{1, 2, 3}, 0.5, 1},
		{[]uint64{1000, 2000, 4000}, []float64{1, 2, 3}, 0, 1e-5},
	} {
		if p := experiment.SplitP(tt.counts, tt.shares); p < tt.low || p > tt.high {
			t.Errorf("%v of shares %v: p = %v, want %v to %v", tt.counts, tt.shares, p, tt.low, tt.high)
		}
	}
}
