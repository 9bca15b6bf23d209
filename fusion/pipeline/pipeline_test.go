package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/source"
)

// small is a shop in which everything happens once.
var small = map[string]string{
	"map.yaml": `
sources:
  - name: log
    path: log.csv
    user_kind: cookie
    columns: {user: cookie, item: sku, behavior: what, time: at, context: {page: page}}
    clean:
      - {rule: range, name: late, fields: [time], max: 2026-01-01}
  - name: lines
    kind: orders
    path: lines.csv
    user_kind: customer
    item_kind: ean
    join: [{source: heads, on: {order: number}, take: {user: customer, time: placed, status: state}}]
    fields: {order: order, item: ean, quantity: {column: pieces, type: number}}
  - name: heads
    kind: tables
    path: heads.csv
    fields: {number: number, customer: customer, placed: {column: placed, type: time}, state: {column: state, values: {paid: purchase, gone: cancel}}}
  - name: seen
    kind: links
    path: seen.csv
    keys: [customer, cookie]
    fields: {customer: customer, cookie: cookie}
  - name: numbers
    kind: links
    of: products
    path: numbers.csv
    fields: {left: sku, left_kind: {constant: sku}, right: ean, right_kind: {constant: ean}}
  - name: own
    kind: products
    path: own.csv
    fields: {item: sku, title: title, price: {column: price, type: number}, tags: tags, changed: {column: changed, type: time}}
    lists: {tags: "|"}
    clean:
      - {rule: text, name: tidy, fields: [title]}
  - name: supplier
    kind: products
    item_kind: ean
    path: supplier.csv
    fields: {item: ean, title: title, price: {column: price, type: number}, weight: {column: weight, type: number}, changed: {column: changed, type: time}}
  - name: people
    kind: users
    path: people.csv
    user_kind: customer
    fields: {user: id, mail: mail, city: city}
    hashed: [mail]
    personal: [city]
users: {kinds: [customer, cookie]}
products: {kinds: [sku, ean], trust: [own, supplier], changed: changed, fields: {price: newest}}
secret_env: KITH_TEST_SECRET
`,
	"log.csv":      "cookie,sku,what,at,page\nc1,A,view,2025-05-01,home\nc2,B,view,2025-05-02,\nc1,A,view,2027-01-01,home\n",
	"lines.csv":    "order,ean,pieces\n1,400,2\n2,400,1\n9,400,1\n",
	"heads.csv":    "number,customer,placed,state\n1,17,2025-05-03T10:00:00Z,paid\n2,18,2025-05-04T10:00:00Z,gone\n",
	"seen.csv":     "customer,cookie\n17,c1\n,c2\n",
	"numbers.csv":  "sku,ean\nA,400\n",
	"own.csv":      "sku,title,price,tags,changed\nA, Red   Lamp ,10,red| lamp|red,2025-01-01\nB,Chair,20,,2025-01-01\n",
	"supplier.csv": "ean,title,price,weight,changed\n400,LAMP,12,3,2025-02-01\n500,Desk,99,,2025-02-01\n",
	"people.csv":   "id,mail,city\n17,a@example.net,Bonn\n,b@example.net,Kiel\n",
}

func secret(t testing.TB) { t.Setenv("KITH_TEST_SECRET", "a secret for tests alone") }

// TestSmallByHand checks everything that a run makes of the small shop.
func TestSmallByHand(t *testing.T) {
	secret(t)
	dead := filepath.Join(t.TempDir(), "dead")
	w := fusion.NewDeadLetterWriter(dead)
	got := mustRun(t, folder(t, small), pipeline.Options{Dead: w})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, e := range got.events {
		events = append(events, fmt.Sprintf("%s %s %s %g %d %v", e.User, e.Item, e.Behavior, e.Value, e.Time, e.Context))
	}
	if d := cmp.Diff([]string{
		"17 A view 1 1746057600000 map[page:home]",
		"cookie:c2 B view 1 1746144000000 map[]",
		"17 A purchase 2 1746266400000 map[order:1]",
		"18 A cancel 1 1746352800000 map[order:2]",
	}, events); d != "" {
		t.Error(d)
	}
	products := map[string]map[string]string{}
	for key, r := range got.products {
		products[key] = attributes(r)
	}
	if d := cmp.Diff(map[string]map[string]string{
		"A":       {"title": "Red Lamp", "price": "12", "tags": `["red","lamp"]`, "weight": "3", "changed": "2025-01-01T00:00:00Z"},
		"B":       {"title": "Chair", "price": "20", "changed": "2025-01-01T00:00:00Z"},
		"ean:500": {"title": "Desk", "price": "99", "changed": "2025-02-01T00:00:00Z"},
	}, products); d != "" {
		t.Error(d)
	}

	lamp, err := pipeline.ParseLineage(got.products["A"].Places)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&pipeline.Lineage{
		Keys: []pipeline.LineageKey{{Kind: "sku", Text: "A"}, {Kind: "ean", Text: "400"}}, KeyCount: 2,
		Rows: []pipeline.LineageRow{
			{Source: "own", Line: 2, Rules: []string{"tidy"}, Changed: 1735689600000},
			{Source: "supplier", Line: 2, Changed: 1738368000000},
		},
		RowCount: 2,
		Fields: map[string]pipeline.LineageField{
			"title":   {Row: 0, Method: "trust", Agree: 1, Others: 1, Next: []pipeline.LineageOther{{Row: 1, Value: "LAMP"}}},
			"price":   {Row: 1, Method: "newest", Agree: 1, Others: 1, Next: []pipeline.LineageOther{{Row: 0, Value: "10"}}},
			"changed": {Row: 0, Method: "trust", Agree: 1, Others: 1, Next: []pipeline.LineageOther{{Row: 1, Value: "2025-02-01T00:00:00Z"}}},
			"tags":    {Row: 0}, "weight": {Row: 1},
		},
	}, lamp); d != "" {
		t.Error(d)
	}

	log := got.source(t, "log")
	if log.Read != 3 || log.Kept != 2 || log.Reasons["rule_late"] != 1 || len(log.Samples) != 1 || !strings.Contains(log.Samples[0].Raw, `"page":"home"`) {
		t.Errorf("log: %+v", log)
	}
	lines := got.source(t, "lines")
	if lines.Kept != 2 || lines.Rejected != 1 || lines.Reasons["no_counterpart"] != 1 || lines.Unmatched["heads"] != 1 || lines.Samples[0].Line != 4 {
		t.Errorf("lines: %+v", lines)
	}
	if own := got.source(t, "own"); own.Cleaned != 1 || own.Clean.Rules[0].Changed != 1 {
		t.Errorf("own: %+v", own)
	}
	if users := got.report.Users.Links; users.Keys != 3 || users.Entities != 2 { // 17, c1 and c2; 18 is in no link
		t.Errorf("users: %+v", users)
	}
	if c := got.report.Catalog; c.Rows != 4 || c.Records != 3 || c.Several != 1 {
		t.Errorf("catalog: %+v", c)
	}

	// What is personal is nowhere, and what is hashed nowhere in clear.
	letters, err := os.ReadFile(dead)
	if err != nil {
		t.Fatal(err)
	}
	report, err := json.Marshal(got.report)
	if err != nil {
		t.Fatal(err)
	}
	everything := string(letters) + string(report) + fmt.Sprint(got.profiles, got.events)
	for _, word := range []string{"Bonn", "Kiel", "a@example.net", "b@example.net"} {
		if strings.Contains(everything, word) {
			t.Errorf("%q is told", word)
		}
	}
	if mail := attributes(got.profiles["17"])["mail"]; len(mail) != 32 || len(attributes(got.profiles["17"])) != 1 {
		t.Errorf("profile %v", attributes(got.profiles["17"]))
	}
	if people := got.source(t, "people"); people.Rejected != 1 || len(people.Samples) != 1 || people.Samples[0].Detail != fusion.Withheld {
		t.Errorf("people: %+v", people)
	}
}

// TestLaterRunCounts: what a corrected mapping, or another file, makes replaces what an earlier run made, for all records, whatever rows say of their
// changes and in whatever order the records of two runs come.
func TestLaterRunCounts(t *testing.T) {
	secret(t)
	first := mustRun(t, folder(t, small), pipeline.Options{})
	corrected := maps.Clone(small)
	corrected["map.yaml"] = strings.Replace(corrected["map.yaml"], "title: title, price: {column: price, type: number}, tags", "title: title, price: {column: price, type: number, unit: cents}, tags", 1)
	older := maps.Clone(small)
	older["own.csv"] = strings.ReplaceAll(older["own.csv"], "2025-01-01", "2020-01-01")
	for name, files := range map[string]map[string]string{"corrected mapping": corrected, "older file": older} {
		later := mustRun(t, folder(t, files), pipeline.Options{Now: now.Add(time.Millisecond)})
		for _, kind := range []struct{ first, later map[string]catalog.Record }{{first.products, later.products}, {first.profiles, later.profiles}} {
			for key, was := range kind.first {
				is := kind.later[key]
				if !catalog.Newer(&is, &was) || catalog.Newer(&was, &is) || is.Version != now.UnixMilli()+1 {
					t.Errorf("%s: %s of version %d does not replace that of version %d", name, key, is.Version, was.Version)
				}
			}
		}
		if name == "corrected mapping" && attributes(later.products["B"])["price"] != "0.2" {
			t.Errorf("B is %v", attributes(later.products["B"]))
		}
	}
}

// TestPseudonyms: no key of a user is told, the same user has the same pseudonym in all sources, and another secret gives others.
func TestPseudonyms(t *testing.T) {
	secret(t)
	files := maps.Clone(small)
	files["map.yaml"] = strings.Replace(files["map.yaml"], "users: {kinds: [customer, cookie]}", "users: {kinds: [customer, cookie], pseudonyms: true}", 1)
	dir := folder(t, files)
	got := mustRun(t, dir, pipeline.Options{})
	plain := mustRun(t, folder(t, small), pipeline.Options{})
	names := map[string]string{}
	for i, e := range got.events {
		was := plain.events[i]
		if len(e.User) != 32 || e.ID == was.ID {
			t.Errorf("event %+v of %s", e, was.User)
		}
		if other, ok := names[was.User]; ok && other != e.User {
			t.Errorf("%s is %s and %s", was.User, other, e.User)
		}
		names[was.User] = e.User
		was.User, was.ID = e.User, e.ID
		if d := cmp.Diff(was, e); d != "" {
			t.Error(d)
		}
	}
	if _, ok := got.profiles[names["17"]]; !ok {
		t.Errorf("no profile of %s: %v", names["17"], slices.Sorted(maps.Keys(got.profiles)))
	}
	if text := fmt.Sprintf("%s %v", got.profiles[names["17"]].Places, names); strings.Contains(text, "c1") {
		t.Errorf("the cookie is told: %s", text)
	}
	l, err := pipeline.ParseLineage(got.profiles[names["17"]].Places)
	if err != nil || len(l.Keys) != 2 || l.Keys[0] != (pipeline.LineageKey{Kind: "customer", Text: names["17"]}) || l.Keys[1].Kind != "cookie" {
		t.Errorf("lineage %+v, %v; want the first key to be that of the record", l, err)
	}
	f, err := pipeline.Read(filepath.Join(dir, "map.yaml"), fusion.MappingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if name, err := pipeline.StoredKey(f, "", "17"); err != nil || name != names["17"] {
		t.Errorf("StoredKey is %s, %v; want %s", name, err, names["17"])
	}
	t.Setenv("KITH_TEST_SECRET", "another secret for tests")
	if other := mustRun(t, dir, pipeline.Options{}); other.events[0].User == got.events[0].User {
		t.Error("the secret does not count")
	}
	t.Setenv("KITH_TEST_SECRET", "short")
	if _, err := run(t, dir, pipeline.Options{}); !errors.Is(err, fusion.ErrMapping) || !strings.Contains(err.Error(), "at least 16") {
		t.Errorf("a short secret: %v", err)
	}
}

// TestFastWay: a rule that does nothing takes a source the other way, which gives the same events.
func TestFastWay(t *testing.T) {
	var log strings.Builder
	log.WriteString("user,item,action,time,shop\n")
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		fmt.Fprintf(&log, "u%d, i%d,%s,2025-01-%02d,%d\n", rng.IntN(50), rng.IntN(40), []string{"view", "cart", "what?", ""}[rng.IntN(4)], 1+rng.IntN(32), rng.IntN(3))
	}
	const head = "sources:\n  - path: log.csv\n    columns: {user: user, item: item, behavior: action, time: time, context: {shop: shop}}\n"
	const kinds = "    user_kind: cookie\nusers: {kinds: [account, cookie]}\n"
	fast := mustRun(t, folder(t, map[string]string{"map.yaml": head + kinds, "log.csv": log.String()}), pipeline.Options{})
	slow := mustRun(t, folder(t, map[string]string{"map.yaml": head + "    clean: [{rule: pattern, fields: [user], match: '.*'}]\n" + kinds, "log.csv": log.String()}), pipeline.Options{})
	if d := cmp.Diff(fast.events, slow.events); d != "" || len(fast.events) == 0 || !strings.HasPrefix(fast.events[0].User, "cookie:u") {
		t.Errorf("%d events: %s", len(fast.events), d)
	}
	if d := cmp.Diff(fast.report.Sources[0].Report, slow.report.Sources[0].Report); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(fast.report.Events, slow.report.Events); d != "" {
		t.Error(d)
	}
}

// TestMemoryDoesNotMatter: results are the same with little memory, and the order of the files of one trust does not matter.
func TestMemoryDoesNotMatter(t *testing.T) {
	secret(t)
	dir := folder(t, small)
	want := mustRun(t, dir, pipeline.Options{})
	got := mustRun(t, dir, pipeline.Options{MemoryLimit: 64 << 10, Batch: 1})
	if d := cmp.Diff(want.events, got.events); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want.products, got.products); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want.profiles, got.profiles); d != "" {
		t.Error(d)
	}
	if _, err := run(t, dir, pipeline.Options{MemoryLimit: 100}); !errors.Is(err, pipeline.ErrMemory) || !strings.Contains(err.Error(), "heads") {
		t.Errorf("a table that does not fit: %v", err)
	}
}

// TestMistakes names the place of each mistake.
func TestMistakes(t *testing.T) {
	secret(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown source", "source: heads", "source: head", `map.yaml:14:21: lines: bad mapping: there is no other source "head"; did you mean "heads"?`},
		{"unknown field there", "on: {order: number}", "on: {order: no}", `:14:40: lines: bad mapping: heads has no field "no"`},
		{"unknown field here", "on: {order: number}", "on: {bill: number}", `lines: bad mapping: there is no field "bill" here`},
		{"kind", "user_kind: cookie", "user_kind: cook", `map.yaml:5:16: log: bad mapping: "cook" is not one of users.kinds; did you mean "cookie"?`},
		{"personal", "personal: [city]", "personal: [town]", `there is no field "town"`},
		{"key is needed", "personal: [city]", "personal: [user]", "user is needed"},
		{"no secret", "secret_env: KITH_TEST_SECRET", "", "hashed fields need secret_env"},
		{"links of nothing", "users: {kinds: [customer, cookie]}", "", `"cookie" is not one of users.kinds`},
		{"colon", "users: {kinds: [customer, cookie]}", "users: {kinds: [customer, cookie, 'a:b']}", "has a colon"},
		{"method", "price: newest", "price: best", `map.yaml:50:89: bad mapping: bad identity configuration: method "best"`},
		{"newest of what", "changed: changed, fields", "fields", "newest needs changed"},
		{"trust", "trust: [own, supplier]", "trust: [own, suplier]", `there is no source "suplier"; did you mean "supplier"?`},
		{"rule", "rule: text", "rule: tex", `"tex" is unknown`},
		{"rule on no field", "fields: [title]}\n  - name: supplier", "fields: [titel]}\n  - name: supplier", `there is no field "titel"`},
		{"lists", `lists: {tags: "|"}`, `lists: {price: "|"}`, "price is a number; only texts are lists"},
		{
			"types of keys", "fields: {number: number,", "fields: {number: {column: number, type: number},",
			`map.yaml:14:40: lines: bad mapping: order is a text here, and number a number in heads, so no two are equal; give both fields one type`,
		},
		{"types", "status: state", "quantity: state", "quantity is a number here and a text in heads"},
		{"titles of users", "users: {kinds", "users: {titles: {field: x}, kinds", "titles are of products"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := maps.Clone(small)
			files["map.yaml"] = strings.Replace(files["map.yaml"], c.old, c.new, 1)
			if files["map.yaml"] == small["map.yaml"] {
				t.Fatal("nothing changed")
			}
			got, err := run(t, folder(t, files), pipeline.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if len(got.events)+len(got.products)+len(got.profiles) > 0 {
				t.Errorf("%d events, %d products and %d profiles were handed on before", len(got.events), len(got.products), len(got.profiles))
			}
		})
	}
}

// TestReadAlone: who reads each source by itself is told where that would give something else.
func TestReadAlone(t *testing.T) {
	dir := folder(t, map[string]string{"map.yaml": "sources: [{path: a.csv}]\nusers: {kinds: [a, b]}\n"})
	if _, err := fusion.ReadMappings(filepath.Join(dir, "map.yaml")); !errors.Is(err, fusion.ErrMapping) || !strings.Contains(err.Error(), "map.yaml:2:") {
		t.Errorf("got %v", err)
	}
}

// TestBadRecords: of what the catalog does not take, the rows are set aside that make it too large, and no others.
func TestBadRecords(t *testing.T) {
	long := strings.Repeat("long ", 20_000)
	both := mustRun(t, folder(t, map[string]string{
		"map.yaml": `
sources:
  - {name: p, kind: products, path: p.csv, fields: {item: sku, text: text, price: price}}
  - {name: q, kind: products, path: q.csv, fields: {item: sku, title: title}}
`,
		"p.csv": "sku,text,price\na,short,1\nb," + long + ",2\nb,other,3\n", "q.csv": "sku,title\nb,Lamp\n",
	}), pipeline.Options{})
	if b := attributes(both.products["b"]); b["title"] != "Lamp" || b["text"] != "other" || b["price"] != "3" {
		t.Errorf("b is %.200v", b)
	}
	if p, q := both.source(t, "p"), both.source(t, "q"); p.Kept != 2 || p.Reasons["bad_record"] != 1 || q.Kept != 1 || q.Rejected != 0 {
		t.Errorf("p %+v\nq %+v", p.Report, q.Report)
	}
	for _, f := range both.report.Catalog.Fields {
		if f.Name == "text" && (f.Values != 2 || f.Conflicts != 0) {
			t.Errorf("what was refused is counted: %+v", f)
		}
	}
	files := map[string]string{
		"map.yaml": "sources:\n  - {name: p, kind: products, path: p.csv, fields: {item: sku, text: text}}\n",
		"p.csv":    "sku,text\na,short\nb," + strings.Repeat("long ", 20_000) + "\n",
	}
	got := mustRun(t, folder(t, files), pipeline.Options{})
	if p := got.source(t, "p"); p.Kept != 1 || p.Reasons["bad_record"] != 1 || len(got.products) != 1 || len(p.Samples) != 1 || p.Samples[0].Line != 3 {
		t.Errorf("%+v", p)
	}
}

// TestReadTwice: each row of a source that is read as a table, too, is counted once, and those that make no event are refused.
func TestReadTwice(t *testing.T) {
	dir := folder(t, map[string]string{
		"map.yaml": `
sources:
  - {name: log, path: log.csv, kind: orders, fields: {user: user, item: item, order: order, status: status}}
  - {name: more, path: more.csv, join: [{source: log, on: {order: order}, take: {user: user}}], fields: {item: item, order: order}}
`,
		"log.csv":  "user,item,order,status\nu,a,1,purchase\nu,b,2,lost\n,c,3,purchase\n",
		"more.csv": "item,order\nd,1\n",
	})
	path := filepath.Join(t.TempDir(), "rejected.jsonl")
	dead := fusion.NewDeadLetterWriter(path)
	got := mustRun(t, dir, pipeline.Options{Dead: dead})
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	want := fusion.Report{Name: "log", Read: 3, Kept: 1, Rejected: 2, Reasons: map[string]int64{"no_user": 1, "bad_status": 1}}
	log := got.source(t, "log")
	if d := cmp.Diff(want, log.Report); d != "" || len(got.events) != 2 || len(log.Samples) != 2 {
		t.Errorf("%d events, samples %+v: %s", len(got.events), log.Samples, d)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Count(string(text), "\n") != 2 || !strings.Contains(string(text), "bad_status") {
		t.Errorf("dead letters %s, %v", text, err)
	}
}

// TestTableOfReplacedRows: what replaces the values of a row counts to the memory of a table.
func TestTableOfReplacedRows(t *testing.T) {
	dir := folder(t, map[string]string{
		"map.yaml": `
sources:
  - {name: log, path: log.csv, join: [{source: names, on: {item: item}, take: {name: name}}], fields: {user: user, item: item}}
  - {name: names, kind: tables, path: names.csv, fields: {item: item, name: name}}
`,
		"log.csv":   "user,item\nu,a\n",
		"names.csv": "item,name\na,x\na," + strings.Repeat("long ", 2000) + "\n",
	})
	if _, err := run(t, dir, pipeline.Options{MemoryLimit: 4 << 10}); !errors.Is(err, pipeline.ErrMemory) {
		t.Errorf("a row that became large: %v", err)
	}
	files := "item,name\n" + strings.Repeat("a,"+strings.Repeat("long ", 100)+"\na,\n", 50)
	if err := os.WriteFile(filepath.Join(dir, "names.csv"), []byte(files), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, dir, pipeline.Options{MemoryLimit: 4 << 10})
}

// TestRowsOfOneKey: the rows of a key that stands for many are refused, and those of others are not.
func TestRowsOfOneKey(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("sku,text\n")
	for i := range 600 {
		fmt.Fprintf(&rows, "n/a,%d\nk%d,%d\n", i, i%50, i)
	}
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml": "sources:\n  - {name: p, kind: products, path: p.csv, fields: {item: sku, text: text}}\n", "p.csv": rows.String(),
	}), pipeline.Options{MemoryLimit: 64 << 10})
	p := got.source(t, "p")
	if p.Reasons["too_many_rows"] != 600 || p.Kept != 600 || len(got.products) != 50 || !strings.Contains(p.Samples[0].Detail, "of item \"n/a\" take more than") {
		t.Errorf("%d products, %+v", len(got.products), p)
	}
}

// TestTooManyBehaviors: a report does not grow with a column that is none of behaviors.
func TestTooManyBehaviors(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("user,item,behavior\n")
	for i := range 1200 {
		fmt.Fprintf(&rows, "u,i,b%d\n", i)
	}
	got := mustRun(t, folder(t, map[string]string{"map.yaml": "sources: [{path: log.csv}]\n", "log.csv": rows.String()}), pipeline.Options{})
	if e := got.report.Events; len(e.Behaviors) != 1000 || e.OtherBehaviors != 200 || e.Events != 1200 {
		t.Errorf("%d behaviors, %d events of others, %d in all", len(e.Behaviors), e.OtherBehaviors, e.Events)
	}
}

// TestCleanedRowsAreKept: a row that rules change and that is refused later is not among those kept that rules changed.
func TestCleanedRowsAreKept(t *testing.T) {
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml": "sources: [{name: log, kind: orders, path: log.csv, fields: {user: user, item: item, status: status}, clean: [{rule: text, fields: [status]}]}]\n",
		"log.csv":  "user,item,status\nu,a,\"pur  chase\"\nu,b,purchase\n",
	}), pipeline.Options{})
	if l := got.source(t, "log"); l.Kept != 1 || l.Reasons["bad_status"] != 1 || l.Cleaned != 0 {
		t.Errorf("%+v", l)
	}
}

// TestKeysThatRulesTake: a row without key is of no record, and not of the next one.
func TestKeysThatRulesTake(t *testing.T) {
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml": "sources: [{name: p, kind: products, path: p.csv, fields: {item: sku, price: price}, clean: [{rule: pattern, fields: [item], match: 'k.*', action: null}]}]\n",
		"p.csv":    "sku,price\n?,1\nk,2\n",
	}), pipeline.Options{})
	if p := got.source(t, "p"); p.Reasons["no_item"] != 1 || len(got.products) != 1 || attributes(got.products["k"])["price"] != "2" {
		t.Errorf("%+v, %v", p, got.products)
	}
}

// TestFollowed: sources that do not end are refused where their last row is waited for.
func TestFollowed(t *testing.T) {
	const kafka = "path: kafka://host/topic, group: g, format: jsonl, follow: true"
	for _, c := range []struct{ sources, want string }{
		{"[{name: t, kind: tables, " + kafka + ", fields: {a: a}}]", "all rows of tables are needed before the first event"},
		{
			"[{name: l, path: l.csv, join: [{source: t, on: {a: a}, take: {b: b}}], fields: {user: u, item: i, a: a}}, {name: t, " + kafka + ", fields: {user: a, item: b, a: a, b: b}}]",
			"t has follow: true and does not end",
		},
	} {
		if _, err := run(t, folder(t, map[string]string{"map.yaml": "sources: " + c.sources + "\n"}), pipeline.Options{}); !errors.Is(err, fusion.ErrMapping) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}

// TestFollow: a source is gone on with where nothing depends on what is not read again, and is refused else.
func TestFollow(t *testing.T) {
	for _, c := range []struct{ rules, want string }{
		{"[{rule: text, fields: [item]}]", ""},
		{"[{rule: text, fields: [item]}, {rule: duplicates, name: twice, fields: [item]}]", "twice need the whole source"},
	} {
		dir := folder(t, map[string]string{"map.yaml": "sources: [{path: log.csv, clean: " + c.rules + "}]\n", "log.csv": "user,item\na,1\nb,2\n"})
		began, finished := 0, 0
		_, err := run(t, dir, pipeline.Options{Resume: true, Follow: func(*fusion.Mapping) (func() bool, func() error) {
			began++
			return func() bool { return false }, func() error { finished++; return nil }
		}})
		if c.want == "" && (err != nil || began != 1 || finished != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || finished != 0) {
			t.Errorf("%s: %v; began %d, finished %d", c.rules, err, began, finished)
		}
	}
}

// TestMatchOverSources: what one source knows of an account and what another knows count together, in whatever order they stand.
func TestMatchOverSources(t *testing.T) {
	var crm, web strings.Builder
	crm.WriteString("id,mail\n")
	web.WriteString("id,name,zip,city\n")
	for i := range 200 {
		fmt.Fprintf(&crm, "a%d,p%d@example.net\nb%d,P%d@example.net\n", i, i, i, i)
		fmt.Fprintf(&web, "a%d,Ann Nr%dson,%05d,Bonn\nb%d,Nr%dson Ann,%05d,Kiel\n", i, i, i, i, i, i)
	}
	sources := []string{
		"  - {name: crm, kind: users, path: crm.csv, fields: {user: id, mail: mail}, personal: [mail]}\n",
		"  - {name: web, kind: users, path: web.csv, fields: {user: id, name: name, zip: zip, city: city}, personal: [name, zip]}\n",
	}
	for range 2 {
		slices.Reverse(sources)
		got := mustRun(t, folder(t, map[string]string{
			"map.yaml": "sources:\n" + strings.Join(sources, "") + "users: {kinds: [account], match: {email: mail, name: name, postcode: zip}}\n",
			"crm.csv":  crm.String(), "web.csv": web.String(),
		}), pipeline.Options{})
		if m := got.report.Users.Match; m.Joined != 200 || len(got.profiles) != 200 || m.Accounts != 400 {
			t.Errorf("%v: %d of %d accounts joined, %d profiles", sources, m.Joined, m.Accounts, len(got.profiles))
		}
		for _, f := range got.report.Profiles.Fields {
			if f.Name == "city" && (f.Conflicts != 200 || len(f.Examples) > 0) {
				t.Errorf("%d conflicts about the city; shown are %v, of a source with personal fields", f.Conflicts, f.Examples)
			}
		}
	}
}

// TestShares: what several runs of one file make of their shares is what one run makes of all.
func TestShares(t *testing.T) {
	files := map[string]string{
		"map.yaml": `
sources:
  - {name: logs, path: 'log-*.csv', user_kind: cookie, columns: {user: cookie, item: sku}}
  - {name: one, path: one.csv, user_kind: cookie, columns: {user: cookie, item: sku}}
  - {name: seen, kind: links, path: seen.csv, keys: [account, cookie], fields: {account: account, cookie: cookie}}
  - {name: goods, kind: products, path: goods.csv, fields: {item: sku, price: price}}
users: {kinds: [account, cookie]}
`,
		"one.csv": "cookie,sku\nc1,z\n", "seen.csv": "account,cookie\n1,c1\n2,c2\n", "goods.csv": "sku,price\nA,1\nB,2\n",
	}
	for i := range 20 {
		files[fmt.Sprintf("log-%02d.csv", i)] = fmt.Sprintf("cookie,sku\nc%d,a%d\nc%d,b%d\n", i%3, i, i%2, i)
	}
	dir := folder(t, files)
	key := func(e fusion.Event) string { return e.User + " " + e.Item + " " + e.ID }
	var want, got []string
	for _, e := range mustRun(t, dir, pipeline.Options{}).events {
		want = append(want, key(e))
	}
	products := 0
	var joins []pipeline.Join
	for part := range 3 {
		r := mustRun(t, dir, pipeline.Options{Share: source.Share{Part: part + 1, Of: 3}})
		if len(r.events) == 0 || len(r.events) == len(want) {
			t.Errorf("share %d has %d of %d events", part+1, len(r.events), len(want))
		}
		for _, e := range r.events {
			got = append(got, key(e))
		}
		products += len(r.products)
		joins = append(joins, r.joins...)
	}
	if known := []pipeline.Join{{From: "cookie:c1", To: "1"}, {From: "cookie:c2", To: "2"}}; !slices.Equal(joins, known) {
		t.Errorf("joins of all shares are %v, want %v", joins, known)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) != 41 || products != 2 {
		t.Errorf("%d events and %d products of all shares; want %d and 2", len(got), products, len(want))
	}
	if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "2 ") }) {
		t.Error("no share knows the account of c2")
	}
}

// TestKeysOfKindsStayApart: nobody gets the events of another by the form of a key.
func TestKeysOfKindsStayApart(t *testing.T) {
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml": `
sources:
  - {name: a, path: a.csv, columns: {user: user, item: item}}
  - {name: c, path: c.csv, user_kind: cookie, columns: {user: user, item: item}}
users: {kinds: [account, cookie]}
`,
		"a.csv": "user,item\nc1,1\ncookie:c1,2\naccount:c1,3\nmail:c1,4\n",
		"c.csv": "user,item\nc1,5\ncookie:c1,6\naccount:c1,7\n" + strings.Repeat("x", 256) + ",8\n" + strings.Repeat("x", 255) + "y,9\n",
	}), pipeline.Options{})
	users := map[string]string{}
	for _, e := range got.events {
		if other, taken := users[e.User]; taken {
			t.Errorf("events of items %s and %s are of one user %s", other, e.Item, e.User)
		}
		users[e.User] = e.Item
	}
	if len(got.events) != 9 || users["c1"] != "1" || users["account:cookie:c1"] != "2" || users["cookie:c1"] != "5" || users["mail:c1"] != "4" {
		t.Errorf("%d events: %v", len(got.events), users)
	}
}

// TestLongKeys: a key that is too long with its kind is stored as a hash, and a key that is written as that hash gets nothing of it.
func TestLongKeys(t *testing.T) {
	files := map[string]string{
		"map.yaml": "sources: [{path: c.csv, user_kind: cookie, columns: {user: user, item: item}}]\nusers: {kinds: [account, cookie]}\n",
		"c.csv":    "user,item\n" + strings.Repeat("x", 256) + ",1\n",
	}
	long := mustRun(t, folder(t, files), pipeline.Options{}).events[0].User
	if len(long) != len("cookie:#")+32 {
		t.Fatalf("stored as %q", long)
	}
	files["c.csv"] = "user,item\n" + strings.TrimPrefix(long, "cookie:") + ",1\n#1,2\n"
	got := mustRun(t, folder(t, files), pipeline.Options{})
	if got.events[0].User == long || got.events[1].User != "cookie:#1" {
		t.Errorf("users %s and %s; one looks like %s", got.events[0].User, got.events[1].User, long)
	}
}

// TestKindOfEachRow: profiles and products have keys of the kinds that their rows say, as events have.
func TestKindOfEachRow(t *testing.T) {
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml": `
sources:
  - {name: people, kind: users, path: people.csv, user_kind: cookie, fields: {user: id, user_kind: kind, city: city}}
  - {name: goods, kind: products, path: goods.csv, fields: {item: id, item_kind: kind, title: title}}
  - {name: seen, kind: links, path: seen.csv, keys: [account, cookie, device], fields: {account: a, cookie: c, device: d}}
users: {kinds: [account, cookie, device]}
products: {kinds: [sku, ean], titles: {field: title}}
`,
		"people.csv": "id,kind,city\n1,account,Bonn\n1,,Kiel\n1,device,Ulm\n1,phone,Hof\nc7,cookie,Jena\n",
		"goods.csv":  "id,kind,title\n400,sku,Lamp\n400,ean,Chair\n401,isbn,Book\n",
		"seen.csv":   "a,c,d\n7,c7,\n",
	}), pipeline.Options{})
	people, goods := map[string]string{}, map[string]string{}
	for key, r := range got.profiles {
		people[key] = fmt.Sprint(attributes(r))
	}
	for key, r := range got.products {
		goods[key] = fmt.Sprint(attributes(r))
	}
	if d := cmp.Diff(map[string]string{"1": "map[city:Bonn]", "cookie:1": "map[city:Kiel]", "device:1": "map[city:Ulm]", "7": "map[city:Jena]"}, people); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"400": "map[title:Lamp]", "ean:400": "map[title:Chair]"}, goods); d != "" {
		t.Error(d)
	}
	for source, line := range map[string]int64{"people": 5, "goods": 4} {
		if s := got.source(t, source); s.Reasons["unknown_kind"] != 1 || s.Rejected != 1 || len(s.Samples) != 1 || s.Samples[0].Line != line || !strings.Contains(s.Samples[0].Raw, "kind") {
			t.Errorf("%s: %+v", source, s)
		}
	}
}

// TestUnknownKindLinksNothing: a row with a key of a kind that is not declared links none of its keys.
func TestUnknownKindLinksNothing(t *testing.T) {
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml": "sources:\n  - {name: l, kind: links, path: l.csv, fields: {left: a, left_kind: ka, right: b, right_kind: kb}}\n" +
			"  - {name: e, path: e.csv, columns: {user: user, item: item}, user_kind: cookie}\nusers: {kinds: [account, cookie]}\n",
		"l.csv": "a,ka,b,kb\n1,account,c1,cookie\n2,account,p,phone\np,phone,c2,cookie\n", "e.csv": "user,item\nc1,A\nc2,A\n",
	}), pipeline.Options{})
	if l := got.source(t, "l"); l.Reasons["unknown_kind"] != 2 || got.report.Users.Links.Keys != 2 || got.events[0].User != "1" || got.events[1].User != "cookie:c2" {
		t.Errorf("%+v, %+v, events of %s and %s", l, got.report.Users.Links, got.events[0].User, got.events[1].User)
	}
}

// TestEqualFiles: equal rows of two files of a source are two events, and have the ids of the fast way.
func TestEqualFiles(t *testing.T) {
	var ids [][]string
	for _, how := range []string{"columns", "fields"} {
		got := mustRun(t, folder(t, map[string]string{
			"map.yaml":  "sources: [{name: logs, path: 'log-*.csv', " + how + ": {user: user, item: item}}]\n",
			"log-a.csv": "user,item\nu,i\n", "log-b.csv": "user,item\nu,i\n",
		}), pipeline.Options{})
		var of []string
		for _, e := range got.events {
			of = append(of, e.ID)
		}
		ids = append(ids, of)
	}
	if len(ids[0]) != 2 || ids[0][0] == ids[0][1] || !slices.Equal(ids[0], ids[1]) {
		t.Errorf("ids by columns %v, by fields %v", ids[0], ids[1])
	}
}

// TestNulInLinks refuses a key that no event can have.
func TestNulInLinks(t *testing.T) {
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml": "sources:\n  - {name: l, kind: links, path: l.csv, keys: [account, cookie], fields: {account: account, cookie: cookie}}\n" +
			"  - {name: p, kind: users, path: p.csv, fields: {user: user, city: city}}\nusers: {kinds: [account, cookie]}\n",
		"l.csv": "account,cookie\nA\x00B,k1\nA,k2\n", "p.csv": "user,city\nA,Bonn\n",
	}), pipeline.Options{})
	if l := got.source(t, "l"); l.Reasons["bad_key"] != 1 || l.Kept != 1 || len(got.profiles) != 1 {
		t.Errorf("%+v, %d profiles", l, len(got.profiles))
	}
}
