package experiment

// alpha is the probability of a wrong interval, or of a p-value below it, of all variants together.
const alpha = 0.05

// Report is what a tally says of an experiment.
type Report struct {
	// Variants in the order of the arms. The first one is the control.
	Variants []VariantReport
	// SplitP is the p-value of the users having been split as the weights say; see SplitP.
	SplitP float64
	// Others are the users who met a variant first that is not among the arms.
	Others uint64
}

// VariantReport is what a tally says of one variant.
type VariantReport struct {
	Arm
	// Share of the users that it should have.
	Share                       float64
	Users                       uint64
	Clicked, Converted, Revenue Outcome
	// Models are the counts by version of the model, All those of all of them.
	Models map[uint64]Counts
	All    Counts
}

// Outcome is one outcome of the users of a variant: 1 for those who clicked, or bought, or what they spent.
type Outcome struct {
	// Users whose outcome is not 0.
	Users uint64
	// Mean of all users.
	Mean float64
	// Difference to the control. Of clicks and purchases, P is that of the randomization (SplitP), and of revenue that of the interval. With several variants beside
	// the control intervals are so much wider, and p-values larger, that α holds for all of them together (Bonferroni).
	Difference
}

// Report makes a report for arms, of which the first is the control, with intervals that are narrowest at an expected number of users; 0 means DefaultExpected.
func (t *Tally) Report(arms []Arm, expected uint64) *Report {
	if expected == 0 {
		expected = DefaultExpected
	}
	r := &Report{}
	total := 0.0
	for _, a := range arms {
		total += a.Weight
	}
	counts, shares := make([]uint64, len(arms)), make([]float64, len(arms))
	known := map[string]bool{}
	for i, a := range arms {
		v, control := t.Variant(a.Name), t.Variant(arms[0].Name)
		known[a.Name] = true
		counts[i], shares[i] = v.Users, a.Weight/total
		x := VariantReport{
			Arm: a, Share: shares[i], Users: v.Users, Models: v.Models, All: v.All(),
			Clicked: Outcome{Users: v.Clicked, Mean: v.clicked().Mean()}, Converted: Outcome{Users: v.Converted, Mean: v.converted().Mean()},
			Revenue: Outcome{Users: v.Converted, Mean: v.revenue().Mean()},
		}
		if i > 0 {
			others := float64(len(arms) - 1)
			compare := func(o *Outcome, control, variant Sample) {
				o.Difference = Compare(control, variant, alpha/others, expected)
				o.P = min(1, o.P*others)
			}
			binary := func(o *Outcome, control, variant Sample) {
				compare(o, control, variant)
				o.P = min(1, SplitP([]uint64{control.Outcomes, variant.Outcomes}, []float64{arms[0].Weight, a.Weight})*others)
			}
			binary(&x.Clicked, control.clicked(), v.clicked())
			binary(&x.Converted, control.converted(), v.converted())
			compare(&x.Revenue, control.revenue(), v.revenue())
		}
		r.Variants = append(r.Variants, x)
	}
	r.SplitP = SplitP(counts, shares)
	for name, v := range t.Variants {
		if !known[name] {
			r.Others += v.Users
		}
	}
	return r
}

func share(users, did uint64) Sample {
	return Sample{N: users, Outcomes: did, Sum: float64(did), Squares: float64(did)}
}

func (v *VariantTally) clicked() Sample   { return share(v.Users, v.Clicked) }
func (v *VariantTally) converted() Sample { return share(v.Users, v.Converted) }

func (v *VariantTally) revenue() Sample {
	return Sample{N: v.Users, Outcomes: v.Converted, Sum: v.Revenue, Squares: v.Squares}
}
