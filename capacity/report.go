package capacity

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"

	"github.com/kith-io/kith/chart"
)

// Report is what WriteReport shows.
type Report struct {
	// Matrix says in words what was planned.
	Matrix  string
	Size    Size
	Cluster Cluster
	Cost    *Cost
	Rows    []Row
}

// charts returns the plots of balance and of bytes.
func (r *Report) charts() []chart.Lines {
	line := func(value func(Row) float64) (points [][2]float64) {
		for _, row := range r.Rows {
			points = append(points, [2]float64{float64(row.Nodes), value(row)})
		}
		return points
	}
	return []chart.Lines{
		{
			Title: "Balance: work of the busiest node over the mean", XLabel: "nodes", YLabel: "largest / mean updates",
			Format: func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) },
			Series: []chart.Series{
				{Name: "tasks given out as counted", Color: chart.Blue, Points: line(func(r Row) float64 { return r.Balance })},
				{Name: "if given out by the first estimate", Color: chart.Orange, Dash: "6 4", Points: line(func(r Row) float64 { return r.BalanceUncounted })},
			},
		},
		{
			Title: "Parts of the matrix that the busiest node receives", XLabel: "nodes", YLabel: "bytes per node", Logarithmic: true, Format: bytesText,
			Series: []chart.Series{
				{Name: "planned", Color: chart.Blue, Points: line(func(r Row) float64 { return r.PartsIn })},
				{Name: "2/√N of the matrix, or all of it", Color: chart.Gray, Dash: "6 4", Points: line(func(r Row) float64 { return r.Expected })},
			},
		},
	}
}

// bytesText writes a number of bytes.
func bytesText(b float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	n := 0
	for b >= 999.5 && n < len(units)-1 {
		b, n = b/1000, n+1
	}
	return strconv.FormatFloat(b, 'g', max(3, int(math.Log10(max(1, b)))+1), 64) + " " + units[n]
}

// secondsText writes a time.
func secondsText(s float64) string {
	if s < 0.1 {
		return fmt.Sprintf("%.2g ms", s*1000)
	}
	return fmt.Sprintf("%.3g s", s)
}

// WriteReport writes a page of HTML that needs nothing beside it: the plots, and the table behind them.
func WriteReport(w io.Writer, r *Report) error {
	var plots []template.HTML
	for _, c := range r.charts() {
		plots = append(plots, c.SVG())
	}
	return reportPage.Execute(w, map[string]any{"Report": r, "Plots": plots})
}

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"number": func(x float64) string { return chart.Number(x, 0) }, "bytes": bytesText, "seconds": secondsText,
	"ratio": func(x float64) string { return fmt.Sprintf("%.3f", x) },
	"times": func(x float64) string { return fmt.Sprintf("%.1f", x) },
	"nanos": func(s float64) string { return fmt.Sprintf("%.1f ns", s*1e9) },
	"part":  func(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) },
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>kith plan: {{.Report.Matrix}}</title>
<style>
body { font: 15px/1.5 sans-serif; color: #222; max-width: 64em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
div { overflow-x: auto }
svg { display: block; margin: 1.5em 0; max-width: 100%; height: auto }
</style>
</head>
<body>
<h1>Exact neighbor lists on 1 to many nodes</h1>
{{with .Report}}
<p>{{.Matrix}}: {{number .Size.Users}} users, {{number .Size.Items}} items, {{number .Size.Interactions}} interactions;
{{number .Size.Updates}} updates of the inner loop. K = {{.Cluster.Options.K}}, {{.Cluster.Options.Measure}}; threads of
each node: {{.Cluster.Threads}}; {{bytes .Cluster.Bandwidth}} per second to and from each.</p>
<p>Every row is a plan by the planner of a build. No data was moved: work, bytes and memory follow from the plan, seconds
from what the work costs on the machine that made this page ({{nanos .Cost.Update}} an update, {{nanos .Cost.Visit}} a visit,
{{nanos .Cost.Pair}} a pair, {{nanos .Cost.Lead}} a leading item). Nodes are shown as they begin; in a build, one that runs dry takes
tasks from others.</p>
{{end}}
{{range .Plots}}{{.}}{{end}}
<div>
<table>
<tr><th>nodes</th><th>sides</th><th>tasks</th><th>balance</th><th>matrix</th><th>parts in</th><th>2/√N</th><th>lists in</th><th>memory</th><th>dictionaries out</th><th>CPU of all</th><th>time</th><th>speed-up</th></tr>
{{range .Report.Rows}}<tr><td>{{.Nodes}}</td><td>{{.Sides}}</td><td>{{.Tasks}}</td><td>{{ratio .Balance}}</td><td>{{part .Matrix}}</td><td>{{bytes .PartsIn}}</td><td>{{bytes .Expected}}</td><td>{{bytes .ListsIn}}</td><td>{{bytes .Memory}}</td><td>{{bytes .Dictionary}}</td><td>{{seconds .CPU}}</td><td>{{seconds .Seconds}}</td><td>{{times .SpeedUp}}</td></tr>
{{end}}</table>
</div>
<p>Of nodes, the one that has most is shown. Dictionaries are what the coordinator sends, a copy to each other node, before
the tasks begin. The time takes all traffic as added to the work, none as beside it. It leaves out reading and fusing
events, copies of the result to replicas, and the network but for its bandwidth.</p>
</body>
</html>
`))
