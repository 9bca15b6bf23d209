package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/fusion/record"
)

// out keeps the pages of tests, to be looked at.
var out = flag.String("out", "", "folder to write the pages to")

// write returns the page of a report, and keeps it if that is wanted.
func write(t *testing.T, name string, report *pipeline.Report, about About) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, report, about); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"ZgotmplZ", "NaN", "<script", "http://", "https://", "url(", "@import", " src=", "<link", "<no value>", "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("%s: the page has %q", name, bad)
		}
	}
	if *out != "" {
		if err := os.WriteFile(filepath.Join(*out, name+".html"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return page
}

// contains fails for texts that a page lacks.
func contains(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

func TestPageOfShop(t *testing.T) {
	report := shopReport(t)
	about := About{Mapping: "shop.yaml", Version: "1.2.3", Started: now, Took: 2340 * time.Millisecond, DryRun: true, DeadLetters: "rejected.jsonl"}
	page := write(t, "shop", report, about)
	contains(t, page,
		"shop.yaml", "1.2.3", "1 Mar 2026 09:30 UTC", "2.3s", "rejected.jsonl", "nothing was stored",
		text(report.Events.Events), text(report.Profiles.Records)+" records", text(report.Catalog.Records)+" records",
		"&lt;b&gt;tidy&lt;/b&gt;",                          // the name of a rule
		"% of values per 365 days",                         // a histogram of times
		"refused by the rule “same event”",                 // a reason
		"quantity cannot be read",                          // a repair
		"its values are not shown",                         // a private source
		"Whose value counts in the records",                // a chart of sources
		"points if different",                              // weights
		"Products listed twice",                            // titles
		"Keys that many share",                             // hubs
		"Events by behavior",                               // behaviors
		"Nothing to tell of catalog, marketplace, sku-map", // good sources are short
		fusion.Withheld,
		`aria-label="Bar chart: Rows of each`, // pictures in words
	)
	for _, b := range []fusion.Behavior{"view", "purchase", "cancel"} {
		contains(t, page, string(b)+`: `+text(report.Events.Behaviors[b])+`.`)
	}
	for _, row := range shop.accounts[1:] {
		for _, value := range row[1:3] {
			if value != "" && strings.Contains(page, value) {
				t.Fatalf("the page shows the personal value %q", value)
			}
		}
	}
}

func TestPageOfOlist(t *testing.T) {
	report := olistReport(t)
	page := write(t, "olist", report, About{Mapping: "olist.yaml"})
	contains(t, page, "which are 8,016 users", "esporte_lazer", "not found in another source", "Not all is drawn: the last bar goes on to 4,799.")
}

// TestPageOfOldReport checks that a report from its JSON makes the same page.
func TestPageOfOldReport(t *testing.T) {
	report := everything(t)
	b, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var old pipeline.Report
	if err := json.Unmarshal(b, &old); err != nil {
		t.Fatal(err)
	}
	if write(t, "everything", report, About{}) != write(t, "old", &old, About{}) {
		t.Error("the page of the old report is another one")
	}
}

// storedJoins says what became of joins in a run.
func storedJoins() *pipeline.Joins {
	return &pipeline.Joins{Keys: 1203, Events: 8410, Known: 56, RefusedKeys: 1, Refused: []pipeline.RefusedJoin{
		{From: "cookie:c9", To: "ada", Detail: `not joined: "cookie:c9" is joined to "bo", so not to "ada"`},
	}}
}

// TestPageOfJoins shows what became of keys that had something stored.
func TestPageOfJoins(t *testing.T) {
	report := &pipeline.Report{Users: &pipeline.Identity{Links: &identity.LinkReport{Links: 9, Keys: 7, Entities: 3}, Stored: storedJoins()}}
	contains(t, write(t, "joins", report, About{}), "under 1,260 keys", "1,203 moved there in this run, with 8,410 events; 56 had before; 1 stays by itself", "<code>cookie:c9</code>", "so not to &#34;ada&#34;")
	report.Users.Stored = &pipeline.Joins{Keys: 1, Events: 1}
	page := write(t, "a join", report, About{})
	contains(t, page, "under 1 key of", "1 moved there in this run, with 1 event.")
	if strings.Contains(page, "had before") || strings.Contains(page, "by itself") {
		t.Error("the page tells of joins that there are not")
	}
}

func TestPageOfNothing(t *testing.T) {
	page := write(t, "nothing", &pipeline.Report{}, About{Err: errors.New("no <such> file")})
	contains(t, page, "The run ended early", "no &lt;such&gt; file")
	for _, part := range []string{"<h2", "<table", "<figure"} {
		if strings.Contains(page, part) {
			t.Errorf("an empty report has a %s>", part)
		}
	}
	empty := &pipeline.Report{Sources: []*pipeline.Source{{Report: fusion.Report{Name: "a"}}}, Users: &pipeline.Identity{}, Profiles: &pipeline.Fused{}}
	contains(t, write(t, "empty", empty, About{}), "from 1 source<")
}

// poison replaces all texts of a value.
func poison(v reflect.Value, with string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem(), with)
		}
	case reflect.String:
		v.SetString(with)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			poison(v.Index(i), with)
		}
	case reflect.Map:
		if v.Len() > 0 && v.Type().Key().Kind() == reflect.String {
			value := v.MapIndex(v.MapKeys()[0])
			v.Clear()
			v.SetMapIndex(reflect.ValueOf(with).Convert(v.Type().Key()), value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[record.Value]() {
			v.Set(reflect.ValueOf(record.OfText(with)))
			return
		}
		for i := range v.NumField() {
			poison(v.Field(i), with)
		}
	}
}

// TestHostileTexts puts markup into every text of a report.
func TestHostileTexts(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img onerror=alert(1)>`, `' onload='alert(1)`, `</style><script>`, `-->`, `</title>`, "\x00\xff<svg/onload=alert(1)>", `javascript:alert(1)`, `{{.About}}`,
	} {
		report := everything(t)
		poison(reflect.ValueOf(report), hostile)
		page := write(t, "hostile", report, About{Mapping: hostile, Version: hostile, DeadLetters: hostile, Err: errors.New(hostile)})
		if n := strings.Count(page, "alert(1)"); strings.Contains(hostile, "alert") && n < 50 {
			t.Errorf("%q is there %d times only: the test is blind", hostile, n)
		}
		for _, bad := range []string{"<script", "<img", "<svg/", "' onload='", `href="javascript`, "</style><"} {
			if strings.Contains(page, bad) {
				t.Errorf("%q: the page has %q", hostile, bad)
			}
		}
		if strings.Count(page, "</title>\n<style>") != 1 || strings.Count(page, "</style>") != 1 {
			t.Errorf("%q ends an element of the page", hostile)
		}
	}
}

// TestRowsAddUp checks that the overview accounts for every row.
func TestRowsAddUp(t *testing.T) {
	for _, s := range shopReport(t).Sources {
		r := rowOf(s)
		if sum := r.Skipped + r.Rejected() + r.Kept; sum != r.Read {
			t.Errorf("%s: %d rows read, %d accounted for: %+v", r.Name, r.Read, sum, r)
		}
		if r.Changed > r.Kept {
			t.Errorf("%s: %d rows changed of %d", r.Name, r.Changed, r.Kept)
		}
	}
	s := &pipeline.Source{Report: fusion.Report{Read: 20, Kept: 10, Rejected: 10, Repaired: 4, Reasons: map[string]int64{
		"bad_time": 1, "rule_late": 2, "no_counterpart": 3, "bad_record": 1, "unknown_kind": 3,
	}}, Cleaned: 8}
	if r := rowOf(s); r.Unreadable != 1 || r.ByRules != 2 || r.Unmatched != 3 || r.Later != 4 || r.Changed != 10 || !r.AtMost {
		t.Errorf("%+v", r)
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		numberText(0): "0", numberText(1234567): "1,234,567", numberText(1.5): "1.5", numberText(0.00012345): "0.000123", numberText(-0.5): "-0.5", numberText(1e-12): "1e-12",
		numberText(999.999): "1,000", whenText(0): "1 Jan 1970", whenText(1740830400000): "1 Mar 2025 12:00", tookText(90 * time.Second): "1m30s",
		tookText(1234 * time.Microsecond): "1ms", plural(1, "row"): "1 row", plural(int64(1200), "row"): "1,200 rows", share(1, 0): "", share(1, 4): "25%",
		reasonText("rule_odd_prices"): "refused by the rule “odd prices”", reasonText("bad_price"): "price cannot be read", reasonText("no_left"): "left is missing",
		reasonText("quote"): "quotation marks do not match", valueText(record.Value{}): "(missing)", valueText(record.OfText("")): "(empty)",
		valueText(record.OfNumber(1234.5)): "1,234.5", valueText(record.OfBool(true)): "true",
		placeText(record.Place{Source: "s", File: "f.csv", Line: 1200}): "f.csv line 1,200",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
