package page

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kith-io/kith/chart"
	"github.com/kith-io/kith/evaluate"
)

// About says what a result does not: which run it is of. All fields may be empty.
type About struct {
	// Data is what the evaluated data are called, Version is that of the program.
	Data, Version string
	// Started is when the run began.
	Started time.Time
}

//go:embed page.tmpl
var source string

//go:embed page.css
var style template.CSS

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"n": func(x int) string { return chart.Number(float64(x), 0) },
}).Parse(source))

// Write writes the page. It is a function of its arguments.
func Write(w io.Writer, r *evaluate.Result, about About) error {
	v := &view{About: about, Result: r, Style: style + chart.Style, Protocol: protocol(r)}
	for _, f := range r.Folds {
		v.TestUsers += f.TestUsers
		v.TestEntries += f.TestEntries
	}
	total := 0.0
	for _, m := range r.Models {
		total += m.Seconds
		if m.Failed != "" {
			v.Failed = append(v.Failed, m)
		}
	}
	v.Seconds = seconds(total)
	for _, t := range r.Tuning {
		v.Trials += len(t.Trials)
		v.Tuned = append(v.Tuned, tunedOf(&t))
	}
	if err := v.families(); err != nil {
		return err
	}
	return page.Execute(w, v)
}

// view is what the template shows.
type view struct {
	About                  About
	Result                 *evaluate.Result
	Style                  template.CSS
	Protocol               string
	Choices                []string
	TestUsers, TestEntries int
	Seconds                string
	Trials                 int
	Tables                 []table
	Curves, Tradeoffs      []template.HTML
	Tuned                  []tuned
	Failed                 []evaluate.ModelResult // without figures
	Words                  [][2]string
}

// table ranks the models of one family at one length of answers.
type table struct {
	Title, Note string
	Columns     []string
	Compared    bool // with differences and their p, behind the first column
	Times       bool
	Rows        []row
	Charts      []template.HTML
	// Beyond has the metrics beyond hits, Others are the tables of longer answers.
	Beyond *table
	Others []table
}

type row struct {
	Rank          int
	Best          bool
	Model, Time   string
	Cells         []cell
	Difference, P string
}

type cell struct {
	Value, Half string
	Top         bool
}

// protocol says in words how it was measured.
func protocol(r *evaluate.Result) string {
	text := "Held back: split " + r.Split
	if r.Ratio > 0 {
		text += fmt.Sprintf(", %s for training", chart.Percent(r.Ratio))
	}
	if len(r.Folds) > 1 {
		text += fmt.Sprintf(", %d folds", len(r.Folds))
	}
	text += fmt.Sprintf(", seed %d. ", r.Seed)
	if r.Negatives > 0 {
		text += fmt.Sprintf("Each held-back item was ranked among %d drawn ones, so the figures do not compare with those of whole rankings.", r.Negatives)
	} else {
		text += "Held-back items were ranked among all items that the user had not had."
	}
	if r.Validation > 0 {
		text += fmt.Sprintf(" Validation data: %s", chart.Percent(r.Validation))
		if r.ValidationFolds > 1 {
			text += fmt.Sprintf(" in each of %d folds", r.ValidationFolds)
		}
		if r.Refit {
			text += ", which are training data of the models that are shown."
		} else {
			text += ", which are in no training data."
		}
	}
	return text
}

// hits are the metrics of hits, other those beyond them, in the order of columns.
var (
	hits  = []string{"ndcg", "recall", "precision", "f1", "hitrate", "map", "mrr"}
	other = []string{"coverage", "diversity", "novelty", "serendipity", "calibration", "gini"}
)

// families makes the tables and charts of models for top-N, and of ratings.
func (v *view) families() error {
	ns := lengths(v.Result)
	for i, n := range ns {
		by := comparedBy(v.Result, false, fmt.Sprintf("ndcg@%d", n))
		accuracy := at(n, hits)
		if i == 0 {
			accuracy = append([]string{by, "auc"}, accuracy...)
		}
		t, err := v.table(fmt.Sprintf("Top %d", n), accuracy, by, i == 0)
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		t.Times = i == 0
		if t.Beyond, err = v.table("", at(n, other), by, false); err != nil {
			return err
		}
		if len(t.Beyond.Columns) == 0 {
			t.Beyond = nil
		}
		if i > 0 {
			v.Tables[0].Others = append(v.Tables[0].Others, *t)
			continue
		}
		for _, metric := range once(append([]string{by}, at(n, []string{"ndcg", "recall", "hitrate", "coverage", "novelty", "diversity"})...)) {
			if c, ok := v.bars(metric); ok {
				t.Charts = append(t.Charts, c)
			}
		}
		v.tradeoffs(by, n)
		v.Tables = append(v.Tables, *t)
	}
	v.curves(ns)
	by := comparedBy(v.Result, true, "rmse")
	t, err := v.table("Ratings", []string{by, "rmse", "mae"}, by, true)
	if err != nil {
		return err
	}
	if t != nil {
		t.Times = true
		for _, metric := range []string{"rmse", "mae"} {
			if c, ok := v.bars(metric); ok {
				t.Charts = append(t.Charts, c)
			}
		}
		v.Tables = append(v.Tables, *t)
	}
	v.Words = words(v.Result)
	return nil
}

// once returns names with each once, the first time.
func once(names []string) (out []string) {
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// comparedBy returns the metric by which a family was compared, or the usual one.
func comparedBy(r *evaluate.Result, rating bool, usual string) string {
	for _, m := range r.Models {
		_, isRating := m.Metrics["rmse"]
		if m.Against != nil && isRating == rating {
			return m.Against.Metric
		}
	}
	return usual
}

// lengths returns the lengths of answers that were measured, ascending.
func lengths(r *evaluate.Result) (ns []int) {
	for _, m := range r.Models {
		for name := range m.Metrics {
			if _, text, found := strings.Cut(name, "@"); found {
				if n, err := strconv.Atoi(text); err == nil {
					ns = append(ns, n)
				}
			}
		}
	}
	slices.Sort(ns)
	return slices.Compact(ns)
}

func at(n int, metrics []string) (names []string) {
	for _, m := range metrics {
		names = append(names, fmt.Sprintf("%s@%d", m, n))
	}
	return names
}

// ranked returns the models that have a metric, the best first.
func ranked(r *evaluate.Result, metric string) (models []*evaluate.ModelResult) {
	for i := range r.Models {
		if _, ok := r.Models[i].Metrics[metric]; ok {
			models = append(models, &r.Models[i])
		}
	}
	slices.SortStableFunc(models, func(a, b *evaluate.ModelResult) int {
		order := cmp.Compare(b.Metrics[metric].Mean, a.Metrics[metric].Mean)
		if evaluate.LowerIsBetter(metric) {
			return -order
		}
		return order
	})
	return models
}

// table ranks models by a metric; nil if none has it. With first it tells which to take, and how sure the differences are.
func (v *view) table(title string, columns []string, by string, first bool) (*table, error) {
	models := ranked(v.Result, by)
	if len(models) == 0 {
		return nil, nil
	}
	t := &table{Title: title + ", by " + by}
	top := map[string]string{}
	for _, c := range once(columns) {
		if best := ranked(v.Result, c); len(best) > 0 {
			t.Columns = append(t.Columns, c)
			top[c] = best[0].Name
		}
	}
	var against *evaluate.Comparison
	for i, m := range models {
		line := row{Rank: i + 1, Best: i == 0, Model: m.Name, Time: seconds(m.Seconds)}
		for _, c := range t.Columns {
			e, ok := m.Metrics[c]
			if !ok {
				line.Cells = append(line.Cells, cell{})
				continue
			}
			one := cell{Value: figure(e.Mean), Top: top[c] == m.Name && len(models) > 1}
			if e.High > e.Low {
				one.Half = figure((e.High - e.Low) / 2)
			}
			line.Cells = append(line.Cells, one)
		}
		if c := m.Against; c != nil && first {
			against, t.Compared = c, true
			line.Difference, line.P = fmt.Sprintf("%+.4f", c.Difference), probability(c.PHolm)
		}
		t.Rows = append(t.Rows, line)
	}
	if against != nil {
		t.Note = fmt.Sprintf("Difference: in %s from %s. p: how likely chance alone makes as large a difference, by a paired randomization test over users, corrected by Holm for the number of models.", against.Metric, against.With)
	}
	if first {
		choice, err := evaluate.Choose(v.Result, by)
		if err != nil {
			return nil, err
		}
		v.Choices = append(v.Choices, "Take "+choice.Reason)
	}
	return t, nil
}

// bars draws one metric of all models that have it.
func (v *view) bars(metric string) (template.HTML, bool) {
	models := ranked(v.Result, metric)
	if len(models) == 0 {
		return "", false
	}
	c := chart.Intervals{Title: metric, Unit: unit(metric)}
	for _, m := range models {
		e := m.Metrics[metric]
		c.Rows = append(c.Rows, chart.Interval{Label: m.Name, Value: e.Mean, Low: e.Low, High: e.High, Color: v.color(m.Name)})
	}
	return c.HTML(), true
}

func unit(metric string) string {
	text := ""
	if evaluate.Kind(metric) == "novelty" {
		text = "bits; "
	}
	if evaluate.LowerIsBetter(metric) {
		return text + "lower is better"
	}
	return text + "higher is better"
}

// color is that of a model in all charts.
func (v *view) color(name string) chart.Color {
	return chart.SeriesColor(slices.IndexFunc(v.Result.Models, func(m evaluate.ModelResult) bool { return m.Name == name }))
}

// curves draws recall and precision by N, and each by the other, if there are several N.
func (v *view) curves(ns []int) {
	if len(ns) < 2 {
		return
	}
	for _, kind := range []string{"recall", "precision", "ndcg"} {
		c := chart.Points{Title: kind + " by the length of answers", XLabel: "N", YLabel: kind, Log: true}
		for _, m := range v.Result.Models {
			s := chart.PointSeries{Name: m.Name, Color: v.color(m.Name), Line: true}
			for _, n := range ns {
				if e, ok := m.Metrics[fmt.Sprintf("%s@%d", kind, n)]; ok {
					s.Points = append(s.Points, chart.Point{X: float64(n), Y: e.Mean, Low: e.Low, High: e.High, Title: fmt.Sprintf("%s, N=%d: %s", m.Name, n, figure(e.Mean))})
				}
			}
			if len(s.Points) > 0 {
				c.Series = append(c.Series, s)
			}
		}
		if len(c.Series) > 0 {
			v.Curves = append(v.Curves, c.HTML())
		}
	}
}

// tradeoffs draws a metric of accuracy against those of other qualities.
func (v *view) tradeoffs(by string, n int) {
	if len(v.Result.Models) < 2 {
		return
	}
	for _, kind := range []string{"coverage", "novelty"} {
		x := fmt.Sprintf("%s@%d", kind, n)
		c := chart.Points{Title: by + " against " + x, XLabel: x, YLabel: by}
		for _, m := range v.Result.Models {
			e, ok := m.Metrics[by]
			o, okay := m.Metrics[x]
			if ok && okay {
				c.Series = append(c.Series, chart.PointSeries{Name: m.Name, Color: v.color(m.Name), Points: []chart.Point{{
					X: o.Mean, Y: e.Mean, Low: e.Low, High: e.High, Title: fmt.Sprintf("%s: %s %s, %s %s", m.Name, by, figure(e.Mean), x, figure(o.Mean)),
				}}})
			}
		}
		if len(c.Series) > 1 {
			v.Tradeoffs = append(v.Tradeoffs, c.HTML())
		}
	}
}

// tuned is what the page shows of the tuning of one model.
type tuned struct {
	Model, Best, Metric string
	Failed              string // why Best is empty
	Charts              []template.HTML
	Trials              []trial
}

type trial struct {
	Number                       int
	Name, Share, Figure, Seconds string
}

// tunedOf draws the figures of the trials in their order, and the best so far.
func tunedOf(t *evaluate.TunedModel) tuned {
	out := tuned{Model: t.Model, Best: t.Best, Metric: t.Metric, Failed: t.Failed}
	points := chart.PointSeries{Name: "trial with all users", Color: chart.SeriesColor(0)}
	partial := chart.PointSeries{Name: "trial with a share of the users", Color: chart.Left}
	best := chart.PointSeries{Name: "best so far", Color: chart.SeriesColor(1), Line: true}
	top := math.NaN()
	for i, x := range t.Trials {
		line := trial{Number: i + 1, Name: x.Name, Share: chart.Percent(x.Share), Figure: figure(x.Figure.Mean), Seconds: figure(x.Seconds)}
		if x.Failed != "" {
			line.Figure = x.Failed
			out.Trials = append(out.Trials, line)
			continue
		}
		out.Trials = append(out.Trials, line)
		p := chart.Point{X: float64(i + 1), Y: x.Figure.Mean, Low: x.Figure.Mean, High: x.Figure.Mean, Title: x.Name + ": " + figure(x.Figure.Mean)}
		if x.Share < 1 {
			partial.Points = append(partial.Points, p)
			continue
		}
		points.Points = append(points.Points, p)
		if math.IsNaN(top) || evaluate.LowerIsBetter(t.Metric) && p.Y < top || !evaluate.LowerIsBetter(t.Metric) && p.Y > top {
			top = p.Y
		}
		p.Y, p.Low, p.High = top, top, top
		best.Points = append(best.Points, p)
	}
	c := chart.Points{Title: t.Metric + " on validation data, " + t.Method, XLabel: "trial", YLabel: t.Metric}
	for _, s := range []chart.PointSeries{points, best, partial} {
		if len(s.Points) > 0 {
			c.Series = append(c.Series, s)
		}
	}
	if len(c.Series) > 0 {
		out.Charts = append(out.Charts, c.HTML())
	}
	return out
}

// words explains the metrics that the page shows.
func words(r *evaluate.Result) (out [][2]string) {
	all := [][2]string{
		{"ndcg", "hits count more the higher they stand: the sum of 1/log2(rank+1) over them, over its highest possible value"},
		{"recall", "hits over all relevant items of the user"},
		{"precision", "hits over N"},
		{"f1", "harmonic mean of precision and recall"},
		{"hitrate", "share of the users with a hit"},
		{"map", "mean of the precision at each hit"},
		{"mrr", "mean of 1/rank of the first hit"},
		{"auc", "share of pairs of a relevant and another item that are in the right order"},
		{"coverage", "share of the catalog that is in any answer"},
		{"diversity", "1 less the mean cosine of pairs of items of one answer, by their users"},
		{"novelty", "mean of -log2 of the share of the users who have an item, in bits"},
		{"serendipity", "hits that popularity would not have shown, over N"},
		{"calibration", "divergence of the classes of items in answers from those in histories; 0 is best"},
		{"gini", "how unequal the times are that items are shown; 0 is equal, near 1 few make up most answers"},
		{"rmse", "root of the mean squared error of predicted ratings"},
		{"mae", "mean absolute error of predicted ratings"},
	}
	for _, w := range all {
		for _, m := range r.Models {
			if slices.ContainsFunc(keys(m.Metrics), func(name string) bool { return evaluate.Kind(name) == w[0] }) {
				out = append(out, w)
				break
			}
		}
	}
	return append(out, [2]string{"±", "half of the 95% confidence interval, which covers the choice of users or of folds (" + r.Interval + ")"})
}

func keys(m map[string]evaluate.Estimate) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	return names
}

func figure(x float64) string {
	if math.Abs(x) >= 10 {
		return chart.Number(x, 2)
	}
	return chart.Number(x, 4)
}

func probability(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

func seconds(s float64) string {
	if s < 0.01 {
		return "<0.01 s"
	}
	return strconv.FormatFloat(s, 'g', 3, 64) + " s"
}
