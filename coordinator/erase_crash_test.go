package coordinator

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// TestErasureAfterEveryCrash erases an account with joined keys, one of which has a key joined itself, by a caller that dies at each step in turn. Another erasure, with an id of
// its own, brings it to its end and lists all keys, and none of them has anything left. Meanwhile one key may have been joined again.
func TestErasureAfterEveryCrash(t *testing.T) {
	for _, again := range []bool{false, true} {
		for _, done := range []bool{false, true} {
			for steps, died := 0, true; died; steps++ {
				name := fmt.Sprintf("joined again %v, step %d, done %v", again, steps, done)
				n, r := storesOf(t)
				browse(t, r, "ada", "c1", "c2", "c3")
				join := func(from, to string) {
					t.Helper()
					if _, err := r.JoinUsers(t.Context(), []*kithv1.UserJoin{{From: from, To: to}}, false); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
				join("c3", "c2")
				join("c2", "ada")
				join("c1", "ada")
				erase := func(request string) ([]erasedKey, error) {
					e := &eraser{router: r, remembers: func(context.Context) error { return nil }, partitions: len(n.stores), request: &kithv1.ApplyErasureRequest{TimeUnixMs: 10}}
					id := sha256.Sum256([]byte(request))
					got, err := e.erase(t.Context(), "ada", "", id[:requestBytes])
					if err != nil {
						return nil, err
					}
					return e.keys(got), nil
				}
				n.steps, n.done = steps, done
				_, err := erase("first")
				died, n.steps = err != nil, -1
				if again && died {
					later := fusion.Event{ID: "later", User: "c1", Item: "i", Behavior: fusion.View, Value: 1, Time: 100}
					if _, err := r.Append(t.Context(), []fusion.Event{later}); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					join("c1", "ada")
				}
				keys, err := erase("second")
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				hashes := map[string]bool{}
				for _, k := range keys {
					hashes[string(k.UserHash)] = true
				}
				if len(keys) != 3 || len(hashes) != 3 {
					t.Errorf("%s: %d keys are listed, want 3", name, len(keys))
				}
				for _, user := range []string{"ada", "c1", "c2", "c3"} {
					s := n.stores[partition.Of(user, len(n.stores))]
					events, err := s.History(t.Context(), user)
					if u, uerr := s.User(user); err != nil || uerr != nil || len(events) > 0 || u.Events > 0 || u.To != "" {
						t.Errorf("%s: of %s there are %v and %+v, %v, %v", name, user, events, u, err, uerr)
					}
				}
			}
		}
	}
}
