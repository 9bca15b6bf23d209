package fusion_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/source"
)

// eventsOf reads a source.
func eventsOf(t *testing.T, m fusion.Mapping, dead *fusion.DeadLetterWriter) (events []fusion.Event, report fusion.Report) {
	t.Helper()
	report, err := fusion.Events(t.Context(), m, dead, 2, func(batch []fusion.Event) error {
		events = append(events, batch...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, report
}

// TestFilesOfOneSource: equal lines of two files are two events, whose ids stay when the folder moves or files come in between; the baskets of two files
// are not one; and what is refused names its file.
func TestFilesOfOneSource(t *testing.T) {
	write := func(dir, name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, moved := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, moved} {
		write(d, "a/x.csv", "user,item\nu,i\n")
		write(d, "b/x.csv", "item,user\ni,u\n,v\n")
	}
	write(moved, "a/a.csv", "user,item\nu,j\n")
	ids := func(dir, item string) (ids []string) {
		t.Helper()
		events, _ := eventsOf(t, fusion.Mapping{Name: "logs", Path: filepath.Join(dir, "**", "*.csv")}, nil)
		for _, e := range events {
			if e.User != "u" || e.Item != "i" && e.Item != "j" {
				t.Errorf("got %+v", e)
			}
			if e.Item == item {
				ids = append(ids, e.ID)
			}
		}
		return ids
	}
	got := ids(dir, "i")
	if len(got) != 2 || got[0] == got[1] {
		t.Errorf("ids %q; want two", got)
	}
	if d := cmp.Diff(got, ids(moved, "i")); d != "" {
		t.Errorf("in another place: %s", d)
	}
	// The id of a file of its own is that of versions before there were several.
	single, _ := eventsOf(t, fusion.Mapping{Name: "logs", Path: filepath.Join(dir, "a", "x.csv")}, nil)
	if want := "j3pou4mr0000000200000711vdjev9uk"; single[0].ID != want || slices.Contains(got, want) {
		t.Errorf("id of a single file: %s; want %s", single[0].ID, want)
	}

	path := filepath.Join(t.TempDir(), "dead")
	dead := fusion.NewDeadLetterWriter(path)
	_, report := eventsOf(t, fusion.Mapping{Name: "logs", Path: filepath.Join(dir, "**", "*.csv")}, dead)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"source":"logs","file":"b/x.csv","line":3,`) || report.Rejected != 1 {
		t.Errorf("dead letters %s, %v", text, err)
	}
	write(dir, "bad/x.csv", "user,item\n,i\n")
	_, err = fusion.Events(t.Context(), fusion.Mapping{Path: filepath.Join(dir, "bad", "*")}, nil, 0, func([]fusion.Event) error { return nil })
	if !errors.Is(err, fusion.ErrNoValidRow) || !strings.Contains(err.Error(), "x.csv, line 2") {
		t.Errorf("got %v; want the file and the line", err)
	}

	write(dir, "baskets/1.txt", "a b\n")
	write(dir, "baskets/2.txt", "a b\n")
	users := map[string]int{}
	events, _ := eventsOf(t, fusion.Mapping{Path: filepath.Join(dir, "baskets"), Source: source.Options{Format: source.Baskets}}, nil)
	for _, e := range events {
		users[e.User]++
	}
	if want := map[string]int{"baskets/1.txt:1": 2, "baskets/2.txt:1": 2}; !cmp.Equal(users, want) {
		t.Errorf("users %v; want %v", users, want)
	}
}

// TestExplodedOrders: each element is an event of its own, also with equal fields, and a column that the first rows lack is found.
func TestExplodedOrders(t *testing.T) {
	dir := t.TempDir()
	text := `sources:
  - {path: o.log, format: jsonl, explode: items, columns: {user: user.id, item: items.sku, value: items.n, context: {channel: from.channel}}, behavior: purchase}
`
	if err := os.WriteFile(filepath.Join(dir, "map.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	orders := `{"user":{"id":1},"items":[{"sku":"a","n":2},{"sku":"a","n":2}]}` + "\n" + strings.Repeat(`{"user":{"id":2},"items":[]}`+"\n", 1500) +
		`{"user":{"id":3},"from":{"channel":"app"},"items":[{"sku":"b","n":1.5}]}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "o.log"), []byte(orders), 0o600); err != nil {
		t.Fatal(err)
	}
	ms, err := fusion.ReadMappings(filepath.Join(dir, "map.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	events, report := eventsOf(t, ms[0], nil)
	if report.Reasons["no_item"] != 1500 || len(events) != 3 {
		t.Fatalf("got %d events, %+v", len(events), report)
	}
	if events[0].ID == events[1].ID || events[0].Value != 2 || events[2].Value != 1.5 || events[2].Context["channel"] != "app" || events[2].User != "3" {
		t.Errorf("got %+v", events)
	}
}
