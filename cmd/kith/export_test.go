package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/server/clustertest"
)

// TestExport writes recommendations for all users of three servers, and compares them with single answers; then it goes on with what is missing.
func TestExport(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{})
	events := []string{"user,item,behavior"}
	const users = 150 // more than a page in a partition
	for u := range users {
		for i := range 3 {
			events = append(events, fmt.Sprintf("u%d,i%d,view", u, (u*7+i*(u%4+1))%20))
		}
	}
	addr := addrsOf(c)
	mustKith(t, "ingest", "--addr", addr, writeFile(t, "events.csv", strings.Join(events, "\n")+"\n"))
	mustKith(t, "build", "--addr", addr, "--wait", "--models", "rp3beta")
	folder := filepath.Join(t.TempDir(), "top")
	export := func(args ...string) (x jsonExport) {
		t.Helper()
		out := mustKith(t, append([]string{"export", folder, "--addr", addr, "-n", "4", "-o", "json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := export(); x.Files != 4 || x.Users != users || x.Rows != 4*users || x.Failed != 0 || x.Partial != 0 || x.Kept != 0 {
		t.Errorf("export of %d users to 4 files: %+v", users, x)
	}
	read := func() map[string][]exportRow {
		t.Helper()
		rows := map[string][]exportRow{}
		files, err := filepath.Glob(filepath.Join(folder, "*.parquet"))
		if err != nil || len(files) != 4 {
			t.Fatalf("files %q, %v", files, err)
		}
		for _, file := range files {
			some, err := parquet.ReadFile[exportRow](file)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.IsSortedFunc(some, func(a, b exportRow) int { return strings.Compare(a.User, b.User) }) {
				t.Errorf("users of %s do not ascend", file)
			}
			for _, row := range some {
				rows[row.User] = append(rows[row.User], row)
			}
		}
		return rows
	}
	all := read()
	if len(all) != users {
		t.Errorf("%d users in the files, want %d", len(all), users)
	}
	compare := func(all map[string][]exportRow, args ...string) {
		t.Helper()
		for _, user := range []string{"u0", "u77", "u149"} {
			want := mustJSON[jsonRecommendation](t, append([]string{"recommend", user, "--addr", addr, "-n", "4"}, args...)...)
			var rows []exportRow
			for _, x := range want.Items {
				rows = append(rows, exportRow{User: user, Rank: int32(x.Rank), Item: x.Item, Score: x.Score, Source: x.Source, Version: want.ModelVersion})
			}
			if diff := gocmp.Diff(rows, all[user]); diff != "" {
				t.Errorf("%s %v, -single answer +export:\n%s", user, args, diff)
			}
		}
	}
	compare(all)

	// A file that is missing is written, the others stay.
	missing := exportPath(folder, 2)
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	if x := export(); x.Files != 1 || x.Kept != 3 || x.Users == 0 || x.Users >= users {
		t.Errorf("with one of four files missing: %+v", x)
	}
	if diff := gocmp.Diff(all, read()); diff != "" {
		t.Errorf("another export in the end:\n%s", diff)
	}
	if got := kith(t, nil, "export", folder, "--addr", addr, "-n", "5"); got.code != exitError || !strings.Contains(got.err, "asked for something else") {
		t.Errorf("another request in the same folder: code %d, %s", got.code, got.err)
	}
	export("--again", "--model", "rp3beta")
	if trained := read(); trained["u0"][0].Source != "rp3beta" {
		t.Errorf("by a trained model: %+v", trained["u0"])
	} else {
		compare(trained, "--model", "rp3beta")
	}
	if x := export("--again", "-n", "5"); x.Files != 4 || x.Rows != 5*users {
		t.Errorf("again with five: %+v", x)
	}
	if got := mustKith(t, "export", folder, "--addr", addr, "-n", "5"); !strings.Contains(got, "0 recommendations for 0 users in 0 files of ") || !strings.Contains(got, "beside 4 that were there") {
		t.Errorf("nothing to do printed %q", got)
	}
	// What is asked for is compared byte by byte, whatever is in it.
	other := folder + "3"
	for range 2 {
		mustKith(t, "export", other, "--addr", addr, "--filter", `category!=a\&b<c>|d`)
	}
	if err := os.Remove(filepath.Join(other, exportFile)); err != nil {
		t.Fatal(err)
	}
	if got := kith(t, nil, "export", other, "--addr", addr); got.code != exitError || !strings.Contains(got.err, "without export.json") {
		t.Errorf("files of nobody knows what: code %d, %s", got.code, got.err)
	}
	if got := kith(t, nil, "export", folder+"2", "--addr", addr, "--scene", "none"); got.code != exitError || !strings.Contains(got.err, "unknown scene") {
		t.Errorf("an unknown scene: code %d, %s", got.code, got.err)
	}
}
