//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// messages returns the contents of events.
func messages(events ...event) []*kithv1.Event {
	var out []*kithv1.Event
	for _, e := range events {
		out = append(out, e.message())
	}
	return out
}

// TestMeasure checks what is taken from the calls of clients.
func TestMeasure(t *testing.T) {
	s := func(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }
	bad := errors.New("no")
	n := &nemesis{w: newWorkload(nil, 0)}
	n.w.queries = []call{
		{s(1), s(2), bad}, // before the fault
		{s(9), s(10.5), nil}, {s(11), s(12), bad}, {s(12), s(13), bad}, {s(13), s(13.5), nil}, {s(14), s(14.1), nil},
	}
	n.w.appends = []call{{s(1), s(9), nil}, {s(9.5), s(12.5), nil}, {s(10), s(25), bad}, {s(14), s(14.5), nil}}
	failed := []string{"from 11.000 s to 12.000 s: no", "from 12.000 s to 13.000 s: no"}
	for _, c := range []struct {
		survivable bool
		want       record
	}{
		{true, record{Survivable: true, Queries: 5, FailedQueries: 2, QueryErrors: failed, QueriesBack: 3.5, SlowestAppend: 2.5, UnknownAppends: 1}},
		{false, record{Queries: 5, FailedQueries: 2, QueryErrors: failed, QueriesBack: 1.5, SlowestAppend: 0.5, UnknownAppends: 1}},
	} {
		got := record{Survivable: c.survivable}
		n.measure(&got, s(10), s(12))
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(record{})); diff != "" {
			t.Errorf("survivable %t (-want +got):\n%s", c.survivable, diff)
		}
	}
}

func TestSummarize(t *testing.T) {
	one := 1.0
	got := summarize([]record{
		{kind: "b", Queries: 10, FailedQueries: 1, QueriesBack: 3, NewCoordinator: &one, Healed: 5, Settled: 6},
		{kind: "a", Queries: 1},
		{kind: "b", Queries: 20, QueriesBack: 1, Healed: 5, Settled: 8, UnknownAppends: 2},
	})
	want := []summary{
		{Kind: "a", Faults: 1, Queries: 1, QueriesBack: spread{N: 1}, SlowestAppend: spread{N: 1}, Settled: spread{N: 1}},
		{
			Kind: "b", Faults: 2, Queries: 30, FailedQueries: 1, UnknownAppends: 2, NewCoordinator: spread{1, 1, 1},
			QueriesBack: spread{2, 2, 3}, SlowestAppend: spread{N: 2}, Settled: spread{2, 2, 3},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLeaks(t *testing.T) {
	h := holding{Server: "n1", Before: resources{Files: 100, Threads: 10}, After: resources{Files: 182, Threads: 31}, GoroutinesBefore: 100, GoroutinesAfter: 214}
	if leak := h.leaks(); leak != "" {
		t.Errorf("at the bounds: %q", leak)
	}
	h.After.Files++
	h.After.Threads++
	h.GoroutinesAfter++
	leak := h.leaks()
	for _, want := range []string{"183 open files", "n1 held 100", "threads and 32", "goroutines"} {
		if want == "threads and 32" {
			want = "10 threads before the faults and 32 after"
		}
		if want == "183 open files" {
			want = "100 open files before the faults and 183 after"
		}
		if !strings.Contains(leak, want) {
			t.Errorf("over the bounds: %q, want it to say %q", leak, want)
		}
	}
}

func TestReport(t *testing.T) {
	r := &report{Seed: 5, Servers: 3, Broken: []string{}, Faults: []record{{Kind: "kill all servers", Struck: []string{"n1"}}}}
	r.ByKind = summarize(r.Faults)
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"seed 5, 3 servers", "0 lost", "All promises were kept."} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	r.Broken = append(r.Broken, "water is wet")
	b.Reset()
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "Promises broken: 1\n- water is wet") {
		t.Errorf("no broken promise in\n%s", b.String())
	}
	path := filepath.Join(t.TempDir(), "report.json")
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	var back report
	saved, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(saved, &back)
	}
	if err != nil || back.Seed != 5 || len(back.Broken) != 1 {
		t.Errorf("read back %+v: %v", back, err)
	}
}
