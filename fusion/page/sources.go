package page

import (
	"cmp"
	"html/template"
	"slices"
	"strings"

	"github.com/kith-io/kith/chart"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
)

// sourceRow is what became of the rows of a source, step by step. Read is the sum of Skipped, Unreadable, Unmatched, ByRules, Later and Kept.
type sourceRow struct {
	Name, Became string
	Kind         fusion.Kind
	Read         int64
	Skipped      int64
	// Unreadable rows have values that the mapping cannot take, Unmatched ones no counterpart in another source; Later ones were refused when keys or
	// records were made of them.
	Unreadable, Unmatched, ByRules, Later int64
	Kept                                  int64
	// Repaired rows were changed by the mapping, Cleaned ones by rules, Changed ones by either. A row may be repaired and cleaned, so AtMost says
	// that Changed is the greatest number that it can be.
	Repaired, Cleaned, Changed int64
	AtMost                     bool
}

// Rejected is the number of rows that were refused anywhere.
func (r sourceRow) Rejected() int64 { return r.Unreadable + r.Unmatched + r.ByRules + r.Later }

func (r *sourceRow) add(o *sourceRow) {
	r.Read += o.Read
	r.Skipped += o.Skipped
	r.Unreadable += o.Unreadable
	r.Unmatched += o.Unmatched
	r.ByRules += o.ByRules
	r.Later += o.Later
	r.Kept += o.Kept
	r.Repaired += o.Repaired
	r.Cleaned += o.Cleaned
	r.Changed += o.Changed
	r.AtMost = r.AtMost || o.AtMost
}

func rowOf(s *pipeline.Source) sourceRow {
	r := sourceRow{Name: s.Name, Kind: s.Kind, Read: s.Read, Skipped: s.Skipped, Kept: s.Kept, Repaired: s.Repaired, Cleaned: s.Cleaned, Became: becameText(s.Kind)}
	for code, n := range s.Reasons {
		switch {
		case strings.HasPrefix(code, ruleCode):
			r.ByRules += n
		case code == "no_counterpart":
			r.Unmatched += n
		case code == "bad_record", code == "too_many_rows", code == "unknown_kind":
			r.Later += n
		default:
			r.Unreadable += n
		}
	}
	r.Changed = min(s.Kept, s.Repaired+s.Cleaned)
	r.AtMost = s.Repaired > 0 && (s.Cleaned > 0 || s.Rejected > r.Unreadable) // repaired rows may have been refused later
	return r
}

func becameText(k fusion.Kind) string {
	switch k {
	case fusion.UserRows:
		return "records of users"
	case fusion.ProductRows:
		return "records of products"
	case fusion.LinkRows:
		return "which keys are one"
	case fusion.TableRows:
		return "looked up by others"
	}
	return "events"
}

func rowsOf(report *pipeline.Report) []sourceRow {
	var out []sourceRow
	for _, s := range report.Sources {
		out = append(out, rowOf(s))
	}
	return out
}

// sourcesChart shows for each source how many rows were kept.
func sourcesChart(rows []sourceRow) template.HTML {
	if len(rows) == 0 {
		return ""
	}
	c := chart.Bars{
		Title: "Rows of each source: kept, changed, left out, rejected", Unit: "per cent of the rows read", Shares: true,
		Parts: []chart.Part{{Name: "kept as they are", Color: chart.Good}, {Name: "kept, but repaired or cleaned", Color: chart.Changed}, {Name: "left out by the mapping", Color: chart.Left}, {Name: "rejected", Color: chart.Bad}},
	}
	for _, r := range rows {
		values := []float64{float64(r.Kept - r.Changed), float64(r.Changed), float64(r.Skipped), float64(r.Rejected())}
		c.Rows = append(c.Rows, chart.Bar{Label: r.Name, Note: plural(r.Read, "row"), Values: values})
	}
	return c.HTML()
}

// reasonView is a reason for which rows of a source were rejected.
type reasonView struct {
	Code    string
	Count   int64
	Samples []pipeline.Sample
}

// counted is a name and a number.
type counted struct {
	Name  string
	Count int64
}

// ranked lists the numbers of a map, the greatest first, equal ones by name.
func ranked[K ~string](of map[K]int64) []counted {
	var out []counted
	for k, n := range of {
		out = append(out, counted{string(k), n})
	}
	slices.SortFunc(out, func(a, b counted) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
	return out
}

// sourceView is a source with its rejected rows.
type sourceView struct {
	Row       sourceRow
	Private   bool
	Reasons   []reasonView
	Repairs   []counted
	Unmatched []counted
}

// sourcesOf returns the sources, whose rows are given, but those of which all rows were kept as they are: of these only the names.
func sourcesOf(report *pipeline.Report, rows []sourceRow) (out []sourceView, clean []string) {
	for i, s := range report.Sources {
		if s.Kept == s.Read && s.Read > 0 && s.Repaired+s.Cleaned == 0 && len(s.Unmatched)+len(s.Repairs) == 0 {
			clean = append(clean, s.Name)
			continue
		}
		v := sourceView{Row: rows[i], Private: s.Private, Repairs: ranked(s.Repairs), Unmatched: ranked(s.Unmatched)}
		for _, r := range ranked(s.Reasons) {
			reason := reasonView{Code: r.Name, Count: r.Count}
			for _, x := range s.Samples {
				if x.Reason == r.Name {
					reason.Samples = append(reason.Samples, x)
				}
			}
			v.Reasons = append(v.Reasons, reason)
		}
		out = append(out, v)
	}
	return out, clean
}

// behaviorsChart shows what users did.
func behaviorsChart(e *pipeline.Events) template.HTML {
	if e.Events == 0 {
		return ""
	}
	c := chart.Bars{Title: "Events by behavior", Unit: "events", Parts: []chart.Part{{Color: chart.Good}}}
	behaviors := ranked(e.Behaviors)
	if e.OtherBehaviors > 0 {
		behaviors = append(behaviors, counted{"all others", e.OtherBehaviors})
	}
	for _, b := range behaviors {
		c.Rows = append(c.Rows, chart.Bar{Label: b.Name, Note: text(b.Count) + " · " + share(b.Count, e.Events), Values: []float64{float64(b.Count)}})
	}
	return c.HTML()
}
