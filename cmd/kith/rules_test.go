package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/catalog/shelf"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

func TestParseConditions(t *testing.T) {
	for text, want := range map[string]string{
		"category=shoes|boots,price<50,stock": `conditions {attribute: "category" any_of {texts: "shoes" texts: "boots"}}
			conditions {attribute: "price" range {max: 50 exclude_max: true}} conditions {attribute: "stock" available {}}`,
		"tags=a&b,brand!=x|y":        `conditions {attribute: "tags" all_of {texts: "a" texts: "b"}} conditions {attribute: "brand" none_of {texts: "x" texts: "y"}}`,
		"price>=10,price<=2e1":       `conditions {attribute: "price" range {min: 10}} conditions {attribute: "price" range {max: 20}}`,
		`title=a\,b\|c\&d\\,x`:       `conditions {attribute: "title" any_of {texts: "a,b|c&d\\"}} conditions {attribute: "x" available {}}`,
		"since>2026-11-25":           `conditions {attribute: "since" range {min: 1795564800000 exclude_min: true}}`,
		"since<2026-11-25T01:00:00Z": `conditions {attribute: "since" range {max: 1795568400000 exclude_max: true}}`,
		"a = x | y":                  `conditions {attribute: "a" any_of {texts: "x" texts: "y"}}`,
	} {
		conditions, err := parseConditions(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		f := &kithv1.Filter{}
		if err := prototext.Unmarshal([]byte(want), f); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(f.Conditions, conditions, protocmp.Transform()); diff != "" {
			t.Errorf("%q, -want +got:\n%s", text, diff)
		}
	}
	for text, part := range map[string]string{
		"": "empty", " , ": "empty", "a,,b": "empty", "=x": "want a name", "a=": "want a name", "a!x": "want a name", "a=x|y&z": "has | and &",
		"price<cheap": "not a number, nor a date", "price<NaN": "not a number", "!": "want a name",
	} {
		if _, err := parseConditions(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: error %v, want one with %q", text, err, part)
		}
	}
}

func FuzzParseConditions(f *testing.F) {
	for _, text := range []string{"category=shoes|boots,price<50,stock", `a=\,\|,b!=x&y`, "a>=2026-01-01", "\\", "a=\\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		conditions, err := parseConditions(text)
		if (err == nil) != (len(conditions) > 0) {
			t.Fatalf("%q: %d conditions and error %v", text, len(conditions), err)
		}
		for _, c := range conditions {
			if c.Attribute == "" || c.Test == nil {
				t.Fatalf("%q: condition %v", text, c)
			}
		}
	})
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]uint64{"30d": 30 * 86_400_000, "0.5d": 43_200_000, "90m": 5_400_000, "ever": 0} {
		if got, err := parseAge(text); err != nil || got != want {
			t.Errorf("%q: %d, error %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "0d", "1e9d", "x", "-5m", "0s", "NaNd"} {
		if got, err := parseAge(text); err == nil {
			t.Errorf("%q is %d ms", text, got)
		}
	}
}

// TestRulesOnTheCommandLine asks a cluster with every flag of rules, and for lists.
func TestRulesOnTheCommandLine(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	dir := t.TempDir()
	write := func(name string, lines ...string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := func(days int) string { return time.Now().AddDate(0, 0, -days).UTC().Format(time.RFC3339) }
	events := []string{"user,item,behavior,time"}
	for item, n := range []int{5, 4, 3, 2} {
		for u := range n {
			events = append(events, fmt.Sprintf("u%d,p%d,view,%s", u, item+1, at(20)))
		}
	}
	events = append(events, "u0,p4,purchase,"+at(1), "u4,p1,purchase,"+at(40), "u4,p2,purchase,"+at(40), "u3,p1,purchase,"+at(50), "u3,p2,purchase,"+at(50), "u3,p3,purchase,"+at(50))
	addr := addrsOf(c)
	mustKith(t, "ingest", "--addr", addr, write("events.csv", events...))
	var products []string
	for i, x := range []string{
		`"brand":"acme","category":"shoes","price":10,"stock":1,"tags":["red","new"]`, `"brand":"acme","category":"shoes","price":20,"stock":0,"tags":["red"]`,
		`"brand":"other","category":"boots","price":30,"stock":2`, `"brand":"other","category":"shoes","price":40,"stock":true`, `"category":"boots","stock":1`,
	} {
		products = append(products, fmt.Sprintf(`{"key":"p%d","version":1,"attributes":{%s,"since":{"time":%q}}}`, i+1, x, at(5*i+1)))
	}
	mustKith(t, "products", "put", "--addr", addr, write("products.jsonl", products...))

	type answer struct {
		Items []struct {
			Item, Source string
			Score        float64
		}
		Partial, Stale bool
	}
	for _, tt := range []struct {
		args string
		want string
	}{
		{"recommend x", "p1 p2 p3 p4 p5"},
		{"recommend x -n 2", "p1 p2"},
		{"recommend x --filter stock", "p1 p3 p4 p5"},
		{"recommend x --filter category=shoes --filter price<=20", "p1 p2"},
		{"recommend x --filter tags=red&new", "p1"},
		{"recommend x --filter brand!=acme", "p3 p4 p5"},
		{"recommend x --allow p2,p4,p9 --only-products", "p2 p4"},
		{"recommend x --deny p1,p5", "p2 p3 p4"},
		{"recommend x --boost brand=other:10", "p3 p4 p1 p2 p5"},
		{"recommend x --freshness 1d:900", "p1 p2 p3 p4 p5"},
		{"recommend x --max-per-group 1", "p1 p3"},
		{"recommend x --lambda 0.5", "p1 p3 p2 p4 p5"},
		{"recommend x --max-per-group 1 --group-by brand", "p1 p3 p5"},
		{"recommend x --pin p4@1 --pin p5@3", "p4 p1 p5 p2 p3"},
		{"recommend x -n 3 --explore 1:23d --allow p1,p2,p3,p5", "p1 p2 p5"},
		{"recommend x -n 3 --explore 2:23d --filter category=boots --since none", "p3 p5"},
		{"recommend u0 --exclude-seen 10d", "p1 p2 p3 p5"},
		{"recommend u4 --exclude-bought 30d", "p1 p2 p3 p4 p5"},
		{"recommend u4 --exclude-bought ever", "p3 p4 p5"},
		{"trending --within 30d", "p4 p1 p2 p3"},
		{"trending --within 30d --weight view=1", "p1 p2 p3 p4"},
		{"trending --within 2d", "p4"},
		{"trending --within 30d --filter category=boots", "p3"},
		{"new", "p1 p2 p3 p4 p5"},
		{"new --filter category=boots -n 1", "p3"},
		{"new --max-per-group 1", "p1 p3"},
		{"latest -n 2", "p4 p1"},
		{"together p1", "p2 p3"},
		{"together p1 --filter stock", "p3"},
		{"latest --filter stock -n 2", "p4 p1"},
	} {
		args := append(strings.Fields(tt.args), "--addr", addr)
		got := mustJSON[answer](t, append(args, "-o", "json")...)
		var items []string
		for _, x := range got.Items {
			items = append(items, x.Item)
		}
		if s := strings.Join(items, " "); s != tt.want || got.Partial || got.Stale {
			t.Errorf("%s: %s (partial %v, stale %v), want %s", tt.args, s, got.Partial, got.Stale, tt.want)
		}
		if text := mustKith(t, args...); strings.Count(text, "\n") < len(got.Items) || !strings.Contains(text, got.Items[0].Item) {
			t.Errorf("%s printed\n%s", tt.args, text)
		}
	}
	if text := mustKith(t, "recommend", "x", "--addr", addr); !strings.Contains(text, "1 place has a product without events") {
		t.Errorf("recommend printed\n%s", text)
	}
	for _, args := range [][]string{
		{"recommend", "x", "--filter", "a<b"},
		{"recommend", "x", "--boost", "a=b"},
		{"recommend", "x", "--boost", "a=b:x"},
		{"recommend", "x", "--pin", "p"},
		{"recommend", "x", "--pin", "p@0"},
		{"recommend", "x", "--freshness", "ever"},
		{"recommend", "x", "--explore", "0"},
		{"recommend", "x", "--explore", "1:ever"},
		{"recommend", "x", "--by-similarity"},
		{"recommend", "x", "--exclude-seen", "x"},
		{"trending", "--within", "ever"},
		{"trending", "--weight", "view"},
		{"new", "-n", "0"},
	} {
		if got := kith(t, nil, args...); got.code != exitUsage {
			t.Errorf("kith %v: code %d, %s", args, got.code, got.err)
		}
	}
	for _, args := range [][]string{
		{"recommend", "x", "--filter", "a=" + strings.Repeat("x", shelf.MaxTextBytes+1)},
		{"recommend", "x", "--lambda", "2"},
		{"recommend", "x", "--boost", "a=b:0"},
		{"recommend", "x", "--pin", "p1@1", "--pin", "p2@1"},
		{"trending", "--weight", "View=1"},
	} {
		if got := kith(t, nil, append(args, "--addr", addr)...); got.code != exitError || !strings.Contains(got.err, "want") && !strings.Contains(got.err, "once") {
			t.Errorf("kith %v: code %d, %s", args, got.code, got.err)
		}
	}
}
