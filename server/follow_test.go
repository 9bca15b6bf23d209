package server_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// versionFiles returns the content of the dictionary, the lists and the rows of a version, from whoever has them.
func versionFiles(t *testing.T, c *clustertest.Cluster, version uint64) map[string]string {
	t.Helper()
	out := map[string]string{}
	for i := range c.Members {
		paths, err := filepath.Glob(filepath.Join(c.Dir(i), "models", fmt.Sprintf("%020d", version), "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := filepath.Base(path)
			if name != "dictionary" && !strings.HasPrefix(name, "lists-") && !strings.HasPrefix(name, "rows-") {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if known, ok := out[name]; ok && known != string(content) {
				t.Fatalf("version %d: %s differs between members", version, name)
			}
			out[name] = string(content)
		}
	}
	return out
}

// followedBy returns the version that a version followed.
func followedBy(t *testing.T, c *clustertest.Cluster, version uint64) uint64 {
	t.Helper()
	resp, err := c.Models(0).ListModels(t.Context(), &kithv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range resp.Versions {
		if v.Version == version {
			return v.Followed
		}
	}
	t.Fatalf("version %d is not there", version)
	return 0
}

// forget removes what builds need to follow the versions that there are, and rows, so that all events are read.
func forget(t *testing.T, c *clustertest.Cluster) {
	t.Helper()
	for i := range c.Members {
		for _, names := range []string{"rest-*", "rows-*"} {
			paths, err := filepath.Glob(filepath.Join(c.Dir(i), "models", "*", names))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // versions are removed beside it
					t.Fatal(err)
				}
			}
		}
	}
}

// TestBuildFollows changes a shop in all ways, follows, and compares with a build of all events. By BM25, of which one event changes all scores, builds take no more than rows of the version before.
func TestBuildFollows(t *testing.T) {
	t.Parallel()
	for _, measure := range []string{"cosine", "jaccard", "bm25"} {
		t.Run(measure, func(t *testing.T) {
			if testing.Short() && measure != "cosine" {
				t.Skip("long")
			}
			t.Parallel()
			c := clustertest.Start(t, clustertest.Options{})
			rng := rand.New(rand.NewPCG(1, uint64(len(measure))))
			spec := &kithv1.BuildSpec{Measure: measure, K: 5}
			id := 0
			event := func(user int, behavior string) *kithv1.Event {
				id++
				x := rng.Float64()
				return &kithv1.Event{User: fmt.Sprint("u", user), Item: fmt.Sprint("i", int(x*x*200)), Behavior: behavior, Id: fmt.Sprint(id)}
			}
			var events []*kithv1.Event
			for range 6000 {
				events = append(events, event(rng.IntN(500), "view"))
			}
			c.Append(0, events)
			first := c.Build(0, spec)
			if v := followedBy(t, c, first.ModelVersion); v != 0 {
				t.Fatalf("the first version followed %d", v)
			}
			last := first.ModelVersion
			for round := range 3 {
				for step := range 3 {
					var events []*kithv1.Event
					for range 4 {
						events = append(events, event(rng.IntN(500), "view"), event(rng.IntN(520), "purchase"), event(1000+id, "view"))
					}
					events = append(events, &kithv1.Event{User: "u1", Item: fmt.Sprint("new ", id), Behavior: "cart", Id: fmt.Sprint("new ", id)})
					events = append(events, event(rng.IntN(500), "cancel"), event(rng.IntN(500), "rating"),
						&kithv1.Event{User: "u2", Item: fmt.Sprint("seen ", id), Behavior: "glance", Id: fmt.Sprint("seen ", id)}) // weighs nothing
					away := round == 1 && step == 1 // who has the files of some partitions, and knows what has changed in others
					if away {
						c.Stop(2)
					}
					c.Append(rng.IntN(2), events)
					eraseUser(t, c, rng.IntN(2), &kithv1.EraseUserRequest{User: fmt.Sprint("u", 100+id%300)})
					joinOne(t, c, 0, fmt.Sprint("u", 2*round), fmt.Sprint("u", 2*round+1))
					killed := round == 2 && step == 1
					var now uint64
					if killed { // the coordinator, as soon as the build has begun
						leader := c.Coordinator()
						resp, err := c.Models((leader+1)%3).Build(t.Context(), &kithv1.BuildRequest{Spec: spec})
						if err != nil {
							t.Fatal(err)
						}
						c.Kill(leader)
						now = c.Wait((leader+1)%3, resp.Job.Id).ModelVersion
						c.Run(leader)
						c.Ready()
					} else {
						now = c.Build(0, spec).ModelVersion
					}
					if v := followedBy(t, c, now); v != last && !away && !killed && measure != "bm25" {
						t.Errorf("round %d: version %d followed %d, want %d", round, now, v, last)
					}
					if away {
						c.Run(2)
						c.Ready()
					}
					last = now
				}
				if round == 0 && measure != "bm25" {
					told := 0.0
					for _, m := range c.Members {
						told += figure(t, m.Server.Registry(), "kith_grpc_server_handled_total", "method=ComputeService/TellBounds", "code=OK")
					}
					if told < 3 {
						t.Errorf("nodes were told the bounds of lists %v times in 3 builds", told)
					}
				}
				got := versionFiles(t, c, last)
				forget(t, c)
				full := c.Build(0, spec).ModelVersion
				if v := followedBy(t, c, full); v != 0 {
					t.Errorf("round %d: version %d followed %d, without what is behind its lists", round, full, v)
				}
				want := versionFiles(t, c, full)
				if names := slices.Sorted(maps.Keys(want)); !slices.Equal(names, slices.Sorted(maps.Keys(got))) || len(names) < 9 {
					t.Fatalf("round %d: files %q, want %q", round, slices.Sorted(maps.Keys(got)), names)
				}
				for name, content := range want {
					if got[name] != content {
						t.Errorf("round %d: %s of version %d, which followed, is not that of a build of all events", round, name, last)
					}
				}
				last = full
			}
		})
	}
}

// TestBuildFollowsAlone: one server forms the sums that its lists want for itself, and its files are those of a build of all events. It was stopped in between.
func TestBuildFollowsAlone(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	rng := rand.New(rand.NewPCG(2, 3))
	spec := &kithv1.BuildSpec{Measure: "cosine", K: 5}
	id := 0
	shop := func(n int) {
		t.Helper()
		events := make([]*kithv1.Event, n)
		for k := range events {
			id++
			x := rng.Float64()
			events[k] = &kithv1.Event{User: fmt.Sprint("u", rng.IntN(400)), Item: fmt.Sprint("i", int(x*x*200)), Behavior: "purchase", Id: fmt.Sprint(id)}
		}
		c.Append(0, events)
	}
	shop(5000)
	last := c.Build(0, spec).ModelVersion
	for round := range 3 {
		shop(30)
		if round == 0 { // what has changed outlives the server
			c.Stop(0)
			c.Run(0)
			c.Ready()
		}
		eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: fmt.Sprint("u", rng.IntN(400))})
		now := c.Build(0, spec).ModelVersion
		if v := followedBy(t, c, now); v != last {
			t.Fatalf("version %d followed %d, want %d", now, v, last)
		}
		last = now
	}
	calls := func(method string) float64 {
		return figure(t, c.Members[0].Server.Registry(), "kith_grpc_server_handled_total", "method=ComputeService/"+method, "code=OK")
	}
	if looked, summed := calls("LookLists"), calls("SumPairs"); looked != 3 || summed != 0 {
		t.Errorf("lists were looked over %v times, and sums formed for others %v times; want 3 and 0", looked, summed)
	}
	got := versionFiles(t, c, last)
	forget(t, c)
	full := c.Build(0, spec).ModelVersion
	if v := followedBy(t, c, full); v != 0 {
		t.Fatalf("version %d followed %d, without what is behind its lists", full, v)
	}
	if want := versionFiles(t, c, full); len(want) < 9 || !maps.Equal(got, want) {
		t.Errorf("the files of version %d, which followed, are not those of a build of all events", last)
	}
	shop(2000) // which change more pairs than there are interactions
	much := c.Build(0, spec).ModelVersion
	if v := followedBy(t, c, much); v != 0 {
		t.Errorf("version %d followed %d, though too much had changed", much, v)
	}
	if told, taken := calls("Changes"), calls("Follow"); told <= 3*4 || taken != 3 {
		t.Errorf("changes were told of %v times and taken %v times, want more than 12 and 3", told, taken)
	}
}
