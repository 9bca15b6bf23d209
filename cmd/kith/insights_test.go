package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/server/clustertest"
)

// TestInsightsOfCluster builds models on a server, and asks for what they know as a user does.
func TestInsightsOfCluster(t *testing.T) {
	addr := addrsOf(clustertest.Start(t, clustertest.Options{Servers: 1}))
	var b strings.Builder
	b.WriteString("user,item,behavior,time,order\n")
	for u := range 40 {
		first, second := "a", "b"
		if u%2 == 1 {
			first, second = "p", "q"
		}
		for i, behavior := range []string{"view", "purchase"} {
			fmt.Fprintf(&b, "u%d,%s,%s,2026-01-01T00:%02d:00Z,1\n", u, first, behavior, i)
		}
		fmt.Fprintf(&b, "u%d,%s,purchase,2026-01-01T00:02:00Z,1\n", u, second)
	}
	file := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	mustKith(t, "ingest", "--addr", addr, file)
	checkUsage(t, kith(t, nil, "clusters", "--addr", addr, "--item"), []string{"--item without an item"})
	none := kith(t, nil, "rules", "a", "--addr", addr)
	if none.code == 0 || !strings.Contains(none.err, "build one") {
		t.Errorf("without a model: exit code %d, %s", none.code, none.err)
	}
	mustKith(t, "build", "--addr", addr, "--wait", "--models", "markov,rules(min-support=0.1),clusters(k=2)")
	for _, c := range []struct {
		args  string
		parts []string
	}{
		{"rules a", []string{"a   b      0.5", "1 rule of 40 transactions, in model rules of version"}},
		{"rules b --right", []string{"1 rule of 40"}},
		{"rules -n 1 --min-lift 1.5", []string{"4 rules of 40", "3 more are not shown"}},
		{"next u0 -n 1", []string{"end ", "BEHAVIOR", "RANK"}},
		{"clusters -n 2", []string{"20  50.00%", "Model clusters of version"}},
		{"clusters u0", []string{"u0 is in group", "from its center"}},
		{"clusters a --item", []string{"a is in no group"}},
	} {
		got := mustKith(t, append(strings.Fields(c.args), "--addr", addr)...)
		for _, part := range c.parts {
			if !strings.Contains(got, part) {
				t.Errorf("kith %s lacks %q:\n%s", c.args, part, got)
			}
		}
	}
	for _, args := range []string{"next nobody", "clusters nobody"} {
		got := kith(t, nil, append(strings.Fields(args), "--addr", addr)...)
		if got.code != exitError || !strings.Contains(got.err, "check the key") || strings.Contains(got.err, "fallback") {
			t.Errorf("kith %s: %+v, want a remedy without a flag that the command lacks", args, got)
		}
	}
	next := mustJSON[struct {
		Behaviors []jsonNextBehavior `json:"behaviors"`
	}](t, "next", "u0", "--addr", addr, "-o", "json")
	if len(next.Behaviors) < 3 || next.Behaviors[0].Behavior != "end" {
		t.Errorf("after all that users do comes %v, want the end", next.Behaviors)
	}
}

func TestInsightsUsage(t *testing.T) {
	for _, c := range []struct{ args, part string }{
		{"rules --from view", "--from is about learning from files"},
		{"rules --right", "--right without an item"},
		{"rules --min-support 20", "below 1"},
		{"next u1 --path view,cart", "--path is about learning from files"},
	} {
		checkUsage(t, kith(t, nil, strings.Fields(c.args)...), []string{c.part})
	}
}
