package pipeline_test

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is a folder of files.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// result is all that a run made.
type result struct {
	report   *pipeline.Report
	events   []fusion.Event
	joins    []pipeline.Join
	products map[string]catalog.Record
	profiles map[string]catalog.Record
}

// now is the time of all runs.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// run runs map.yaml of a folder, and checks that no file is left and that the catalog takes what comes out.
func run(t testing.TB, dir string, o pipeline.Options) (result, error) {
	t.Helper()
	f, err := pipeline.Read(filepath.Join(dir, "map.yaml"), fusion.MappingOptions{})
	if err != nil {
		return result{}, err
	}
	return runFile(t, f, o)
}

func runFile(t testing.TB, f *fusion.File, o pipeline.Options) (result, error) {
	t.Helper()
	p, err := pipeline.New(*f)
	if err != nil {
		return result{}, err
	}
	out := result{products: map[string]catalog.Record{}, profiles: map[string]catalog.Record{}}
	o.TempDir, o.Now = t.TempDir(), cmp.Or(o.Now, now)
	sink := pipeline.Sink{
		Events: func(_ context.Context, events []fusion.Event) error {
			out.events = append(out.events, events...)
			return nil
		},
		Records: func(_ context.Context, kind catalog.Kind, records []catalog.Record) error {
			to := out.products
			if kind == catalog.Profile {
				to = out.profiles
			}
			for i := range records {
				if err := records[i].Check(); err != nil {
					t.Error(err)
				}
				if _, twice := to[records[i].Key]; twice {
					t.Errorf("%s of key %q twice", kind, records[i].Key)
				}
				to[records[i].Key] = records[i]
			}
			return nil
		},
	}
	sink.Joins = func(_ context.Context, joins []pipeline.Join) error {
		if len(out.events) > 0 {
			t.Error("joins behind events")
		}
		out.joins = append(out.joins, joins...)
		return nil
	}
	out.report, err = p.Run(t.Context(), sink, o)
	if left, _ := filepath.Glob(filepath.Join(o.TempDir, "*")); len(left) > 0 {
		t.Errorf("left in the folder for temporary files: %v", left)
	}
	return out, err
}

func mustRun(t testing.TB, dir string, o pipeline.Options) result {
	t.Helper()
	out, err := run(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// source returns the report of a source.
func (r *result) source(t testing.TB, name string) *pipeline.Source {
	t.Helper()
	i := slices.IndexFunc(r.report.Sources, func(s *pipeline.Source) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no report of %s", name)
	}
	return r.report.Sources[i]
}

// attributes returns the values of a record as text.
func attributes(r catalog.Record) map[string]string {
	out := map[string]string{}
	for _, a := range r.Attributes {
		out[a.Name] = a.Value.String()
		if a.Value.Type == catalog.Text {
			out[a.Name] = a.Value.Text
		}
	}
	return out
}
