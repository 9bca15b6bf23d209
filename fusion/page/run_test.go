package page

import (
	"context"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/source/datatest"
	"github.com/kith-io/kith/source/synthetic"
)

// now is the time of all runs.
var now = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// runMapping runs a mapping whose variables are given, and returns its report.
func runMapping(t testing.TB, path string, variables map[string]string) *pipeline.Report {
	t.Helper()
	f, err := pipeline.Read(path, fusion.MappingOptions{Lookup: func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.New(*f)
	if err != nil {
		t.Fatal(err)
	}
	sink := pipeline.Sink{
		Events:  func(context.Context, []fusion.Event) error { return nil },
		Records: func(context.Context, catalog.Kind, []catalog.Record) error { return nil },
	}
	report, err := p.Run(t.Context(), sink, pipeline.Options{TempDir: t.TempDir(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// shop is the report of a generated shop, which is made once.
var shop struct {
	once   sync.Once
	report *pipeline.Report
	// accounts is the table with the personal fields.
	accounts [][]string
}

// shopReport returns the report of a run with rules, joins, identities, titles, personal fields and conflicts. The caller must not change it.
func shopReport(t testing.TB) *pipeline.Report {
	t.Helper()
	shop.once.Do(func() {
		dir := t.TempDir()
		cfg := synthetic.DefaultConfig(1500, 400, 30_000, 3)
		cfg.Planted = synthetic.DefaultPlanted()
		create := func(name string) (io.WriteCloser, error) { return os.Create(filepath.Join(dir, name)) }
		if _, err := synthetic.Generate(t.Context(), cfg, create, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(dir, synthetic.AccountsFile))
		if err != nil {
			t.Fatal(err)
		}
		if shop.accounts, err = csv.NewReader(f).ReadAll(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		shop.report = runMapping(t, "testdata/shop.yaml", map[string]string{"SHOP": dir})
	})
	if shop.report == nil {
		t.Fatal("the run of the shop failed")
	}
	return shop.report
}

// olistReport returns the report of a run of Olist's tables, or skips the test.
func olistReport(t testing.TB) *pipeline.Report {
	t.Helper()
	return runMapping(t, "testdata/olist.yaml", map[string]string{"KITH_DATA": filepath.Dir(datatest.File(t, "olist"))})
}
