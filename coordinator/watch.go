package coordinator

import (
	"slices"
	"sync"
	"time"

	"github.com/kith-io/kith/node"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// watch knows since when members answer or do not, as one coordinator has seen it. A new coordinator begins to count again. It is
// safe for concurrent use.
type watch struct {
	now func() time.Time

	mu sync.Mutex
	// alive and dead hold since when; a member is in one of them.
	alive, dead map[string]time.Time
}

func newWatch(now func() time.Time) *watch {
	return &watch{now: now, alive: map[string]time.Time{}, dead: map[string]time.Time{}}
}

// see takes in who answers now.
func (w *watch) see(members []*kithv1.MemberRecord, peers []node.Peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	answers := map[string]node.Peer{}
	for _, p := range peers {
		answers[p.ID] = p
	}
	for _, m := range members {
		in, out := w.dead, w.alive
		// Another process with the id does not count: it is refused, may be started again and again, and would keep the member from being given up.
		if p := answers[m.Id]; p.Alive && sameFolder(m, p.Folder) {
			in, out = w.alive, w.dead
		}
		delete(out, m.Id)
		if _, ok := in[m.Id]; !ok {
			in[m.Id] = now
		}
	}
}

// steady reports whether a member has answered for so long.
func (w *watch) steady(id string, d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	since, ok := w.alive[id]
	return ok && w.now().Sub(since) >= d
}

// lost reports whether a member has not answered for so long.
func (w *watch) lost(id string, d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	since, ok := w.dead[id]
	return ok && w.now().Sub(since) >= d
}

// placeable returns the members that may hold replicas: those that stay, but for lost ones if rf others are left.
func (w *watch) placeable(s *State, dead time.Duration) []*kithv1.MemberRecord {
	var present, all []*kithv1.MemberRecord
	for _, m := range s.Members {
		if !Stays(m) {
			continue
		}
		all = append(all, m)
		if !w.lost(m.Id, dead) {
			present = append(present, m)
		}
	}
	if len(present) >= int(s.Cluster.GetReplicationFactor()) {
		return present
	}
	return all // nobody could take over from the lost: they may come back
}

// isPlaceable reports whether a member is among the placeable.
func (w *watch) isPlaceable(s *State, id string, dead time.Duration) bool {
	return slices.ContainsFunc(w.placeable(s, dead), func(m *kithv1.MemberRecord) bool { return m.Id == id })
}
