package infer

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/kith-io/kith/source/synthetic"
)

// TestGeneratedDirt proposes mappings for the logs of a generated shop, and wants no more rows refused than have faults.
func TestGeneratedDirt(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := synthetic.Generate(t.Context(), synthetic.DefaultConfig(2000, 500, 50_000, 1), func(name string) (io.WriteCloser, error) {
		return os.Create(name)
	}, func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		"events.csv": {"time: time # dates with the year first, but for ", "whose rows will be refused (0.8)", "behaviors:\n      cart: cart\n      search: search\n      view: view\n    columns:", "left out as rare and not known"},
		"orders.csv": {"time: {column: time, type: time, format: auto, on_error: reject}", "quantity: {column: quantity, type: number, on_error: reject}", "values: {cancel: cancel, purchase: purchase}}"},
	} {
		text, err := Files(t.Context(), []string{file})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", file, w, text)
			}
		}
		r := try(t, text)[0]
		if r.Reasons["bad_time"] == 0 || r.Kept < r.Read*99/100 {
			t.Errorf("%s: %d rows kept of %d, refused %v", file, r.Kept, r.Read, r.Reasons)
		}
	}
}

// TestBadValues proposes a column with some bad values up to a share of 5 %, wherever they stand.
func TestBadValues(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		name, good, bad string // good has a number
		first           bool   // the bad ones stand first
		n               int    // bad of 1,000
		want            string
	}{
		{"none", "%d", "", false, 0, "time: ts # numbers of the size of seconds since 1970 (0.9)"},
		{"some", "%d", "yesterday", false, 50, "time: ts # numbers of the size of seconds since 1970, but for 50 of 1000 values, whose rows will be refused (0.8)"},
		{"some, first", "%d", "yesterday", true, 20, "but for 20 of 1000 values"},
		{"too many", "%d", "yesterday", false, 51, `time: "-"`},
		{"numbers that are no times", "%d", "0", false, 10, "but for 10 of 1000 values"},
		{"milliseconds", "%d123", "?", false, 10, "numbers of the size of milliseconds since 1970, but for 10 of 1000 values"},
		{"dates", "2024-01-01T00:00:00.%dZ", "2025-13-41T25:61:61Z", false, 10, "dates with the year first, but for 10 of 1000 values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("user,item,ts\n")
			for i := range 1000 {
				ts := fmt.Sprintf(tt.good, 1600000000+i)
				bad := i%20 == 19 && i/20 < tt.n || i == 0 && tt.n > 50
				if tt.first {
					bad = i < tt.n
				}
				if bad {
					ts = tt.bad
				}
				fmt.Fprintf(&b, "u%d,i%d,%s\n", i%50, i%30, ts)
			}
			if err := os.WriteFile("log.csv", []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			text, err := Files(t.Context(), []string{"log.csv"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, tt.want) {
				t.Errorf("no %q in\n%s", tt.want, text)
			}
			try(t, text)
		})
	}
}

// TestRareBehaviors leaves out what is rare and not known, and keeps what is known or frequent.
func TestRareBehaviors(t *testing.T) {
	t.Chdir(t.TempDir())
	var b strings.Builder
	b.WriteString("user,item,action\n")
	for i := range 2000 {
		action := "view"
		switch {
		case i == 7:
			action = "refund"
		case i%100 == 0:
			action = "share"
		case i == 1 || i == 2:
			action = "??"
		case i > 100 && i < 125 && i != 111: // more different words than a column of behaviors may have
			action = fmt.Sprintf("x%d", i)
		}
		fmt.Fprintf(&b, "u%d,i%d,%s\n", i%50, i%30, action)
	}
	if err := os.WriteFile("log.csv", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := Files(t.Context(), []string{"log.csv"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "behaviors:\n      refund: cancel\n      share: share # not known to kith; it counts only with a weight of its own\n      view: view\n    columns:"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	if want := `left out as rare and not known: "??", "x101", "x102", "x103" and 20 others, whose 25 rows will be refused`; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	if r := try(t, text)[0]; r.Rejected != 25 || r.Reasons["bad_behavior"] != 25 {
		t.Errorf("refused %v, want the 25 rows left out", r.Reasons)
	}
}
