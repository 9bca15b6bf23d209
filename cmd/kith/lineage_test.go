package main

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/server/clustertest"
)

// fused is a shop of three sources, of which one is cleaned.
var fused = map[string]string{
	"map.yaml": `
sources:
  - {name: log, path: log.csv, user_kind: cookie, columns: {user: cookie, item: sku}}
  - {name: seen, kind: links, path: seen.csv, keys: [account, cookie], fields: {account: account, cookie: cookie}}
  - {name: people, kind: users, path: people.csv, fields: {user: id, city: city}, clean: [{rule: text, name: tidy, fields: [city]}]}
  - {name: goods, kind: products, path: goods.csv, fields: {item: sku, price: {column: price, type: number}}}
users: {kinds: [account, cookie]}
`,
	"log.csv":    "cookie,sku\nc1,A\nc1,B\nc9,A\n",
	"seen.csv":   "account,cookie\n17,c1\n",
	"people.csv": "id,city\n17,Bad  Honnef\n",
	"goods.csv":  "sku,price\nA,10\nB,20\n",
}

// TestLineage ingests a mapping into a cluster, then with a link that was not known before, and asks where a user comes from. Ingesting again changes nothing.
func TestLineage(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range fused {
		write(name, text)
	}
	mapping := filepath.Join(dir, "map.yaml")
	ingest := []string{"ingest", "--mapping", mapping, "--dead-letters", "none", "--addr", addrsOf(c)}
	write("seen.csv", "account,cookie\n17,c8\n")
	early := mustJSON[jsonIngest](t, ingest...)
	if early.Appended != 3 || early.Stored.Changed != 3 || early.Joined.any() {
		t.Errorf("before the link is known: %+v", early)
	}
	write("seen.csv", fused["seen.csv"])
	report := filepath.Join(dir, "report.json")
	joined := func() (out pipeline.Joins) {
		t.Helper()
		var told pipeline.Report
		if text, err := os.ReadFile(report); err != nil || json.Unmarshal(text, &told) != nil || told.Users == nil || told.Users.Stored == nil {
			t.Errorf("the report says nothing of joins: %v, %+v", err, told.Users)
			return out
		}
		return *told.Users.Stored
	}
	first := mustJSON[jsonIngest](t, append(ingest, "--report", report)...)
	if first.Appended != 0 || first.Duplicates != 3 || first.Users != 2 || first.Stored.Changed != 1 || first.Joined.Keys != 1 || first.Joined.Events != 2 {
		t.Errorf("once the link is known: %+v", first)
	}
	if got := joined(); got.Keys != 1 || got.Events != 2 || got.Known != 0 {
		t.Errorf("report of the run that knows the link: %+v", got)
	}
	page := filepath.Join(dir, "report.html")
	mustKith(t, "ingest", "--dry-run", "--mapping", mapping, "--dead-letters", "none", "--report", page)
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "<svg") || !strings.Contains(string(text), "people") {
		t.Errorf("page of %d bytes, %v", len(text), err)
	}
	again := mustJSON[jsonIngest](t, append(ingest, "--report", report)...)
	if again.Appended != 0 || again.Duplicates != 3 || again.Stored.Changed != 0 || again.Stored.Unchanged != 3 || !again.Complete {
		t.Errorf("again: %+v", again)
	}
	if got := joined(); got.Keys != 0 || got.Known != 1 {
		t.Errorf("report of the run after: %+v", got)
	}
	var told pipeline.Report
	if text, err := os.ReadFile(report); err != nil || json.Unmarshal(text, &told) != nil || told.Events.Events != 3 || len(told.Sources) != 4 {
		t.Errorf("report %+v, %v", told, err)
	}
	if bad := kith(t, nil, append(ingest, "--report", "report.txt")...); bad.code != exitUsage || !strings.Contains(bad.err, ".html or .json") {
		t.Errorf("%+v", bad)
	}
	got := mustJSON[jsonLineage](t, "lineage", "user", "17", "--mapping", mapping, "--addr", addrsOf(c))
	if d := cmp.Diff(jsonLineage{
		Kind: "user", Key: "17", Attributes: map[string]string{"city": `"Bad Honnef"`},
		Lineage: &pipeline.Lineage{
			Keys: []pipeline.LineageKey{{Kind: "account", Text: "17"}, {Kind: "cookie", Text: "c1"}}, KeyCount: 2,
			Rows: []pipeline.LineageRow{{Source: "people", Line: 2, Rules: []string{"tidy"}}}, RowCount: 1,
			Fields: map[string]pipeline.LineageField{"city": {}},
		},
		Events: []eventOrigin{{Source: "log", Events: 2, First: 2, Last: 3}},
	}, got); d != "" {
		t.Error(d)
	}
	text := mustKith(t, "lineage", "user", "17", "--addr", addrsOf(c))
	for _, want := range []string{"2 keys that are one: account 17, cookie c1", "tidy", "people", "2 to 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if anonymous := mustJSON[jsonLineage](t, "lineage", "user", "cookie:c9", "--addr", addrsOf(c)); anonymous.Lineage != nil || len(anonymous.Events) != 1 {
		t.Errorf("cookie:c9: %+v", anonymous)
	}
	product := mustJSON[jsonLineage](t, "lineage", "product", "A", "--addr", addrsOf(c))
	if names := slices.Sorted(maps.Keys(product.Fields)); !slices.Equal(names, []string{"price"}) || product.Rows[0].Source != "goods" {
		t.Errorf("product: %+v", product)
	}
	if missing := kith(t, nil, "lineage", "user", "c1", "--addr", addrsOf(c)); missing.code != exitError || !strings.Contains(missing.err, "cookie:c1") {
		t.Errorf("missing: %+v", missing)
	}
	if told := mustKith(t, "users", "join", "cookie:c9", "17", "--addr", addrsOf(c)); !strings.Contains(told, "joined to 17, with 1 event") {
		t.Errorf("join: %s", told)
	}
	if refused := kith(t, nil, "users", "join", "cookie:c9", "18", "--addr", addrsOf(c)); refused.code != exitError || !strings.Contains(refused.err, `"17"`) {
		t.Errorf("join to another: %+v", refused)
	}
	if told := mustKith(t, "erase", "17", "--addr", addrsOf(c)); !strings.Contains(told, `"joined"`) {
		t.Errorf("receipt without the joined keys: %s", told)
	}
	if gone := kith(t, nil, "lineage", "user", "17", "--addr", addrsOf(c)); gone.code != exitError || strings.Contains(gone.out, "c1") {
		t.Errorf("erased: %+v", gone)
	}
}

// TestEventOrigins: sources of files of a folder have their names, and ids of other programs that look like ours invent none.
func TestEventOrigins(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"map.yaml":         "sources: [{name: logs, path: logs}, {name: one, path: one.csv}, {name: gone, path: '${KITH_TEST_NOWHERE}/x.csv'}]\n",
		"logs/january.csv": "user,item\nu,A\nu,B\n",
		"one.csv":          "user,item\nu,A\n",
		"other.csv":        "user,item\nu,A\nu,B\nu,C\n",
		"single.csv":       "user,item\nu,A\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mapping := filepath.Join(dir, "map.yaml")
	names, err := namedSources(mapping)
	if err != nil || !slices.Contains(names, namedSource{"logs", "january.csv"}) || !slices.Contains(names, namedSource{name: "gone"}) {
		t.Fatalf("%v, %v", names, err)
	}
	tally := originTally{names: names, made: map[fusion.Origin]*eventOrigin{}}
	for _, m := range []fusion.Mapping{
		{Name: "logs", Path: filepath.Join(dir, "logs")}, {Path: filepath.Join(dir, "one.csv")}, {Path: filepath.Join(dir, "other.csv")}, {Path: filepath.Join(dir, "single.csv")},
	} {
		if m.Name == "" {
			m.Name = strings.TrimSuffix(filepath.Base(m.Path), ".csv")
		}
		if _, err := fusion.Events(t.Context(), m, nil, 0, func(events []fusion.Event) error {
			for i := range events {
				tally.add(events[i].ID)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	tally.add("E17")
	for i := range 20 { // hashes in hexadecimal digits, and in the alphabet of ours
		sum := sha256.Sum256([]byte{byte(i)})
		tally.add(hex.EncodeToString(sum[:16]))
		tally.add(strings.ToLower(base32.HexEncoding.EncodeToString(sum[:20])))
	}
	got := tally.origins()
	i := slices.IndexFunc(got, func(o eventOrigin) bool { return strings.HasPrefix(o.Source, "#") })
	if i < 0 {
		t.Fatalf("no source without a name in %+v", got)
	}
	got[i].Source = "#"
	if d := cmp.Diff([]eventOrigin{
		{Source: unknownIDs, Events: 41}, // that of single.csv among them
		{Source: "#", Events: 3, First: 2, Last: 4},
		{Source: "logs january.csv", Events: 2, First: 2, Last: 3},
		{Source: ownIDs, Events: 1},
		{Source: "one", Events: 1, First: 2, Last: 2},
	}, got); d != "" {
		t.Error(d)
	}
}

// TestUserKey: the key of a user is told as ingestion stores it.
func TestUserKey(t *testing.T) {
	dir := t.TempDir()
	mapping := filepath.Join(dir, "map.yaml")
	for _, c := range []struct{ users, kind, want string }{
		{"kinds: [account, cookie]", "", "17\n"},
		{"kinds: [account, cookie]", "cookie", "cookie:17\n"},
		{"kinds: [account, cookie], pseudonyms: true", "", "32"},
	} {
		t.Setenv("KITH_TEST_SECRET", "a secret for tests alone")
		if err := os.WriteFile(mapping, []byte("sources: [{path: log.csv}]\nsecret_env: KITH_TEST_SECRET\nusers: {"+c.users+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := mustKith(t, "users", "key", "17", "--mapping", mapping, "--kind", c.kind)
		if c.want != "32" && got != c.want || c.want == "32" && (len(got) != 33 || strings.Contains(got, "17\n")) {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	if bad := kith(t, nil, "users", "key", "17", "--mapping", mapping, "--kind", "phone"); bad.code != exitUsage || !strings.Contains(bad.err, "users.kinds") {
		t.Errorf("%+v", bad)
	}
}
