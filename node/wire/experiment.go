package wire

import (
	"maps"
	"slices"

	"github.com/kith-io/kith/experiment"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// TallyToProto converts a tally; variants and models are in order, so that equal tallies are equal messages.
func TallyToProto(t *experiment.Tally) *kithv1.ExperimentTally {
	m := &kithv1.ExperimentTally{Crossed: t.Crossed, Refused: t.Refused}
	for _, name := range slices.Sorted(maps.Keys(t.Variants)) {
		v := t.Variants[name]
		m.Variants = append(m.Variants, &kithv1.VariantTally{
			Variant: name, Users: v.Users, Clicked: v.Clicked, Converted: v.Converted, Revenue: v.Revenue, Squares: v.Squares, Models: modelsToProto(v.Models),
		})
	}
	return m
}

// TallyFromProto converts a tally back.
func TallyFromProto(m *kithv1.ExperimentTally) *experiment.Tally {
	t := experiment.NewTally()
	t.Crossed, t.Refused = m.GetCrossed(), m.GetRefused()
	for _, x := range m.GetVariants() {
		v := t.Variant(x.GetVariant())
		v.Users, v.Clicked, v.Converted, v.Revenue, v.Squares = x.GetUsers(), x.GetClicked(), x.GetConverted(), x.GetRevenue(), x.GetSquares()
		for _, c := range x.GetModels() {
			v.Models[c.GetVersion()] = experiment.Counts{
				Impressions: c.GetCounts().GetImpressions(), Clicks: c.GetCounts().GetClicks(), Purchases: c.GetCounts().GetPurchases(), Revenue: c.GetCounts().GetRevenue(),
			}
		}
	}
	return t
}

func modelsToProto(models map[uint64]experiment.Counts) (out []*kithv1.ModelCounts) {
	for _, version := range slices.Sorted(maps.Keys(models)) {
		out = append(out, &kithv1.ModelCounts{Version: version, Counts: answerCounts(models[version])})
	}
	return out
}

func answerCounts(c experiment.Counts) *kithv1.AnswerCounts {
	return &kithv1.AnswerCounts{Impressions: c.Impressions, Clicks: c.Clicks, Purchases: c.Purchases, Revenue: c.Revenue}
}

// SceneReportsToProto converts a tally of scenes, by name.
func SceneReportsToProto(t *experiment.Tally) (out []*kithv1.SceneReport) {
	for _, name := range slices.Sorted(maps.Keys(t.Variants)) {
		v := t.Variants[name]
		out = append(out, &kithv1.SceneReport{
			Name: name, Users: v.Users, Clicked: v.Clicked, Converted: v.Converted, Counts: answerCounts(v.All()), Models: modelsToProto(v.Models),
		})
	}
	return out
}

// VariantReportToProto converts the report of a variant, which a scene answered.
func VariantReportToProto(v *experiment.VariantReport, scene string) *kithv1.VariantReport {
	outcome := func(o *experiment.Outcome) *kithv1.VariantOutcome {
		return &kithv1.VariantOutcome{Users: o.Users, Mean: o.Mean, Known: o.Known, Difference: o.Value, Low: o.Low, High: o.High, P: o.P}
	}
	return &kithv1.VariantReport{
		Name: v.Name, Scene: scene, Share: v.Share, Users: v.Users, Clicked: outcome(&v.Clicked), Converted: outcome(&v.Converted), Revenue: outcome(&v.Revenue),
		Counts: answerCounts(v.All), Models: modelsToProto(v.Models),
	}
}
