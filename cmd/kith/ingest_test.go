package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/fusion"
)

// TestInferAndTry proposes a mapping for the files of a shop, and reads them by it, unchanged.
func TestInferAndTry(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"log.csv":      "user,item,action,time\n1,a,view,2024-01-01\n1,b,buy,2024-01-02\n,b,buy,2024-01-02\n",
		"products.csv": "sku,title,price\na,Shoe,1.5\nb,Hat,2\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := mustKith(t, "ingest", "--infer", filepath.Join(dir, "log.csv"), filepath.Join(dir, "products.csv"))
	text = strings.ReplaceAll(text, dir+string(filepath.Separator), "${KITH_DATA}/")
	mapping := filepath.Join(dir, "map.yaml")
	if err := os.WriteFile(mapping, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := mustJSON[jsonIngest](t, "ingest", "--dry-run", "--dead-letters", "none", "--data", dir, "--mapping", mapping)
	if got.Events != 2 || len(got.Sources) != 2 || got.Sources[1].Kept != 2 || got.Sources[0].Reasons["no_user"] != 1 {
		t.Errorf("got %+v by\n%s", got, text)
	}
	// Products count for nothing where only events do.
	if out := mustKith(t, "neighbors", "--dead-letters", "none", "--data", dir, "--mapping", mapping, "--weight", "buy=5", "--out", filepath.Join(dir, "out.csv")); out == "" {
		t.Error("no report of neighbors")
	}
	other := kith(t, nil, "ingest", "--dry-run", "--dead-letters", "none", "--data", filepath.Join(dir, "nowhere"), "--mapping", mapping)
	if other.code != exitError || !strings.Contains(other.err, "nowhere") {
		t.Errorf("another folder: %+v", other)
	}
	if none := kith(t, nil, "ingest", "--infer"); none.code != exitUsage || !strings.Contains(none.err, "Name files") {
		t.Errorf("no files: %+v", none)
	}
}

func TestPrintSchema(t *testing.T) {
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal([]byte(mustKith(t, "ingest", "--schema")), &schema); err != nil || schema.Properties["sources"] == nil {
		t.Errorf("%+v, %v", schema, err)
	}
}

// writeFiles writes files into a new folder.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestSharesInOneFolder: each share of a mapping has a dead-letter file of its own.
func TestSharesInOneFolder(t *testing.T) {
	files := map[string]string{"map.yaml": "sources: [{name: logs, path: 'log-*.csv', columns: {user: user, item: item}}]\n"}
	for i := range 8 {
		files[fmt.Sprintf("log-%d.csv", i)] = "user,item\nu,a\n,b\n"
	}
	t.Chdir(writeFiles(t, files))
	rejected := 0
	for _, share := range []string{"1/2", "2/2"} {
		got := mustJSON[jsonIngest](t, "ingest", "--dry-run", "--mapping", "map.yaml", "--share", share)
		if want := "map." + strings.Replace(share, "/", "-of-", 1) + ".rejected.jsonl"; got.DeadLetters != want {
			t.Errorf("share %s: dead letters in %q, want %q", share, got.DeadLetters, want)
		}
		text, err := os.ReadFile(got.DeadLetters)
		if n := strings.Count(string(text), "\n"); err != nil || n == 0 || int64(n) != got.Sources[0].Rejected {
			t.Errorf("share %s: %d dead letters of %d, %v", share, n, got.Sources[0].Rejected, err)
		}
		rejected += int(got.Sources[0].Rejected)
	}
	if rejected != 8 {
		t.Errorf("%d rows rejected by both shares, want 8", rejected)
	}
}

// TestReportOfRun: the report says whether the run came to its end, was a trial, or a share, and nobody else may read it.
func TestReportOfRun(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"map.yaml": "sources: [{name: a, path: a.csv}, {name: b, path: b.csv}]\n", "a.csv": "user,item\nu,i\n", "b.csv": "user,item\n,i\n", "old.json": "{}",
	})
	report := filepath.Join(dir, "old.json")
	if err := os.Chmod(report, 0o644); err != nil {
		t.Fatal(err)
	}
	type run struct {
		Complete bool   `json:"complete"`
		DryRun   bool   `json:"dry_run"`
		Share    string `json:"share"`
		Error    string `json:"error"`
	}
	type content struct {
		Run     run             `json:"run"`
		Sources []fusion.Report `json:"sources"`
	}
	told := func() (of content) {
		text, err := os.ReadFile(report)
		if err == nil {
			err = json.Unmarshal(text, &of)
		}
		if err != nil || len(of.Sources) != 2 {
			t.Errorf("report %s: %v", text, err)
		}
		return of
	}
	args := []string{"ingest", "--dry-run", "-o", "json", "--dead-letters", "none", "--mapping", filepath.Join(dir, "map.yaml"), "--report", report}
	failed := kith(t, nil, args...)
	var out run
	if err := json.Unmarshal([]byte(failed.out), &out); err != nil || failed.code != exitError || !strings.Contains(out.Error, "no valid row") || out.Complete || !out.DryRun {
		t.Errorf("printed %+v, %v: %+v", out, err, failed)
	}
	if got := told().Run; got != out {
		t.Errorf("report of a run that failed: %+v; printed was %+v", got, out)
	}
	if info, err := os.Stat(report); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.csv"), []byte("user,item\nu,i\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustKith(t, append(args, "--share", "2/2")...)
	if got, want := told().Run, (run{Complete: true, DryRun: true, Share: "2/2"}); got != want {
		t.Errorf("report %+v, want %+v", got, want)
	}
	bad := kith(t, nil, "ingest", "--dry-run", "--report", filepath.Join(dir, "no", "report.html"), filepath.Join(dir, "no.csv"))
	if bad.code != exitUsage || !strings.Contains(bad.err, "--report") || strings.Contains(bad.err, "no.csv") {
		t.Errorf("a folder that is not there: %+v", bad)
	}
}
