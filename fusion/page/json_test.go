package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/fusion/clean"
	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/fusion/record"
)

var update = flag.Bool("update", false, "rewrite golden files")

// maps are the paths of the objects of a report whose keys are data.
var maps = []string{
	"sources[].reasons", "sources[].repairs", "sources[].unmatched", "sources[].clean.rules[].reasons",
	"users.links.by_kind", "users.links.ignored", "users.links.hubs", "products.links.by_kind", "products.links.ignored", "products.links.hubs",
	"profiles.fields[].from", "catalog.fields[].from", "events.behaviors",
}

// paths adds the paths of all keys of a value.
func paths(v any, at string, out map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if slices.Contains(maps, at) {
			out[at+".*"] = true
			return
		}
		for k, x := range v {
			next := strings.TrimPrefix(at+"."+k, ".")
			out[next] = true
			paths(x, next, out)
		}
	case []any:
		for _, x := range v {
			paths(x, at+"[]", out)
		}
	}
}

// everything returns the report of a run, with what runs on good data do not have.
func everything(t *testing.T) *pipeline.Report {
	t.Helper()
	var r pipeline.Report
	b, err := json.Marshal(shopReport(t))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	pair := []identity.Pair{{A: "account:a", B: "account:b", Score: math.Inf(1), Agree: 5, Disagree: 2}}
	r.Users.Match.Oversized, r.Users.Match.OversizedKeys = 1, []string{"account:a"}
	r.Users.Match.Refused, r.Users.Match.RefusedPairs = 1, pair
	r.Products.Titles.Refused, r.Products.Titles.RefusedPairs = 1, pair
	r.Users.Stored = storedJoins()
	r.Users.Match.Threshold, r.Users.Match.Weights[0].Disagree = math.Inf(-1), math.Inf(-1)
	c := r.Sources[0].Clean
	place := record.Place{Source: "events", File: "a/b.csv", Line: 7, Part: 2}
	c.Rules[0].Changes = []clean.Change{
		{Place: place, Field: "time", Before: record.OfText("2025-03-01T12:00:00Z"), After: record.OfTime(1740830400000)},
		{Place: place, Field: "x", Before: record.OfBool(true), After: record.Value{}},
	}
	c.Rules[0].Statistics, c.Rules[0].MoreStatistics = []clean.Statistic{{Field: "x", Group: "g", Name: "upper", Value: math.Inf(1)}}, 3
	c.Distributions[0].Before.Top[0].Error = 2
	r.Sources[0].Unmatched = map[string]int64{"catalog": 3}
	r.Sources[0].Samples[0].File = "a/b.csv"
	r.Catalog.Fields[1].Examples[0].Claims[0].Place = place
	return &r
}

// TestJSONKeys guards the names of the JSON form: programs of shops depend on them. A change of the golden file that takes a line away breaks them.
func TestJSONKeys(t *testing.T) {
	var b bytes.Buffer
	about := About{Mapping: "m.yaml", Version: "1", Started: now, Took: time.Second, DryRun: true, Share: "1/2", DeadLetters: "d.jsonl", Err: errors.New("lost")}
	if err := WriteJSON(&b, everything(t), about); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	paths(v, "", found)
	var lines []string
	for p := range found {
		lines = append(lines, p)
		if last := p[strings.LastIndexByte(p, '.')+1:]; last != "*" && !regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`).MatchString(last) {
			t.Errorf("%s is not in snake case", p)
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	const golden = "testdata/keys.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		for _, p := range lines {
			if !slices.Contains(strings.Split(string(want), "\n"), p) {
				t.Errorf("new: %s", p)
			}
		}
		for p := range strings.Lines(string(want)) {
			if p = strings.TrimSpace(p); !found[p] {
				t.Errorf("gone: %s", p)
			}
		}
		t.Error("the keys are not those of the golden file; if that is meant, go test ./fusion/page -run JSONKeys -update")
	}
}

// nilMaps fails for maps that are null in JSON.
func nilMaps(t *testing.T, b []byte) {
	t.Helper()
	for _, path := range maps {
		key := path[strings.LastIndexByte(path, '.')+1:]
		if strings.Contains(string(b), `"`+key+`":null`) {
			t.Errorf("%s is null", path)
		}
	}
}

// TestJSONRoundTrip checks that nothing of a report is lost.
func TestJSONRoundTrip(t *testing.T) {
	for name, of := range map[string]func(t *testing.T) *pipeline.Report{
		"shop":       func(t *testing.T) *pipeline.Report { return shopReport(t) },
		"everything": everything,
		"olist":      func(t *testing.T) *pipeline.Report { return olistReport(t) },
	} {
		t.Run(name, func(t *testing.T) {
			report := of(t)
			b, err := json.Marshal(report)
			if err != nil {
				t.Fatal(err)
			}
			nilMaps(t, b)
			var back pipeline.Report
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&back, report) {
				again, err := json.Marshal(&back)
				t.Errorf("read back it is another report; equal as JSON: %v, %v", string(again) == string(b), err)
				different(t, "", reflect.ValueOf(report).Elem(), reflect.ValueOf(&back).Elem())
			}
		})
	}
}

// different names what differs between two values.
func different(t *testing.T, at string, a, b reflect.Value) {
	t.Helper()
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	switch {
	case a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil():
		different(t, at, a.Elem(), b.Elem())
	case a.Kind() == reflect.Struct && a.Type() != reflect.TypeFor[record.Value]():
		for i := range a.NumField() {
			different(t, at+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case a.Kind() == reflect.Slice && a.Len() == b.Len() && a.Len() > 0:
		for i := range a.Len() {
			different(t, at+"[]", a.Index(i), b.Index(i))
		}
	default:
		t.Errorf("%s: %#v, want %#v", at, b.Interface(), a.Interface())
	}
}
