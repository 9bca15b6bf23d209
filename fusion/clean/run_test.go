package clean

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion/record"
)

// TestOrder runs rules of both kinds in turn: each sees what the ones before have left.
func TestOrder(t *testing.T) {
	fields := []record.Field{{Name: "id", Type: record.Text}, {Name: "x", Type: record.Text}}
	in := table(fields, []any{"A", "1"}, []any{" a", "1"}, []any{"b", "3"}, []any{"c", nil}, []any{"d", "1000"}, []any{"e", "2"}, []any{"f", "x"})
	cfg := parse(t, `
clean:
  - {rule: text, fields: [id], steps: [fold, trim]}
  - {rule: duplicates, fields: [id]}
  - {rule: repair, fields: [x], as: number, action: "null"}
  - {rule: range, fields: [x], max: 999}
  - {rule: missing, fields: [x], with: median}
  - {rule: normalize, fields: [x], method: minmax}
  - {rule: outliers, fields: [x], method: percentile, lower: 0, upper: 0.5, action: winsorize}
  - {rule: missing, name: last, fields: [x], with: drop}
`)
	out := clean(t, t.TempDir(), in, cfg, Options{})
	wantSlice(t, "ids", out.column(t, cfg, in, "id"), "a", "b", "c", "e", "f")
	wantSlice(t, "numbers", out.column(t, cfg, in, "x"), "0", "0.5", "0.5", "0.5", "0.5") // 1 3 2 2 2, on a scale 0 1 .5 .5 .5
	var got []string
	for _, r := range out.report.Rules {
		got = append(got, fmt.Sprint(r.Name, " ", r.Seen, " ", r.Changed, " ", r.Rejected))
	}
	wantSlice(t, "counts", got, "text 7 2 0", "duplicates 7 0 1", "repair 6 5 0", "range 6 0 1", "missing 5 5 2 0", "normalize 5 5 0", "outliers 5 1 0", "last 5 0 0")
	if out.report.Passes != 4 || out.report.SpoolBytes == 0 {
		t.Errorf("%d passes, spool of %d bytes", out.report.Passes, out.report.SpoolBytes)
	}
	if s := out.report.Rules[4].Statistics; len(s) != 1 || s[0] != (Statistic{"x", "", "median", 2}) {
		t.Errorf("statistics %v", s)
	}
}

// TestDistributions has numbers that can be checked by hand.
func TestDistributions(t *testing.T) {
	fields := []record.Field{{Name: "x", Type: record.Number}, {Name: "s", Type: record.Text}}
	in := &list{fields: fields}
	for i := range 11 {
		in.rows = append(in.rows, record.Record{Values: []record.Value{record.OfNumber(float64(i)), record.OfText([]string{"a", "b", "a"}[i%3])}})
	}
	in.rows = append(in.rows, record.Record{Values: []record.Value{{}, {}}})
	cfg := parse(t, "clean: [{rule: range, fields: [x], max: 8, action: 'null'}, {rule: missing, fields: [s], with: constant, value: c}]")
	for _, limit := range []int64{0, 1} {
		out := clean(t, t.TempDir(), in, cfg, Options{MemoryLimit: limit})
		want := []Distribution{
			{
				Field: "x", Edges: []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
				Before: Values{Type: record.Number, Count: 11, Missing: 1, Max: 10, Mean: 5, SD: 3.1622776601683795, Quartiles: [3]float64{2.5, 5, 7.5}, Histogram: []int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 2}},
				After:  Values{Type: record.Number, Count: 9, Missing: 3, Max: 8, Mean: 4, SD: 2.581988897471611, Quartiles: [3]float64{2, 4, 6}, Histogram: []int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 0}},
			},
			{
				Field:  "s",
				Before: Values{Type: record.Text, Count: 11, Missing: 1, Top: []Frequent{{"a", 7, 0}, {"b", 4, 0}}},
				After:  Values{Type: record.Text, Count: 12, Top: []Frequent{{"a", 7, 0}, {"b", 4, 0}, {"c", 1, 0}}},
			},
		}
		if diff := cmp.Diff(want, out.report.Distributions); diff != "" {
			t.Error(diff)
		}
	}
	out := clean(t, t.TempDir(), in, cfg, Options{Distributions: []string{}})
	if len(out.report.Distributions) != 0 {
		t.Errorf("%v", out.report.Distributions)
	}
}

// TestSamples checks that samples are bounded and are copies.
func TestSamples(t *testing.T) {
	x := []record.Field{{Name: "x", Type: record.Text}}
	in := &list{fields: x}
	for i := range 20 {
		in.rows = append(in.rows, record.Record{Place: record.Place{Line: int64(i)}, Values: []record.Value{record.OfText(fmt.Sprint(" ", i%15))}})
	}
	cfg := parse(t, "clean: [{rule: text, fields: [x]}, {rule: duplicates}]")
	for samples, want := range map[int][2]int{0: {5, 5}, 2: {2, 2}, -1: {0, 0}, 100: {20, 5}} {
		r := clean(t, t.TempDir(), in, cfg, Options{Samples: samples}).report.Rules
		if len(r[0].Changes) != want[0] || len(r[1].Rejections) != want[1] || r[0].Changed != 20 || r[1].Rejected != 5 {
			t.Errorf("%d samples: %d changes, %d rejections, want %v", samples, len(r[0].Changes), len(r[1].Rejections), want)
		}
		for i, rejected := range r[1].Rejections {
			if rejected.Record.Place.Line != int64(15+i) || rejected.Record.Values[0] != record.OfText(fmt.Sprint(i)) {
				t.Errorf("rejection %d is %v", i, rejected)
			}
		}
	}
}

// TestErrors checks that errors come through, and that files are removed on every way out.
func TestErrors(t *testing.T) {
	cfg := parse(t, "clean: [{rule: duplicates}, {rule: missing, fields: [x], with: median, by: group}, {rule: outliers, fields: [y], method: iqr}]")
	in := randomTable(1, 9000)
	keep := func(record.Record) error { return nil }
	fail := func(record.Record) error { return errTest }
	canceled := func(after int) (context.Context, func(record.Record) error) {
		ctx, cancel := context.WithCancel(t.Context())
		if after < 0 {
			cancel()
		}
		t.Cleanup(cancel)
		return ctx, func(record.Record) error {
			if after--; after == 0 {
				cancel()
			}
			return nil
		}
	}
	early, _ := canceled(-1)
	late, cancelLate := canceled(10)
	many := randomTable(1, 9000)
	for i := range many.rows {
		many.rows[i].Values[1] = record.OfText(fmt.Sprint("group ", i))
	}
	for _, tt := range []struct {
		name string
		ctx  context.Context
		in   *list
		cfg  Config
		o    Options
		out  func(record.Record) error
		want error
		text string
	}{
		{"stream", t.Context(), &list{fields: in.fields, rows: in.rows, fail: errTest}, cfg, Options{}, keep, errTest, "read record 9001"},
		{"out", t.Context(), in, cfg, Options{}, fail, errTest, "record from s f0:0"},
		{"reject", t.Context(), in, cfg, Options{Reject: func(Rejection) error { return errTest }}, keep, errTest, "rejected record"},
		{"canceled before", early, in, cfg, Options{}, keep, context.Canceled, ""},
		{"canceled late", late, in, cfg, Options{}, cancelLate, context.Canceled, ""},
		{"groups", t.Context(), many, cfg, Options{MemoryLimit: 1 << 20}, keep, ErrMemory, `rule "missing": too little memory for cleaning: more than`},
		{"config", t.Context(), in, Config{Rules: []Rule{{Spec: &Outliers{Fields: []string{"user"}, Method: "iqr"}}}}, Options{}, keep, ErrConfig, `field "user" is text`},
		{"distribution", t.Context(), in, cfg, Options{Distributions: []string{"z"}}, keep, ErrConfig, `a field "z"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.TempDir = t.TempDir()
			if tt.o.MemoryLimit == 0 {
				tt.o.MemoryLimit = 1
			}
			tt.in.at = 0
			_, err := Run(tt.ctx, tt.in, tt.cfg, tt.o, tt.out)
			if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.text) {
				t.Errorf("got %v, want %v and %q", err, tt.want, tt.text)
			}
			if left, err := filepath.Glob(filepath.Join(tt.o.TempDir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
		})
	}
	if _, err := Run(t.Context(), in, cfg, Options{TempDir: filepath.Join(t.TempDir(), "none")}, keep); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if out := clean(t, t.TempDir(), &list{fields: in.fields}, cfg, Options{}); out.report.Read != 0 || len(out.rows) != 0 {
		t.Errorf("of nothing: %+v", out.report)
	}
}
