package page

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/kith-io/kith/chart"
	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/pipeline"
)

// identityView says which keys of users, or of products, are one.
type identityView struct {
	// One and Many name what keys are of.
	One, Many string
	*pipeline.Identity
	Kinds      []kindRow
	KindsChart template.HTML
	Refused    []pairView
	SameTitles []pairView
}

// kindRow is a kind of keys.
type kindRow struct {
	Kind                string
	Keys, Ignored, Hubs int64
}

// pairView is a pair that was not joined.
type pairView struct {
	A, B, Score, Agree, Disagree string
}

func identitiesOf(report *pipeline.Report) []identityView {
	var out []identityView
	for _, x := range []struct {
		one, many string
		of        *pipeline.Identity
	}{{"user", "users", report.Users}, {"product", "products", report.Products}} {
		if x.of == nil {
			continue
		}
		v := identityView{One: x.one, Many: x.many, Identity: x.of}
		if l := x.of.Links; l != nil {
			v.Kinds, v.KindsChart = kindsOf(x.many, l)
		}
		if m := x.of.Match; m != nil {
			v.Refused = pairsOf(m.RefusedPairs, m.Weights)
		}
		if t := x.of.Titles; t != nil {
			v.SameTitles = pairsOf(t.RefusedPairs, nil)
		}
		out = append(out, v)
	}
	return out
}

// Joined is the number of keys that are one with a better one.
func (v identityView) Joined() int64 { return v.Links.Keys - v.Links.Entities }

func kindsOf(many string, l *identity.LinkReport) (rows []kindRow, figure template.HTML) {
	c := chart.Bars{Title: "Keys of " + many + " by kind", Unit: "keys", Parts: []chart.Part{{Color: chart.Good}}}
	kinds := map[string]int64{}
	for _, of := range []map[string]int64{l.ByKind, l.Ignored, l.Hubs} {
		for kind := range of {
			kinds[kind] = l.ByKind[kind]
		}
	}
	for _, k := range ranked(kinds) {
		rows = append(rows, kindRow{k.Name, k.Count, l.Ignored[k.Name], l.Hubs[k.Name]})
		c.Rows = append(c.Rows, chart.Bar{Label: k.Name, Note: text(k.Count), Values: []float64{float64(k.Count)}})
	}
	if len(rows) == 0 {
		return nil, ""
	}
	return rows, c.HTML()
}

// pairsOf lists pairs; fields by which they were compared are in the order of the weights.
func pairsOf(pairs []identity.Pair, weights []identity.Weights) (out []pairView) {
	fields := func(bits uint16) string {
		var names []string
		for i, w := range weights {
			if bits&(1<<i) != 0 {
				names = append(names, w.Field)
			}
		}
		return strings.Join(names, ", ")
	}
	for _, p := range pairs {
		out = append(out, pairView{p.A, p.B, numberText(p.Score), fields(p.Agree), fields(p.Disagree)})
	}
	return out
}

// recordsView says what records of users, or of products, were made of.
type recordsView struct {
	One, Many string
	*pipeline.Fused
	FieldsChart template.HTML
	Conflicts   int64
	Fields      []fieldView
	// Joined says that keys were joined, which makes records without rows.
	Joined bool
}

// fieldView is a field with its conflicts.
type fieldView struct {
	pipeline.FusedField
	Sources  []counted
	Examples []exampleView
}

// exampleView is a conflict: the claim that counts and the others.
type exampleView struct {
	Key    string
	Claims []claimView
}

type claimView struct{ Value, Source, Place string }

func recordsOf(report *pipeline.Report) []recordsView {
	var out []recordsView
	for _, x := range []struct {
		one, many string
		of        *pipeline.Fused
		joined    bool
	}{{"user", "users", report.Profiles, report.Users != nil}, {"product", "products", report.Catalog, report.Products != nil}} {
		if x.of == nil {
			continue
		}
		v := recordsView{One: x.one, Many: x.many, Fused: x.of, FieldsChart: fieldsChart(report, x.one, x.of), Joined: x.joined}
		for _, f := range x.of.Fields {
			v.Conflicts += f.Conflicts
			field := fieldView{FusedField: f, Sources: ranked(f.From)}
			for _, c := range f.Examples {
				field.Examples = append(field.Examples, exampleOf(c))
			}
			v.Fields = append(v.Fields, field)
		}
		out = append(out, v)
	}
	return out
}

func exampleOf(c pipeline.Conflict) exampleView {
	x := exampleView{Key: c.Key}
	for _, claim := range c.Claims {
		x.Claims = append(x.Claims, claimView{claim.Value, claim.Place.Source, placeText(claim.Place)})
	}
	return x
}

// fieldsChart shows for each field whose value counted.
func fieldsChart(report *pipeline.Report, one string, f *pipeline.Fused) template.HTML {
	var sources []string
	for _, s := range report.Sources {
		for i := range f.Fields {
			if f.Fields[i].From[s.Name] > 0 {
				sources = append(sources, s.Name)
				break
			}
		}
	}
	if len(sources) == 0 || f.Records == 0 {
		return ""
	}
	c := chart.Bars{Title: fmt.Sprintf("Whose value counts in the records of %ss", one), Unit: "per cent of the records; empty where there is no value", Shares: true}
	for i, name := range sources {
		c.Parts = append(c.Parts, chart.Part{Name: name, Color: chart.SeriesColor(i)})
	}
	for i := range f.Fields {
		field := &f.Fields[i]
		bar := chart.Bar{Label: field.Name, Note: share(field.Values, f.Records) + " filled", Of: float64(f.Records)}
		for _, name := range sources {
			bar.Values = append(bar.Values, float64(field.From[name]))
		}
		c.Rows = append(c.Rows, bar)
	}
	return c.HTML()
}
