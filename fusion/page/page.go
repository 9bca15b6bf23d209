package page

import (
	_ "embed"
	"html/template"
	"io"
	"time"

	"github.com/kith-io/kith/chart"
	"github.com/kith-io/kith/fusion/pipeline"
)

// About says what a report does not: which run it is of. All fields may be empty.
type About struct {
	// Mapping is the name of the mapping file, Version that of the program.
	Mapping, Version string
	// Started is when the run began, Took how long it was.
	Started time.Time
	Took    time.Duration
	// DryRun says that nothing was stored.
	DryRun bool
	// Share is the part of the work that the run did, such as 2/3, of several runs of one mapping; "" means all.
	Share string
	// DeadLetters is the path of the file with all rejected rows.
	DeadLetters string
	// Err is why the run ended early; the report then has what was done until then.
	Err error
}

//go:embed page.tmpl
var source string

//go:embed page.css
var style template.CSS

var page = template.Must(template.New("page").Funcs(functions).Parse(source))

// Write writes the page. It keeps the order of the report, and is a function of its arguments.
func Write(w io.Writer, report *pipeline.Report, about About) error {
	rows := rowsOf(report)
	v := &view{
		About: about, Report: report, Style: style + chart.Style,
		Rows: rows, SourcesChart: sourcesChart(rows), Cleaned: cleanedOf(report),
		Identities: identitiesOf(report), Records: recordsOf(report), BehaviorsChart: behaviorsChart(&report.Events),
	}
	v.Sources, v.Clean = sourcesOf(report, rows)
	for i := range rows {
		v.Total.add(&rows[i])
	}
	return page.Execute(w, v)
}

// view is what the template shows.
type view struct {
	About  About
	Report *pipeline.Report
	Style  template.CSS

	Rows         []sourceRow
	Total        sourceRow
	SourcesChart template.HTML
	Sources      []sourceView
	// Clean are the names of sources of which there is nothing to tell.
	Clean []string

	Cleaned        []cleanedView
	Identities     []identityView
	Records        []recordsView
	BehaviorsChart template.HTML
}
