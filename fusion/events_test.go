package fusion

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kith-io/kith/source"
)

// events reads all events of a source.
func events(t testing.TB, m Mapping) ([]Event, Report, error) {
	t.Helper()
	var out []Event
	report, err := Events(t.Context(), m, nil, 3, func(batch []Event) error {
		if len(batch) == 0 || len(batch) > 3 {
			t.Errorf("a batch of %d events", len(batch))
		}
		out = append(out, batch...)
		return nil
	})
	if report.Read != report.Kept+report.Rejected || report.Kept != int64(len(out)) {
		t.Errorf("%s: read %d, kept %d, rejected %d, events %d", report.Name, report.Read, report.Kept, report.Rejected, len(out))
	}
	sum := int64(0)
	for _, n := range report.Reasons {
		sum += n
	}
	if sum != report.Rejected {
		t.Errorf("%s: %d rejected, but reasons %v", report.Name, report.Rejected, report.Reasons)
	}
	for i := range out {
		if err := out[i].Validate(); err != nil || out[i].ID == "" {
			t.Errorf("event %+v: %v", out[i], err)
		}
	}
	return out, report, err
}

func TestEvents(t *testing.T) {
	type options = source.Options
	tests := []struct {
		name, file, in string
		m              Mapping
		want           []Event // without ID
		report         Report  // without Name and Read
	}{
		{
			name: "ratings", in: "userId,movieId,rating,timestamp\n1,2,3.5,881250949\n1,3,-1,0\n",
			want:   []Event{{User: "1", Item: "2", Behavior: Rating, Value: 3.5, Time: 881250949000}, {User: "1", Item: "3", Behavior: Rating, Value: -1}},
			report: Report{Kept: 2},
		},
		{
			name: "pairs", in: "a\tb\nc\td\n", file: "x.tsv",
			want:   []Event{{User: "a", Item: "b", Behavior: View, Value: 1}, {User: "c", Item: "d", Behavior: View, Value: 1}},
			report: Report{Kept: 2},
		},
		{
			name: "constant behavior", in: "user,item,quantity\na,b,2\nc,d,\n", m: Mapping{Behavior: Purchase},
			want:   []Event{{User: "a", Item: "b", Behavior: Purchase, Value: 2}, {User: "c", Item: "d", Behavior: Purchase, Value: 1}},
			report: Report{Kept: 2},
		},
		{
			name: "constant behavior beside a column called type", in: "user,item,type\na,b,cart\n", m: Mapping{Behavior: Purchase},
			want:   []Event{{User: "a", Item: "b", Behavior: Purchase, Value: 1}},
			report: Report{Kept: 1},
		},
		{
			name: "behaviors by name", in: "user,item,event\na,b,view\na,b,Purchase\na,b,wish\na,b,\na,b,So so\n",
			want: []Event{
				{User: "a", Item: "b", Behavior: View, Value: 1}, {User: "a", Item: "b", Behavior: Purchase, Value: 1}, {User: "a", Item: "b", Behavior: "wish", Value: 1},
			},
			report: Report{Kept: 3, Rejected: 2, Reasons: map[string]int64{"bad_behavior": 2}},
		},
		{
			name: "behaviors translated", in: "user,item,status\na,b,paid\na,b,REFUNDED\na,b,view\na,b,\n",
			m:      Mapping{Columns: Columns{Behavior: "status"}, Behavior: Cart, Behaviors: map[string]Behavior{"paid": Purchase, "refunded": Cancel}},
			want:   []Event{{User: "a", Item: "b", Behavior: Purchase, Value: 1}, {User: "a", Item: "b", Behavior: Cancel, Value: 1}, {User: "a", Item: "b", Behavior: Cart, Value: 1}},
			report: Report{Kept: 3, Rejected: 1, Reasons: map[string]int64{"bad_behavior": 1}},
		},
		{
			name: "a column called type that holds none", in: "user,item,type\na,b,books\n",
			want:   []Event{{User: "a", Item: "b", Behavior: View, Value: 1}},
			report: Report{Kept: 1},
		},
		{
			name: "a column called behavior is one", in: "user,item,behavior\na,b,click\n",
			want:   []Event{{User: "a", Item: "b", Behavior: "click", Value: 1}},
			report: Report{Kept: 1},
		},
		{
			name: "ratings among behaviors", in: "user,item,action,value\na,b,rating,4\na,b,rating,\na,b,view,\n",
			want:   []Event{{User: "a", Item: "b", Behavior: Rating, Value: 4}, {User: "a", Item: "b", Behavior: View, Value: 1}},
			report: Report{Kept: 2, Rejected: 1, Reasons: map[string]int64{"bad_value": 1}},
		},
		{
			name: "ratings without values", in: "user,item,action\na,b,rating\na,b,view\n",
			want:   []Event{{User: "a", Item: "b", Behavior: View, Value: 1}},
			report: Report{Kept: 1, Rejected: 1, Reasons: map[string]int64{"bad_value": 1}},
		},
		{
			name: "bad rows", in: "user,item,rating,time\n,b,1,1\n ,b,1,1\na,,1,1\nNA,b,1,1\na,null,1,1\na,b,,1\na,b,x,1\na,b,NaN,1\na,b,1,x\na,b,1,-1\na,b,1\na,b,1,1,1\na\x00,b,1,1\n" +
				"a,b\xff,1,1\n" + strings.Repeat("u", 257) + ",b,1,1\n\"a\"b,c,1,1\na,b,1,1\n",
			want: []Event{{User: "a", Item: "b", Behavior: Rating, Value: 1, Time: 1000}},
			report: Report{Kept: 1, Rejected: 16, Reasons: map[string]int64{
				"no_user": 3, "no_item": 2, "bad_value": 3, "bad_time": 2, "columns": 2, "bad_key": 2, "key_too_long": 1, "quote": 1,
			}},
		},
		{
			name: "repaired", in: "user;item;rating\n a ;b;3,5\nc;\td;-1\n", file: "x.csv",
			want:   []Event{{User: "a", Item: "b", Behavior: Rating, Value: 3.5}, {User: "c", Item: "d", Behavior: Rating, Value: -1}},
			report: Report{Kept: 2, Repaired: 2},
		},
		{
			name: "no decimal comma in comma files", in: "user,item,rating\na,b,\"3,5\"\na,b,3\n", file: "x.csv",
			want:   []Event{{User: "a", Item: "b", Behavior: Rating, Value: 3}},
			report: Report{Kept: 1, Rejected: 1, Reasons: map[string]int64{"bad_value": 1}},
		},
		{
			name: "short rows of a file without header", in: "92834\n1,2,3\n4,5,6\n7,8\n1,2,3,4\n",
			want: []Event{
				{User: "1", Item: "2", Behavior: Rating, Value: 3}, {User: "4", Item: "5", Behavior: Rating, Value: 6}, {User: "1", Item: "2", Behavior: Rating, Value: 3},
			},
			report: Report{Kept: 3, Rejected: 2, Reasons: map[string]int64{"short_row": 2}},
		},
		{
			name: "lines", in: "u1 a b\nu2\nu3 NA\n", m: Mapping{Source: options{Format: source.Lines}},
			want:   []Event{{User: "u1", Item: "a", Behavior: View, Value: 1}, {User: "u1", Item: "b", Behavior: View, Value: 1}},
			report: Report{Kept: 2, Rejected: 2, Reasons: map[string]int64{"no_item": 2}},
		},
		{
			name: "baskets", in: "milk,bread \n\nmilk\n", file: "x.csv", m: Mapping{Source: options{Format: source.Baskets}, Behavior: Purchase},
			want: []Event{
				{User: "x.csv:1", Item: "milk", Behavior: Purchase, Value: 1},
				{User: "x.csv:1", Item: "bread", Behavior: Purchase, Value: 1},
				{User: "x.csv:3", Item: "milk", Behavior: Purchase, Value: 1},
			},
			report: Report{Kept: 3, Repaired: 1},
		},
		{
			name: "names make a header", in: "who,what\nx,y\n", m: Mapping{Columns: Columns{User: "who", Item: "what"}},
			want:   []Event{{User: "x", Item: "y", Behavior: View, Value: 1}},
			report: Report{Kept: 1},
		},
		{
			name: "context", in: "user,item,shop,device\na,b,north,\nc,d,,\n", m: Mapping{Columns: Columns{Context: map[string]string{"s": "shop", "d": "4"}}},
			want:   []Event{{User: "a", Item: "b", Behavior: View, Value: 1, Context: map[string]string{"s": "north"}}, {User: "c", Item: "d", Behavior: View, Value: 1}},
			report: Report{Kept: 2},
		},
		{
			name: "bad context", in: "user,item,x\na,b,\xff\na,b," + strings.Repeat("x", 5000) + "\nc,d,e\n", m: Mapping{Columns: Columns{Context: map[string]string{"x": "x"}}},
			want:   []Event{{User: "c", Item: "d", Behavior: View, Value: 1, Context: map[string]string{"x": "e"}}},
			report: Report{Kept: 1, Rejected: 2, Reasons: map[string]int64{"bad_context": 2}},
		},
		{
			name: "times in one unit", in: "user,item,time\na,b,1000\na,b,1430623510000\na,b,1430623510001\n", m: Mapping{},
			want: []Event{
				{User: "a", Item: "b", Behavior: View, Value: 1, Time: 1000},
				{User: "a", Item: "b", Behavior: View, Value: 1, Time: 1430623510000},
				{User: "a", Item: "b", Behavior: View, Value: 1, Time: 1430623510001},
			},
			report: Report{Kept: 3},
		},
		{
			name: "time layout", in: "user,item,time\na,b,03/04/2021\n", m: Mapping{TimeLayout: "02/01/2006"},
			want:   []Event{{User: "a", Item: "b", Behavior: View, Value: 1, Time: 1617408000000}},
			report: Report{Kept: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file == "" {
				tt.file = "x.txt"
			}
			tt.m.Path = writeFile(t, tt.file, tt.in)
			got, report, err := events(t, tt.m)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Event{}, "ID")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.report, report, cmpopts.IgnoreFields(Report{}, "Name", "Read"), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if report.Name != tt.file {
				t.Errorf("name %s", report.Name)
			}
		})
	}
}

// TestEventIDs: reading again makes the same ids, whatever the batch; another name or row makes others.
func TestEventIDs(t *testing.T) {
	ids := func(name, text string, c Columns) []string {
		m := Mapping{Name: name, Path: writeFile(t, "x.csv", text), Columns: c}
		got, _, err := events(t, m)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for i := range got {
			out = append(out, got[i].ID)
		}
		return out
	}
	const text = "user,item,shop\na,b,n\na,b,n\nc,d,s\n"
	first := ids("s", text, Columns{})
	if again := ids("s", text, Columns{}); !cmp.Equal(again, first) {
		t.Error(cmp.Diff(first, again))
	}
	if again := ids("s", text, Columns{Context: map[string]string{"shop": "shop"}}); !cmp.Equal(again, first) {
		t.Errorf("the context changes ids: %s", cmp.Diff(first, again))
	}
	if first[0] == first[1] {
		t.Error("equal rows have one id")
	}
	if other := ids("r", text, Columns{}); other[0] == first[0] {
		t.Error("the name does not count")
	}
	edited := ids("s", strings.Replace(text, "c,d", "c,e", 1), Columns{})
	if edited[0] != first[0] || edited[2] == first[2] {
		t.Error("an edited row has its old id, or another row a new one")
	}
	if got, want := ids("s", "user,item,id\na,b,7\nc,d, 8 \ne,f,\n", Columns{}), []string{"7", "8"}; !cmp.Equal(got[:2], want) || len(got[2]) != 32 {
		t.Errorf("ids of the file: %q", got)
	}
}

func TestEventsOfStandardInput(t *testing.T) {
	f, err := os.Open(writeFile(t, "x.csv", "user,item\na,b\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer func(old *os.File) {
		os.Stdin = old
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}(os.Stdin)
	os.Stdin = f
	got, report, err := events(t, Mapping{Path: "-"})
	if err != nil || len(got) != 1 || report.Name != "stdin" {
		t.Errorf("%+v, %+v, %v", got, report, err)
	}
}

func TestEventsWithoutValidRow(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", "x.csv: no valid row: the file has no rows"},
		{"blank", "\n\n\n", "the file has no rows"},
		{"header only", "user,item\n", "the file has no rows"},
		{"all bad", "user,item,time\na,,1\na,b,x\na,,3\n", "3 rows rejected (no_item 2, bad_time 1), the first at line 2: no item"},
		{"one column", "a\nb\n", "no column for the item"},
		{"unreadable rows", "\"a\"b\n", "1 rows rejected (quote 1), the first at line 1"},
		{"unreadable rows first", strings.Repeat("\"a\"b\n", 100) + "c,d\n", "101 rows rejected (quote 100, short_row 1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := events(t, Mapping{Path: writeFile(t, "x.csv", tt.in)})
			if !errors.Is(err, ErrNoValidRow) && !errors.Is(err, ErrMapping) || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q", err, tt.want)
			}
		})
	}
}

func TestEventsErrors(t *testing.T) {
	good := writeFile(t, "x.csv", "user,item\na,b\nc,d\n")
	t.Run("mapping", func(t *testing.T) {
		for _, m := range []Mapping{{}, {Path: good, TimeUnit: "h"}, {Path: good, Columns: Columns{Item: "thing"}}} {
			if _, report, err := events(t, m); !errors.Is(err, ErrMapping) || report.Name != m.name() {
				t.Errorf("%+v: %v with %+v", m, err, report)
			}
		}
	})
	t.Run("no file", func(t *testing.T) {
		if _, _, err := events(t, Mapping{Path: filepath.Join(t.TempDir(), "no")}); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("damaged file", func(t *testing.T) {
		var text strings.Builder
		for i := range 20000 {
			fmt.Fprintf(&text, "%d,%d\n", i, rand.IntN(1e9))
		}
		whole := gzipOf(t, text.String())
		got, report, err := events(t, Mapping{Path: writeFile(t, "x.csv.gz", whole[:len(whole)*3/4])})
		if !errors.Is(err, source.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprintf("x.csv.gz: after %d rows", report.Read)) || len(got) < 5000 {
			t.Errorf("%d events, %+v, %v", len(got), report, err)
		}
	})
	t.Run("yield", func(t *testing.T) {
		full := errors.New("full")
		calls := 0
		report, err := Events(t.Context(), Mapping{Path: good}, nil, 1, func([]Event) error { calls++; return full })
		if !errors.Is(err, full) || calls != 1 || report.Kept != 1 {
			t.Errorf("%d calls, %+v, %v", calls, report, err)
		}
	})
	t.Run("dead letters", func(t *testing.T) {
		dead := NewDeadLetterWriter(filepath.Join(t.TempDir(), "no", "dead"))
		bad := writeFile(t, "y.csv", "user,item\n,b\nc,d\n")
		if _, err := Events(t.Context(), Mapping{Path: bad}, dead, 0, func([]Event) error { return nil }); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		report, err := Events(ctx, Mapping{Path: good}, nil, 1, func([]Event) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) || report.Kept != 2 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

func TestEventsDeadLetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	dead := NewDeadLetterWriter(path)
	m := Mapping{Name: "shop", Path: writeFile(t, "x.csv", "user,item,time\na,,1\n\"x\ny\",b,soon\nlong,row,1,1\nc,d,5\n\"a\"b,c,1\n")}
	if _, err := Events(t.Context(), m, dead, 0, func([]Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	var got []DeadLetter
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var d DeadLetter
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		if d.Detail == "" {
			t.Errorf("no detail: %s", lines.Bytes())
		}
		got = append(got, d)
	}
	want := []DeadLetter{
		{Source: "shop", Line: 2, Reason: "no_item", Raw: "a,,1"},
		{Source: "shop", Line: 3, Reason: "bad_time", Raw: "\"x\ny\",b,soon"},
		{Source: "shop", Line: 5, Reason: "columns", Raw: "long,row,1,1"},
		{Source: "shop", Line: 7, Reason: "quote", Raw: "\"a\"b,c,1"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(DeadLetter{}, "Detail")); diff != "" {
		t.Error(diff)
	}
}

// TestEventsOwnTheirStrings: what a call got is not changed by later ones.
func TestEventsOwnTheirStrings(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "user-%d,item-%d\n", i, i)
	}
	var kept [][]Event
	m := Mapping{Path: writeFile(t, "x.csv", text.String())}
	if _, err := Events(t.Context(), m, nil, 10, func(batch []Event) error { kept = append(kept, batch); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 100 {
		t.Errorf("%d batches", len(kept))
	}
	for i := range 1000 {
		if e := kept[i/10][i%10]; e.User != fmt.Sprint("user-", i) || e.Item != fmt.Sprint("item-", i) {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
}

func FuzzEvents(f *testing.F) {
	for _, in := range []string{
		"user,item,rating,time\n1,2,3.5,881250949\n,2,x,y\n", "1\t2\t3\n4\t5\n", "1 2 3\n\n4\n", "user;item;event;id\n\"a\";b;view;1\n", "\xef\xbb\xbfa,b\n", "\x1f\x8b",
	} {
		for flags := range uint8(4) {
			f.Add([]byte(in), flags, "", "")
		}
	}
	f.Add([]byte("a,b,c\n1,2,3\n"), uint8(0), "user=c,item=a,context.x=b", "02/01/2006")
	path := filepath.Join(f.TempDir(), "x.csv")
	f.Fuzz(func(t *testing.T, in []byte, flags uint8, columns, layout string) {
		c, err := ParseColumns(columns)
		if err != nil {
			return
		}
		m := Mapping{Path: path, Columns: c, TimeLayout: layout}
		m.Source.Format = []source.Format{source.Auto, source.Lines, source.Baskets, source.Delimited}[flags&3]
		m.Source.Ragged, m.Source.NoQuote = flags&4 != 0, flags&8 != 0
		if flags&16 != 0 {
			m.Behaviors = map[string]Behavior{"view": Purchase}
		}
		if m.validate() != nil {
			return
		}
		if err := os.WriteFile(path, in, 0o600); err != nil {
			t.Fatal(err)
		}
		all, report, err := events(t, m)
		again, _, err2 := events(t, m)
		if !cmp.Equal(all, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("read twice: %s, %v, %v", cmp.Diff(all, again), err, err2)
		}
		seen := map[string]bool{}
		for i := range all {
			if id := all[i].ID; len(id) == 32 && seen[id] {
				t.Fatalf("made id %s twice", id)
			} else {
				seen[id] = true
			}
		}
		table, reports, tableErr := ReadTable(t.Context(), []Mapping{m}, DefaultWeights(), 0, nil)
		if err == nil != (tableErr == nil) && !errors.Is(tableErr, ErrNoValidRow) {
			t.Fatalf("Events: %v, ReadTable: %v", err, tableErr)
		}
		if reports[0].Read != report.Read || reports[0].Kept != report.Kept {
			t.Fatalf("Events: %+v, ReadTable: %+v", report, reports[0])
		}
		if tableErr == nil {
			checkTable(t, table)
		}
	})
}
