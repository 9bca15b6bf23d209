package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/server/clustertest"
)

// TestCluster runs the commands of clients in the order in which a new user does.
func TestCluster(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	addr := c.Members[0].Server.GRPCAddr()
	// Nobody listens at the first address: the second is asked.
	remote := []string{"--addr", "127.0.0.1:1," + addr}
	on := func(args ...string) []string { return append(args, remote...) }
	dir := t.TempDir()
	shop := filepath.Join(dir, "shop")
	mustKith(t, "generate", "--users", "300", "--items", "80", "--events", "12000", "--out", shop)
	mapping := filepath.Join(shop, "map.yaml")
	letters := filepath.Join(dir, "rejected.jsonl")

	t.Run("before the first build", func(t *testing.T) {
		if got := mustKith(t, on("models")...); !strings.Contains(got, "kith build") {
			t.Errorf("models: %s", got)
		}
		got := kith(t, nil, on("similar", "P0001")...)
		if got.code != exitError || !strings.Contains(got.err, "kith build --wait") {
			t.Errorf("similar: exit code %d: %s", got.code, got.err)
		}
	})
	t.Run("ingest", func(t *testing.T) {
		dry := mustJSON[jsonIngest](t, "ingest", "--dry-run", "--mapping", mapping, "--dead-letters", "none")
		first := mustJSON[jsonIngest](t, on("ingest", "--mapping", mapping, "--dead-letters", letters)...)
		if d := cmp.Diff(dry.Summary, first.Summary); d != "" {
			t.Errorf("a dry run reports other numbers (-dry +real):\n%s", d)
		}
		// The generator's duplicates carry the id of their original.
		if first.Appended > 12_000 || first.Appended+first.Duplicates != uint64(first.Events) || first.Users == 0 || first.Items == 0 {
			t.Errorf("got %+v, want 12000 events stored", first)
		}
		rejected := int64(0)
		for _, s := range first.Sources {
			if s.Read != s.Kept+s.Rejected {
				t.Errorf("source %+v does not add up", s)
			}
			rejected += s.Rejected
		}
		b, err := os.ReadFile(letters)
		if err != nil || int64(strings.Count(string(b), "\n")) != rejected || first.DeadLetters != letters {
			t.Errorf("%d dead letters in %q, want %d (%v)", strings.Count(string(b), "\n"), first.DeadLetters, rejected, err)
		}
		again := mustJSON[jsonIngest](t, on("ingest", "--mapping", mapping, "--dead-letters", "none", "--streams", "2")...)
		if again.Appended != 0 || again.Duplicates != uint64(again.Events) {
			t.Errorf("a second time: %d stored, %d duplicates", again.Appended, again.Duplicates)
		}
		golden(t, "ingest", times(mustKith(t, on("ingest", "--mapping", mapping, "--dead-letters", "none")...)))
	})
	t.Run("status", func(t *testing.T) {
		got := mustJSON[jsonStatus](t, on("status")...)
		if !got.Ready || got.Events != 12_000 || len(got.Members) != 1 || len(got.Partitions) != 4 || got.Coordinator != got.Members[0].ID {
			t.Errorf("got %+v", got)
		}
		for _, args := range [][]string{{"status"}, {"cluster"}, {"cluster", "status"}} {
			if out := mustKith(t, on(args...)...); !strings.Contains(out, "12,000 events") || !strings.Contains(out, "coordinator") {
				t.Errorf("%v: %s", args, out)
			}
		}
		if out := mustKith(t, on("cluster", "members")...); !strings.Contains(out, addr) {
			t.Errorf("members: %s", out)
		}
		if out := mustKith(t, on("cluster", "rebalance")...); !strings.Contains(out, "where they should be") || !strings.Contains(out, addr) {
			t.Errorf("rebalance: %s", out)
		}
		for _, use := range []string{"leave", "drain"} {
			if o := kith(t, nil, on("cluster", use, "nobody")...); o.code != exitError || !strings.Contains(o.err, "unknown member: nobody") {
				t.Errorf("%s of nobody: %+v", use, o)
			}
			if o := kith(t, nil, on("cluster", use, got.Coordinator)...); o.code != exitError || !strings.Contains(o.err, "no other member stays") {
				t.Errorf("%s of the last member: %+v", use, o)
			}
		}
	})
	versions := buildTwice(t, on)
	t.Run("cancel", func(t *testing.T) {
		if out := mustKith(t, on("build", "cancel")...); out != "No build runs.\n" {
			t.Errorf("cancel without a build: %s", out)
		}
		done := fmt.Sprint(versions[1])
		if out := mustKith(t, on("build", "cancel", done)...); !strings.Contains(out, "had ended: it is done, and made version "+done) {
			t.Errorf("cancel of an ended build: %s", out)
		}
		if got := mustJSON[struct{ Canceled bool }](t, on("build", "cancel", done)...); got.Canceled {
			t.Error("an ended build was canceled")
		}
		if o := kith(t, nil, on("build", "cancel", "999999")...); o.code != exitError || !strings.Contains(o.err, "unknown job: 999999") {
			t.Errorf("cancel of no build: %+v", o)
		}
		if o := kith(t, nil, on("build", "cancel", "x")...); o.code != exitUsage {
			t.Errorf("cancel x: %+v", o)
		}
	})
	user, item := "", ""
	t.Run("recommend", func(t *testing.T) {
		for _, model := range []string{"hybrid", "item-knn", "user-knn", "popularity"} {
			got := mustJSON[jsonRecommendation](t, on("recommend", "U0001", "-n", "5", "--model", model, "--explain")...)
			if got.Model != model || len(got.Items) != 5 || got.Items[0].Rank != 1 || got.Partial {
				t.Errorf("%s: got %+v", model, got)
			}
			for _, x := range got.Items {
				if x.Source != "hybrid" && x.Source != "item-knn" {
					continue
				}
				sum := 0.0
				for _, part := range x.Contributions {
					sum += part.Score
				}
				if math.Abs(sum-x.Score) > 1e-6 {
					t.Errorf("%s: the parts of %s add up to %v, want %v", model, x.Item, sum, x.Score)
				}
			}
			user, item = got.User, got.Items[0].Item
		}
		basket := mustJSON[jsonRecommendation](t, on("recommend", "--basket", item, "-n", "3", "--no-fallback")...)
		if len(basket.Items) != 3 || basket.Items[0].Item == item || basket.Items[0].Source != "hybrid" {
			t.Errorf("basket: got %+v", basket)
		}
		unknown := mustKith(t, on("recommend", "nobody", "-n", "3")...)
		if !strings.Contains(unknown, `All places are filled from popularity: user "nobody" is unknown.`) {
			t.Errorf("unknown user: %s", unknown)
		}
		got := kith(t, nil, on("recommend", "nobody", "--no-fallback")...)
		if got.code != exitError || !strings.Contains(got.err, `unknown user "nobody"`) || !strings.Contains(got.err, "--no-fallback") {
			t.Errorf("unknown user without fallback: exit code %d: %s", got.code, got.err)
		}
	})
	t.Run("similar", func(t *testing.T) {
		type answer struct {
			Item, User string
			Neighbors  []struct {
				Rank     int
				Neighbor string
				Score    float64
			}
		}
		items := mustJSON[answer](t, on("similar", item, "-n", "4")...)
		users := mustJSON[answer](t, on("similar", "--user", user, "-n", "4")...)
		if len(items.Neighbors) != 4 || items.Item != item || len(users.Neighbors) != 4 || users.User != user {
			t.Errorf("got %+v and %+v", items, users)
		}
		got := kith(t, nil, on("similar", "no-such-item")...)
		if got.code != exitError || !strings.Contains(got.err, "no-such-item") || strings.Contains(got.err, "rpc error") {
			t.Errorf("unknown item: exit code %d: %s", got.code, got.err)
		}
	})
	t.Run("rollback", func(t *testing.T) {
		got := mustJSON[map[string]uint64](t, on("models", "rollback")...)
		if got["active"] != versions[0] || got["previous"] != versions[1] {
			t.Errorf("got %v, want back from %d to %d", got, versions[1], versions[0])
		}
		if got := kith(t, nil, on("models", "rollback")...); got.code != exitError || !strings.Contains(got.err, "no version before") {
			t.Errorf("before the first: exit code %d: %s", got.code, got.err)
		}
		mustKith(t, on("models", "rollback", fmt.Sprint(versions[1]))...)
		if got := kith(t, nil, on("models", "rollback", "999999")...); got.code != exitError || !strings.Contains(got.err, "kith models list") {
			t.Errorf("unknown version: exit code %d: %s", got.code, got.err)
		}
		if got := mustKith(t, on("models", "show", fmt.Sprint(versions[1]))...); !strings.Contains(got, "jaccard, 7 neighbors") || !strings.Contains(got, "purchase 9") || !strings.Contains(got, "IDLE") {
			t.Errorf("show: %s", got)
		}
	})
}

// buildTwice makes two versions and returns their numbers.
func buildTwice(t *testing.T, on func(args ...string) []string) []uint64 {
	type built struct {
		Job     jsonJob
		Version jsonVersion
		Phases  []jsonPhase
	}
	first := mustJSON[built](t, on("build", "--wait", "-k", "20")...)
	if first.Version.Users == 0 || first.Version.Items == 0 || first.Version.Spec.K != 20 || first.Version.Spec.Weights["purchase"] != 5 ||
		!first.Version.Active || first.Job.Phase != "done" {
		t.Fatalf("first build: %+v", first)
	}
	if len(first.Phases) == 0 { // those that were seen
		t.Error("the first build has no phases")
	}
	second := mustJSON[built](t, on("build", "--wait", "--measure", "jaccard", "-k", "7", "--weight", "purchase=9", "--half-life", "720h")...)
	if s := second.Version.Spec; s.Measure != "jaccard" || s.Weights["purchase"] != 9 || s.Weights["view"] != 1 || s.HalfLife != 720*3600 {
		t.Fatalf("second build: %+v", second)
	}
	list := mustJSON[struct{ Versions []jsonVersion }](t, on("models", "list")...)
	if len(list.Versions) != 2 || list.Versions[0].Version != second.Version.Version || !list.Versions[0].Active {
		t.Fatalf("list: %+v", list)
	}
	return []uint64{first.Version.Version, second.Version.Version}
}

// TestIngestSurvivesTheCoordinator kills the coordinator while events come in: each must be there once afterwards.
func TestIngestSurvivesTheCoordinator(t *testing.T) {
	long(t)
	c := clustertest.Start(t, clustertest.Options{Servers: 3})
	var addrs []string
	for _, m := range c.Members {
		addrs = append(addrs, m.Server.GRPCAddr())
	}
	const rows = 60_000
	var b strings.Builder
	b.WriteString("user,item,behavior,time\n")
	for i := range rows {
		fmt.Fprintf(&b, "u%d,i%d,view,%d\n", i%997, i%301, 1_700_000_000+i)
	}
	input := writeFile(t, "events.csv", b.String())
	done := make(chan outcome, 1)
	go func() { done <- kith(t, nil, "ingest", "--addr", strings.Join(addrs, ","), input) }()
	stored := func(at int) uint64 {
		return mustJSON[jsonStatus](t, "status", "--addr", c.Members[at].Server.GRPCAddr()).Events
	}
	c.Eventually(func() error {
		if stored(0) == 0 {
			return errors.New("no event yet")
		}
		return nil
	})
	dead := c.Coordinator()
	c.Kill(dead)
	if got := <-done; got.code != exitOK {
		t.Fatalf("exit code %d: %s", got.code, got.err)
	}
	c.Run(dead)
	c.Ready()
	c.Eventually(func() error {
		if n := stored((dead + 1) % 3); n != rows {
			return fmt.Errorf("%d events, want %d", n, rows)
		}
		return nil
	})
}
