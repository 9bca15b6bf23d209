package pipeline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/fusion/record"
)

// everything runs map.yaml of some files, and returns what it made with all that anybody could see of it, as one text.
func everything(t *testing.T, files map[string]string) (result, string) {
	t.Helper()
	secret(t)
	path := filepath.Join(t.TempDir(), "dead")
	dead := fusion.NewDeadLetterWriter(path)
	got := mustRun(t, folder(t, files), pipeline.Options{Dead: dead})
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	letters, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := json.Marshal(got.report)
	if err != nil {
		t.Fatal(err)
	}
	all := string(letters) + string(report)
	for _, r := range got.profiles {
		all += fmt.Sprintf("%v %s", r.Attributes, r.Places)
	}
	for _, r := range got.products {
		all += fmt.Sprintf("%v %s", r.Attributes, r.Places)
	}
	for _, e := range got.events {
		all += fmt.Sprintf("%+v", e)
	}
	return got, all
}

// TestPseudonymsAreAllThatIsTold: the key of no user stands anywhere, also of sources without personal fields, whatever is wrong with a row.
func TestPseudonymsAreAllThatIsTold(t *testing.T) {
	got, all := everything(t, map[string]string{
		"map.yaml": `
sources:
  - {name: fast, path: fast.csv, columns: {user: who, item: what, value: n, behavior: did}}
  - {name: ruled, path: ruled.csv, user_kind: cookie, columns: {user: who, item: what, time: at},
     clean: [{rule: pattern, name: short, fields: [item], match: '^.$'}, {rule: text, name: tidy, fields: [user], steps: [trim]}, {rule: missing, name: timed, fields: [time], with: median, by: user}]}
  - {name: lines, kind: orders, path: lines.csv, join: [{source: heads, on: {order: order}, take: {user: who, time: at}}], fields: {order: order, item: what}}
  - {name: heads, kind: tables, path: heads.csv, fields: {order: order, who: {column: who, required: true}, at: {column: at, type: time}}}
  - {name: seen, kind: links, path: seen.csv, fields: {left: a, left_kind: ka, right: b, right_kind: kb}}
  - {name: people, kind: users, path: people.csv, fields: {user: who, age: {column: age, type: number}, text: text}}
  - {name: more, kind: users, path: more.csv, fields: {user: who, age: {column: age, type: number}}}
users: {kinds: [account, cookie], pseudonyms: true}
secret_env: KITH_TEST_SECRET
`,
		"fast.csv":   "who,what,n,did\nUSER1,A,1,view\nUSER2,B,many,view\nUSER3,C,1,???\nUSER4,,1,view\n",
		"ruled.csv":  "who,what,at\nUSER5,A,2025-01-01\nUSER5,LONG,2025-01-01\nUSER6,C,soon\nUSER7,D,\n",
		"lines.csv":  "order,what\n1,A\n2,B\n",
		"heads.csv":  "order,who,at\n1,USER8,2025-01-01\n9,USER9,never\n",
		"seen.csv":   "a,ka,b,kb\nUSER1,account,USER5,cookie\nUSER10,account,USER11,phone\nUSER12,account,USER5,cookie\nUSER14,account,USER5,cookie\n",
		"people.csv": "who,age,text\nUSER1,17,x\nUSER13,old,x\nUSER15,17," + strings.Repeat("long ", 20_000) + "\n",
		"more.csv":   "who,age\nUSER1,18\n",
	})
	for source, want := range map[string]int64{"fast": 3, "ruled": 2, "lines": 1, "heads": 1, "seen": 1, "people": 2} {
		if s := got.source(t, source); s.Rejected != want || len(s.Samples) == 0 || !s.Private {
			t.Errorf("%s: %d rejected, %d samples, private %v; want %d", source, s.Rejected, len(s.Samples), s.Private, want)
		}
	}
	if len(got.events) != 4 || len(got.report.Users.Links.Samples) == 0 {
		t.Errorf("%d events, report of links %+v", len(got.events), got.report.Users.Links)
	}
	if i := strings.Index(all, "USER"); i >= 0 {
		t.Errorf("a user is told: ...%.300s", all[max(0, i-200):])
	}
}

// TestJoinedPrivacy: what is personal or hashed in a source is so where it is joined.
func TestJoinedPrivacy(t *testing.T) {
	got, all := everything(t, map[string]string{
		"map.yaml": `
sources:
  - {name: lines, kind: orders, path: lines.csv, join: [{source: heads, on: {order: number}, take: {user: customer, contact: mail, tel: phone}}], fields: {order: order, item: item, quantity: n}}
  - {name: heads, kind: tables, path: heads.csv, fields: {number: number, customer: customer, mail: mail, phone: phone}, personal: [mail], hashed: [phone]}
secret_env: KITH_TEST_SECRET
`,
		"lines.csv": "order,item,n\n1,A,1\n1,B,1\n2,A,1\n3,C,1\n",
		"heads.csv": "number,customer,mail,phone\n1,17,a@example.net,0228-1\n2,18,b@example.net,0228-2\n",
	})
	for _, word := range []string{"@example.net", "0228"} {
		if strings.Contains(all, word) {
			t.Errorf("%q is told", word)
		}
	}
	if len(got.events) != 3 || got.source(t, "lines").Samples[0].Detail != fusion.Withheld {
		t.Fatalf("%d events, %+v", len(got.events), got.source(t, "lines"))
	}
	a, b, c := got.events[0].Context, got.events[1].Context, got.events[2].Context
	if len(a["tel"]) != 32 || a["tel"] != b["tel"] || a["tel"] == c["tel"] || a["contact"] != "" || len(a) != 2 {
		t.Errorf("contexts %v, %v and %v", a, b, c)
	}
}

// TestPrivateStatistics: the numbers that a rule goes by are values of somebody where the field must not be shown.
func TestPrivateStatistics(t *testing.T) {
	var people strings.Builder
	people.WriteString("id,age,height\n")
	for i := range 40 {
		fmt.Fprintf(&people, "%d,%d,%d\n", i, 20+i, 160+i)
	}
	got, _ := everything(t, map[string]string{
		"map.yaml": `
sources:
  - name: people
    kind: users
    path: people.csv
    fields: {user: id, age: {column: age, type: number}, height: {column: height, type: number}}
    personal: [age]
    clean: [{rule: outliers, name: far, fields: [age, height], method: percentile, lower: 0, upper: 0.99}]
`,
		"people.csv": people.String(),
	})
	rule := got.source(t, "people").Clean.Rules[0]
	if len(rule.Statistics) != 2 || rule.MoreStatistics != 2 {
		t.Fatalf("%+v", rule)
	}
	for _, s := range rule.Statistics {
		if s.Field != "height" {
			t.Errorf("told: %+v", s)
		}
	}
}

// TestPseudonymIDs: ids that kith made say where their row is also with pseudonyms, and all others say nothing, nor look as if they did.
func TestPseudonymIDs(t *testing.T) {
	secret(t)
	const hex = "0123456789abcdef0123456789abcdef" // a hash that another program took for an id
	files := map[string]string{
		"map.yaml": `
sources:
  - {name: logs, path: 'log-*.csv', columns: {user: user, item: item}}
  - {name: own, path: own.csv, fields: {user: user, item: item, id: id}}
users: {pseudonyms: true}
secret_env: KITH_TEST_SECRET
`,
		"log-a.csv": "user,item\nu,A\nu,B\n", "log-b.csv": "user,item\nu,A\n",
		"own.csv": "user,item,id\nu,A," + hex + "\nu,B,\nu,C,\nu,D,E17\n",
	}
	dir := folder(t, files)
	got := mustRun(t, dir, pipeline.Options{})
	files["map.yaml"] = strings.Replace(files["map.yaml"], "pseudonyms: true", "pseudonyms: false", 1)
	plain := mustRun(t, folder(t, files), pipeline.Options{})
	want := []record.Place{
		{Source: "logs", File: "log-a.csv", Line: 2},
		{Source: "logs", File: "log-a.csv", Line: 3},
		{Source: "logs", File: "log-b.csv", Line: 2},
		{},
		{Source: "own", Line: 3},
		{Source: "own", Line: 4},
		{},
	}
	if len(got.events) != len(want) || len(plain.events) != len(want) {
		t.Fatalf("%d and %d events, want %d", len(got.events), len(plain.events), len(want))
	}
	ids := map[string]bool{}
	for i, place := range want {
		id := got.events[i].ID
		ids[id] = true
		o, ok := fusion.OriginOf(id)
		if ok != (place.Source != "") || ok && !o.At(place) || id == plain.events[i].ID {
			t.Errorf("event %d: id %s, %s without pseudonyms, is of %v, %v; want %v", i, id, plain.events[i].ID, o, ok, place)
		}
	}
	again := mustRun(t, dir, pipeline.Options{})
	for _, e := range again.events {
		if !ids[e.ID] {
			t.Errorf("another run made the id %s", e.ID)
		}
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids of %d events", len(ids), len(want))
	}
	t.Setenv("KITH_TEST_SECRET", "another secret for tests")
	for i, e := range mustRun(t, dir, pipeline.Options{}).events {
		if ids[e.ID] {
			t.Errorf("event %d: the secret does not count in %s", i, e.ID)
		}
	}
}
