package fusion

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion/record"
)

func TestBehaviorValid(t *testing.T) {
	for b, want := range map[Behavior]bool{
		View: true, "a": true, "add-to_list2": true, Behavior(strings.Repeat("a", 32)): true,
		"": false, "A": false, "1a": false, "-": false, "a b": false, "ä": false, Behavior(strings.Repeat("a", 33)): false,
	} {
		if b.Valid() != want {
			t.Errorf("%q: got %t", b, !want)
		}
	}
}

func TestEventValidate(t *testing.T) {
	good := Event{User: "u", Item: "é", Behavior: View, Value: -1.5, Time: MaxTime, ID: "1", Context: map[string]string{"k": ""}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	long := strings.Repeat("x", MaxKeyBytes+1)
	tests := []struct {
		name   string
		change func(*Event)
		want   error
		code   string
	}{
		{"no user", func(e *Event) { e.User = "" }, ErrNoUser, "no_user"},
		{"no item", func(e *Event) { e.Item = "" }, ErrNoItem, "no_item"},
		{"long user", func(e *Event) { e.User = long }, ErrKeyTooLong, "key_too_long"},
		{"long item", func(e *Event) { e.Item = long }, ErrKeyTooLong, "key_too_long"},
		{"long id", func(e *Event) { e.ID = long }, ErrKeyTooLong, "key_too_long"},
		{"NUL", func(e *Event) { e.User = "a\x00" }, ErrBadKey, "bad_key"},
		{"no UTF-8", func(e *Event) { e.Item = "a\xff" }, ErrBadKey, "bad_key"},
		{"behavior", func(e *Event) { e.Behavior = "Buy" }, ErrBadBehavior, "bad_behavior"},
		{"no behavior", func(e *Event) { e.Behavior = "" }, ErrBadBehavior, "bad_behavior"},
		{"NaN", func(e *Event) { e.Value = math.NaN() }, ErrBadValue, "bad_value"},
		{"infinite", func(e *Event) { e.Value = math.Inf(-1) }, ErrBadValue, "bad_value"},
		{"time below 0", func(e *Event) { e.Time = -1 }, ErrBadTime, "bad_time"},
		{"time above", func(e *Event) { e.Time = MaxTime + 1 }, ErrBadTime, "bad_time"},
		{"context too large", func(e *Event) { e.Context = map[string]string{"k": strings.Repeat("x", MaxContextBytes)} }, ErrBadContext, "bad_context"},
		{"context without key", func(e *Event) { e.Context = map[string]string{"": "x"} }, ErrBadContext, "bad_context"},
		{"context no UTF-8", func(e *Event) { e.Context = map[string]string{"k": "\xff"} }, ErrBadContext, "bad_context"},
	}
	for _, tt := range tests {
		e := good
		tt.change(&e)
		if err := e.Validate(); !errors.Is(err, tt.want) || Code(err) != tt.code {
			t.Errorf("%s: got %v with code %s; want %s", tt.name, err, Code(err), tt.code)
		}
	}
	if got := Code(errors.New("x")); got != "other" {
		t.Errorf("code of a strange error: %s", got)
	}
	if got := Code(fmt.Errorf("row 3: %w", ErrShortRow)); got != "short_row" {
		t.Errorf("code of a wrapped error: %s", got)
	}
}

// TestContentID: each part of an event counts, and parts do not run into each other.
func TestContentID(t *testing.T) {
	base := Event{User: "ab", Item: "c", Behavior: View, Value: 1, Time: 5, Context: map[string]string{"k": "v", "l": "w"}}
	same := base
	same.ID = "other"
	same.Context = map[string]string{"l": "w", "k": "v"}
	id := ContentID(&base)
	if len(id) != 26 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuv") != "" {
		t.Errorf("id %q", id)
	}
	if got := ContentID(&same); got != id {
		t.Errorf("got %s and %s of one content", id, got)
	}
	seen := []string{id}
	for _, change := range []func(*Event){
		func(e *Event) { e.User, e.Item = "a", "bc" }, func(e *Event) { e.Item = "d" }, func(e *Event) { e.Behavior = Cart },
		func(e *Event) { e.Value = 2 }, func(e *Event) { e.Time = 6 }, func(e *Event) { e.Context = nil },
		func(e *Event) { e.Context = map[string]string{"k": "vl", "": "w"} },
	} {
		e := base
		change(&e)
		got := ContentID(&e)
		if slices.Contains(seen, got) {
			t.Errorf("%+v has the id of another", e)
		}
		seen = append(seen, got)
	}
}

// TestMadeIDs: they ascend with line and part, and depend on all that they are made of.
func TestMadeIDs(t *testing.T) {
	a, b := newSourceID("a.csv"), newSourceID("b.csv")
	id := func(s sourceID, line int64, part int, fields string) string {
		return string(s.appendID(nil, line, part, []byte(fields)))
	}
	ids := []string{
		id(a, 1, 0, "x"), id(a, 2, 0, "x"), id(a, 2, 1, "w"), id(a, 255, 0, "x"), id(a, 256, 0, "x"), id(a, 1<<24, 3, "x"), id(a, 1<<39, 0, "x"),
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("ids do not ascend: %q", ids)
	}
	if len(ids[0]) != 32 || strings.Trim(ids[0], "0123456789abcdefghijklmnopqrstuv") != "" {
		t.Errorf("id %q", ids[0])
	}
	if id(a, 1, 0, "x") == id(b, 1, 0, "x") || id(a, 1, 0, "x") == id(a, 1, 0, "y") {
		t.Error("source or fields do not count")
	}
	if got := string(a.appendID([]byte("pre"), 1, 0, []byte("x"))); !cmp.Equal(got, "pre"+ids[0]) {
		t.Errorf("appended: %q", got)
	}
}

// TestWithDigest: a keyed digest changes what could be guessed, and nothing else.
func TestWithDigest(t *testing.T) {
	id := string(newSourceID("log").appendID(nil, 7, 2, []byte("anna")))
	got := WithDigest(id, []byte("keyed by a secret"))
	was, _ := OriginOf(id)
	if is, ok := OriginOf(got); !ok || is != was || got == id || got[:20] != id[:20] {
		t.Errorf("%s became %s, %+v", id, got, is)
	}
	if other := string(newSourceID("log").appendID(nil, 7, 2, []byte("bert"))); WithDigest(other, []byte("keyed by a secret")) != got {
		t.Error("something of the row is left")
	}
	if got := WithDigest("E17", []byte("keyed by a secret")); got != "E17" {
		t.Errorf("E17 became %s", got)
	}
}

// TestOriginOf reads what ids were made of.
func TestOriginOf(t *testing.T) {
	for _, c := range []struct {
		source, file string
		line         int64
		part         int
	}{{"log", "", 1, 0}, {"log", "2024/a.csv", 1 << 39, 1<<24 - 1}} {
		name := c.source
		if c.file != "" {
			name += "\x00" + c.file
		}
		o, ok := OriginOf(string(newSourceID(name).appendID(nil, c.line, c.part, []byte("x"))))
		if !ok || o.Line != c.line || o.Part != c.part || !o.Of(c.source, c.file) || o.Of("other", c.file) || o.Of(c.source, "other") {
			t.Errorf("%+v became %+v, %v", c, o, ok)
		}
		at := record.Place{Source: c.source, File: c.file, Line: c.line, Part: c.part}
		far, next := at, at
		far.Line += 1 << 40 // more than there is room for
		next.Part++
		if !o.At(at) || !o.At(far) || o.At(next) {
			t.Errorf("%+v is at %v, %v, and %v: %v, %v, %v", o, at, far, next, o.At(at), o.At(far), o.At(next))
		}
	}
	for _, id := range []string{"", "E17", strings.Repeat("0", 32), strings.Repeat("z", 32), strings.Repeat("V", 32), strings.Repeat("1", 33)} {
		if o, ok := OriginOf(id); ok {
			t.Errorf("%q became %+v", id, o)
		}
	}
}
