package fusion

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	a := newReport("a")
	a.Read, a.Kept, a.Repaired = 10, 7, 2
	a.reject("bad_time")
	a.reject("no_user")
	a.reject("bad_time")
	b := newReport("b")
	b.Read = 1
	b.reject("no_user")
	b.weightless("wish")
	var sum Report
	sum.Add(a)
	sum.Add(b)
	want := Report{Read: 11, Kept: 7, Repaired: 2, Rejected: 4, Reasons: map[string]int64{"bad_time": 2, "no_user": 2}, Weightless: map[Behavior]int64{"wish": 1}}
	if !cmp.Equal(sum, want) {
		t.Error(cmp.Diff(want, sum))
	}
	if got := sum.TopReasons(5); got != "bad_time 2, no_user 2" {
		t.Errorf("reasons: %s", got)
	}
	if got := a.TopReasons(1); got != "bad_time 2" {
		t.Errorf("reasons: %s", got)
	}
	got, err := json.Marshal(Summary{Sources: []Report{a}, Totals: Totals{Events: 7, Users: 2, Items: 3}})
	const asJSON = `{"sources":[{"name":"a","read":10,"kept":7,"repaired":2,"rejected":3,"reasons":{"bad_time":2,"no_user":1}}],"events":7,"users":2,"items":3}`
	if err != nil || string(got) != asJSON {
		t.Errorf("got %s, %v; want %s", got, err, asJSON)
	}
}

func TestTally(t *testing.T) {
	var tally Tally
	tally.Add([]Event{{User: "a", Item: "x"}, {User: "a", Item: "y"}})
	tally.Add([]Event{{User: "b", Item: "x"}, {User: "a", Item: "x"}})
	if got, want := tally.Totals(), (Totals{Events: 4, Users: 2, Items: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDeadLetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	for run := range 2 { // the second appends
		w := NewDeadLetterWriter(path)
		if w.Path() != "" {
			t.Errorf("path %s before the first row", w.Path())
		}
		for _, d := range []DeadLetter{
			{Source: "a", Line: 3, Reason: "no_user", Detail: "no user", Raw: ",x\n\"é\""},
			{Source: "a", Line: 4, Reason: "bad_key", Detail: "bad", Raw: "\xff,x"},
		} {
			if err := w.Write(d); err != nil {
				t.Fatal(err)
			}
		}
		if w.Count() != 2 || w.Path() != path || !cmp.Equal(w.Reasons(), map[string]int64{"no_user": 1, "bad_key": 1}) {
			t.Errorf("count %d, path %s, reasons %v", w.Count(), w.Path(), w.Reasons())
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(DeadLetter{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		const first = `{"source":"a","line":3,"reason":"no_user","detail":"no user","raw":",x\n\"é\""}`
		const second = `{"source":"a","line":4,"reason":"bad_key","detail":"bad","raw":"","raw_bytes":"/yx4"}`
		if want := strings.Repeat(first+"\n"+second+"\n", run+1); string(text) != want {
			t.Errorf("got\n%swant\n%s", text, want)
		}
	}
}

func TestDeadLettersWithoutFile(t *testing.T) {
	w := NewDeadLetterWriter("")
	if err := w.Write(DeadLetter{Reason: "no_user"}); err != nil || w.Count() != 1 || w.Path() != "" {
		t.Errorf("%v, count %d, path %q", err, w.Count(), w.Path())
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	// A run without refused rows leaves no file.
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	if err := NewDeadLetterWriter(path).Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestDeadLettersError(t *testing.T) {
	w := NewDeadLetterWriter(filepath.Join(t.TempDir(), "no", "dead.jsonl"))
	first := w.Write(DeadLetter{Reason: "no_user"})
	if !errors.Is(first, os.ErrNotExist) || !strings.Contains(first.Error(), "dead letters") {
		t.Fatalf("got %v", first)
	}
	for _, err := range []error{w.Write(DeadLetter{}), w.Flush(), w.Close()} {
		if fmt.Sprint(err) != fmt.Sprint(first) {
			t.Errorf("later: %v; want %v", err, first)
		}
	}
}
