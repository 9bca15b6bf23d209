package fusion

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func gzipOf(t testing.TB, text string) string {
	t.Helper()
	var b strings.Builder
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type fataler interface{ Fatalf(string, ...any) }

// checkTable checks the shape that Table promises.
func checkTable(t fataler, table *Table) {
	n := len(table.Item)
	if !slices.IsSorted(table.Users) || !slices.IsSorted(table.Items) || len(table.Start) != len(table.Users)+1 || table.Start[0] != 0 || table.Start[len(table.Users)] != int64(n) {
		t.Fatalf("users %q, items %q, start %v, %d entries", table.Users, table.Items, table.Start, n)
	}
	if table.Weight != nil && len(table.Weight) != n || table.Time != nil && len(table.Time) != n {
		t.Fatalf("%d entries, %d weights, %d times", n, len(table.Weight), len(table.Time))
	}
	used := make([]bool, len(table.Items))
	for u := range table.Users {
		row := table.Item[table.Start[u]:table.Start[u+1]]
		if len(row) == 0 {
			t.Fatalf("user %s has no entry", table.Users[u])
		}
		for i, item := range row {
			if i > 0 && item <= row[i-1] {
				t.Fatalf("user %s: item %d after %d", table.Users[u], item, row[i-1])
			}
			used[item] = true
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		t.Fatalf("item %s has no entry", table.Items[i])
	}
	if table.Weight != nil && !slices.ContainsFunc(table.Weight, func(w float32) bool { return w != 1 }) {
		t.Fatalf("all weights are 1, but they are there")
	}
	if table.Time != nil && !slices.ContainsFunc(table.Time, func(ms int64) bool { return ms != 0 }) {
		t.Fatalf("no time is known, but they are there")
	}
}

// interactions lists a table as user and interaction.
func interactions(table *Table) map[string][]Interaction {
	out := map[string][]Interaction{}
	if table == nil {
		return out
	}
	for u, user := range table.Users {
		for i := table.Start[u]; i < table.Start[u+1]; i++ {
			x := Interaction{Item: table.Items[table.Item[i]], Weight: 1}
			if table.Weight != nil {
				x.Weight = table.Weight[i]
			}
			if table.Time != nil {
				x.Last = table.Time[i]
			}
			out[user] = append(out[user], x)
		}
	}
	return out
}

func TestReadTable(t *testing.T) {
	files := []Mapping{
		{Name: "views", Path: writeFile(t, "views.tsv", "ann\tlamp\nann\tlamp\nbob\tsofa\n")},
		{
			Name: "orders", Path: writeFile(t, "orders.csv", "customer,sku,qty,date,status\nann,rug,2,2024-01-01,ok\nann,sofa,1,2024-01-02,ok\nann,sofa,1,2024-01-03,back\nzoe,rug,1,2024-01-04,back\n,rug,1,2024-01-04,ok\n"),
			Columns: Columns{Behavior: "status"}, Behaviors: map[string]Behavior{"ok": Purchase, "back": Cancel},
		},
		{Name: "stars", Path: writeFile(t, "stars.csv", "user,item,rating\nbob,bed,0\nbob,rug,-2.5\nbob,rug,4.5\n")},
	}
	table, reports, err := ReadTable(t.Context(), files, DefaultWeights(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkTable(t, table)
	want := &Table{
		Users: []string{"ann", "bob"}, Items: []string{"bed", "lamp", "rug", "sofa"},
		Start: []int64{0, 2, 5}, Item: []uint32{1, 2, 0, 2, 3}, Weight: []float32{2, 10, 0, 4.5, 1},
		Time: []int64{0, 1704067200000, 0, 0, 0},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Error(diff)
	}
	wantReports := []Report{newReport("views"), newReport("orders"), newReport("stars")}
	wantReports[0].Read, wantReports[0].Kept = 3, 3
	wantReports[1].Read, wantReports[1].Kept, wantReports[1].Rejected, wantReports[1].Reasons["no_user"] = 5, 4, 1, 1
	wantReports[2].Read, wantReports[2].Kept = 3, 3
	if diff := cmp.Diff(wantReports, reports); diff != "" {
		t.Error(diff)
	}
}

func TestReadTableBinary(t *testing.T) {
	table, _, err := ReadTable(t.Context(), []Mapping{{Path: writeFile(t, "x.csv", "a,x\nb,y\na,y\n")}}, DefaultWeights(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Table{Users: []string{"a", "b"}, Items: []string{"x", "y"}, Start: []int64{0, 2, 3}, Item: []uint32{0, 1, 1}}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Error(diff)
	}
}

// TestReadTableCopies: of rows with one id of one user the first counts, also across sources.
func TestReadTableCopies(t *testing.T) {
	a := Mapping{Path: writeFile(t, "a.csv", "user,item,event_id\nann,lamp,1\nann,lamp,1\nbob,lamp,1\nann,lamp,\nann,lamp,\n")}
	b := Mapping{Path: writeFile(t, "b.csv", "user,item,event_id\nann,lamp,1\nann,lamp,2\n")}
	table, _, err := ReadTable(t.Context(), []Mapping{a, b}, DefaultWeights(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]Interaction{"ann": {{"lamp", 4, 0}}, "bob": {{"lamp", 1, 0}}}
	if got := interactions(table); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestReadTableErrors(t *testing.T) {
	good := Mapping{Path: writeFile(t, "good.csv", "user,item\na,b\n")}
	bad := Mapping{Path: writeFile(t, "bad.csv", "user,item\na,\n")}
	half := DefaultWeights()
	half.HalfLife = time.Hour
	tests := []struct {
		name string
		ms   []Mapping
		w    Weights
		is   error
		want string
	}{
		{"no file", []Mapping{{Path: "no/such"}}, DefaultWeights(), nil, "no such file"},
		{"mapping", []Mapping{good, {Path: good.Path, Columns: Columns{User: "who"}}}, DefaultWeights(), ErrMapping, "who"},
		{"weights", []Mapping{good}, Weights{Cap: -1}, nil, "Cap"},
		{"half-life without time", []Mapping{good}, half, nil, "reference time"},
		{"a source without rows", []Mapping{bad, good}, DefaultWeights(), ErrNoValidRow, "bad.csv"},
		{"no sources", nil, DefaultWeights(), ErrNoValidRow, "no interaction"},
		{"nothing left", []Mapping{{Path: good.Path, Behavior: Cancel}}, DefaultWeights(), ErrNoValidRow, "all weights are 0 or below"},
		{"no weight", []Mapping{{Path: good.Path, Behavior: "wish"}}, DefaultWeights(), ErrNoValidRow, "behaviors without weight: wish 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, reports, err := ReadTable(t.Context(), tt.ms, tt.w, 0, nil)
			if err == nil || table != nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q", err, tt.want)
			}
			if len(reports) != len(tt.ms) {
				t.Errorf("%d reports of %d sources", len(reports), len(tt.ms))
			}
			for i := range reports {
				if reports[i].Name != tt.ms[i].name() {
					t.Errorf("report %d is of %s", i, reports[i].Name)
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := ReadTable(ctx, []Mapping{good}, DefaultWeights(), 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestReadTableIsFuse is the twin of ReadTable: the events of Events, each id
// once, through Fuse. TableOf makes the same table of them.
func TestReadTableIsFuse(t *testing.T) {
	const now = 4 * 3600 * 1000
	rapid.Check(t, func(r *rapid.T) {
		w := drawWeights(r)
		withIDs := rapid.Bool().Draw(r, "with ids")
		sources := 1
		if !withIDs { // ids of a file and made ids have no common order
			sources = rapid.IntRange(1, 3).Draw(r, "sources")
		}
		var ms []Mapping
		for s := range sources {
			text := drawFile(r, withIDs)
			ms = append(ms, Mapping{Name: fmt.Sprint("s", s), Path: writeFile(t, "x.csv", text), TimeUnit: Seconds})
		}
		want := map[string][]Interaction{}
		byUser := map[string][]Event{}
		seen := map[[2]string]bool{}
		var wantReports []Report
		for _, m := range ms {
			all, report, err := events(t, m)
			if err != nil && !errors.Is(err, ErrNoValidRow) {
				r.Fatal(err)
			}
			wantReports = append(wantReports, report)
			for _, e := range all {
				if key := [2]string{e.User, e.ID}; !seen[key] {
					seen[key] = true
					byUser[e.User] = append(byUser[e.User], e)
				}
			}
		}
		for user, events := range byUser {
			if fused := Fuse(events, w, now); len(fused) > 0 {
				want[user] = fused
			}
		}
		table, reports, err := ReadTable(t.Context(), ms, w, now, nil)
		if err != nil && !errors.Is(err, ErrNoValidRow) {
			r.Fatal(err)
		}
		for i := range reports {
			reports[i].Weightless = nil
		}
		if !cmp.Equal(reports, wantReports) {
			r.Fatal(cmp.Diff(wantReports, reports))
		}
		if err != nil {
			return
		}
		checkTable(r, table)
		if got := interactions(table); !cmp.Equal(got, want) {
			r.Fatal(cmp.Diff(want, got))
		}
		want["nobody"] = nil
		if got := TableOf(want); !cmp.Equal(got, table) {
			r.Fatal("TableOf:", cmp.Diff(table, got))
		}
	})
}

// drawFile draws a CSV file of a few users and items with all that can be
// wrong with its rows.
func drawFile(r *rapid.T, withIDs bool) string {
	var text strings.Builder
	text.WriteString("user,item,behavior,value,time")
	if withIDs {
		text.WriteString(",id")
	}
	text.WriteString("\n0,none,view,1,0") // so that the behavior column is known for one
	if withIDs {
		text.WriteString(",")
	}
	text.WriteString("\n")
	kinds := rapid.SampledFrom([][]string{
		{"view"}, {"rating"}, {"view", "search", "cart", "purchase", "cancel", "rating", "wish", "Nonsense!"},
	}).Draw(r, "kinds")
	values := rapid.SampledFrom([][]string{{"1"}, {"", "2", "-1", "0"}, {"0.1", "12.99", "-3.5", "1e-50", "x"}}).Draw(r, "values")
	times := rapid.SampledFrom([][]string{{""}, {"0", "3600", "7200", "10800", "2000000"}, {"3600.123", "7200", "now"}}).Draw(r, "times")
	for line := range rapid.IntRange(0, 40).Draw(r, "rows") {
		user := rapid.SampledFrom([]string{"a", "b", "c", "long user name", ""}).Draw(r, "user")
		item := rapid.SampledFrom([]string{"x", "y", "z", "w", " x", "NULL"}).Draw(r, "item")
		fmt.Fprintf(&text, "%s,%s,%s,%s,%s", user, item,
			rapid.SampledFrom(kinds).Draw(r, "kind"), rapid.SampledFrom(values).Draw(r, "value"), rapid.SampledFrom(times).Draw(r, "time"))
		if withIDs {
			if rapid.IntRange(0, 4).Draw(r, "copy") == 0 {
				line-- // the id of the row before
			}
			fmt.Fprintf(&text, ",%03d", line+1)
		}
		text.WriteString("\n")
	}
	return text.String()
}

// TestReadTableChunks: more rows than a chunk holds, whose chunks differ in form.
func TestReadTableChunks(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	const rows = 3*chunkRows + 100
	for _, tt := range []struct {
		name         string
		value, time  func(i int) string
		weight, when func(i int) float64
	}{
		{"ones", func(int) string { return "1" }, func(int) string { return "0" }, func(int) float64 { return 1 }, func(int) float64 { return 0 }},
		{
			"widening", func(i int) string { return []string{"1", "2.5", "0.1", "1"}[i/chunkRows] }, func(i int) string { return []string{"", "5", "5.001", ""}[i/chunkRows] },
			func(i int) float64 { return []float64{1, 2.5, 0.1, 1}[i/chunkRows] }, func(i int) float64 { return []float64{0, 5000, 5001, 0}[i/chunkRows] },
		},
		{
			"narrowing", func(i int) string { return []string{"0.1", "2.5", "1", "1"}[i/chunkRows] }, func(i int) string { return []string{"5.001", "5", "", "5"}[i/chunkRows] },
			func(i int) float64 { return []float64{0.1, 2.5, 1, 1}[i/chunkRows] }, func(i int) float64 { return []float64{5001, 5000, 0, 5000}[i/chunkRows] },
		},
		{
			"short", func(i int) string { return []string{"1", "2.5", "1", "2"}[i/chunkRows] }, func(i int) string { return []string{"", "5", "7", ""}[i/chunkRows] },
			func(i int) float64 { return []float64{1, 2.5, 1, 2}[i/chunkRows] }, func(i int) float64 { return []float64{0, 5000, 7000, 0}[i/chunkRows] },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString("user,item,value,time\n")
			for i := range rows {
				// Users far apart, items descending, each pair once.
				fmt.Fprintf(&text, "%d,%d,%s,%s\n", i%997, rows-i, tt.value(i), tt.time(i))
			}
			table, _, err := ReadTable(t.Context(), []Mapping{{Path: writeFile(t, "x.csv", text.String()), Behavior: View, TimeUnit: Seconds}}, DefaultWeights(), 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkTable(t, table)
			if len(table.Users) != 997 || len(table.Items) != rows || len(table.Item) != rows {
				t.Fatalf("%d users, %d items, %d entries", len(table.Users), len(table.Items), len(table.Item))
			}
			for user, row := range interactions(table) {
				for _, x := range row {
					item, err := strconv.Atoi(x.Item)
					if err != nil {
						t.Fatal(err)
					}
					i := rows - item
					if strconv.Itoa(i%997) != user || math.Abs(float64(x.Weight)-tt.weight(i)) > 1e-7 || float64(x.Last) != tt.when(i) {
						t.Fatalf("row %d: user %s has %+v; want weight %v, time %v", i, user, x, tt.weight(i), tt.when(i))
					}
				}
			}
		})
	}
}
