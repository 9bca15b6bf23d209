package coordinator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/node"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// parse reads candidates: "a1+!" is a member of zone a that votes (+), is ready (!), and leads (*).
func parse(s string) []candidate {
	var out []candidate
	for _, f := range strings.Fields(s) {
		out = append(out, candidate{
			id: f[:2], zone: f[:1], voter: strings.Contains(f, "+"), ready: strings.Contains(f, "!"), leads: strings.Contains(f, "*"),
		})
	}
	return out
}

func TestChooseVoters(t *testing.T) {
	for _, c := range []struct{ name, candidates, want string }{
		{"one", "a1+!*", "a1"},
		{"a second does not vote", "a1+!* a2!", "a1"},
		{"a third makes three", "a1+!* a2! a3!", "a1 a2 a3"},
		{"not two of three while the third is not ready", "a1+!* a2! a3", "a1"},
		{"a fourth changes nothing", "a1+!* a2+! a3+! a4!", "a1 a2 a3"},
		{"five", "a1+!* a2+! a3+! a4! a5!", "a1 a2 a3 a4 a5"},
		{"not four of five", "a1+!* a2+! a3+! a4! a5", "a1 a2 a3"},
		{"never more than five", "a1+!* a2+! a3+! a4+! a5+! a6! a7!", "a1 a2 a3 a4 a5"},
		{"two of three that remain: the leader votes alone", "a2+! a3+!*", "a3"},
		{"who does not answer votes on", "a1+ a2+!* a3+!", "a1 a2 a3"},
		{"who answers comes before who does not", "a1+ a2+!* a3+! a4+!", "a2 a3 a4"},
		{"another zone is better", "a1+!* a2+! a3+! b1!", "a1 a2 b1"},
		{"but not before it is ready", "a1+!* a2+! a3+! b1", "a1 a2 a3"},
		{"zones in turn", "a1+!* a2! b1! b2! c1!", "a1 a2 b1 b2 c1"},
		{"none", "", ""},
	} {
		if got := strings.Join(chooseVoters(parse(c.candidates)), " "); got != c.want {
			t.Errorf("%s: of %q got %q, want %q", c.name, c.candidates, got, c.want)
		}
	}
}

func TestWatchCounts(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWatch(func() time.Time { return now })
	s := &State{Cluster: &kithv1.InitCluster{ReplicationFactor: 2}}
	for _, id := range []string{"a", "b", "c"} {
		s.Members = append(s.Members, &kithv1.MemberRecord{Id: id})
	}
	see := func(alive ...string) {
		var peers []node.Peer
		for _, m := range s.Members {
			peers = append(peers, node.Peer{ID: m.Id, Alive: slices.Contains(alive, m.Id)})
		}
		w.see(s.Members, peers)
	}
	placeable := func() string {
		var out []string
		for _, m := range w.placeable(s, time.Minute) {
			out = append(out, m.Id)
		}
		return strings.Join(out, " ")
	}
	see("a", "b", "c")
	if w.steady("a", time.Second) || w.lost("a", time.Minute) {
		t.Error("a member counts as steady or lost at once")
	}
	now = now.Add(time.Second)
	see("a", "b")
	now = now.Add(time.Minute)
	see("a", "b")
	if !w.steady("a", time.Minute) || w.steady("c", 0) || !w.lost("c", time.Minute) || w.lost("a", 0) {
		t.Error("a is steady and c is lost, and nothing else")
	}
	if got := placeable(); got != "a b" {
		t.Errorf("two others are left: placeable %q", got)
	}
	see("a")
	now = now.Add(time.Minute)
	see("a")
	if got := placeable(); got != "a b c" {
		t.Errorf("one is left for two replicas: placeable %q, but nobody could take over", got)
	}
	see("a", "c")
	if w.lost("c", 0) || w.steady("c", time.Nanosecond) {
		t.Error("c came back, and counts from now")
	}
	s.Members[0].Intent = kithv1.MemberIntent_MEMBER_INTENT_DRAIN
	if got := placeable(); got != "b c" {
		t.Errorf("a drains: placeable %q", got)
	}
}

func TestVotesAreGivenUpInOrder(t *testing.T) {
	s := &State{Members: []*kithv1.MemberRecord{
		{Id: "a"}, {Id: "b"}, {Id: "c", Intent: kithv1.MemberIntent_MEMBER_INTENT_LEAVE}, {Id: "d"}, {Id: "e", Intent: kithv1.MemberIntent_MEMBER_INTENT_DRAIN},
	}}
	for _, c := range []struct{ voters, alive, want string }{
		{"a b c", "a b c", "c a b"}, // c may hang, and nobody has noticed
		{"a b c", "a c", "b c a"},
		{"a b e d f", "a b d e f", "e f a b d"}, // f is no member any more
	} {
		if got := strings.Join(giveUp(s, strings.Fields(c.voters), strings.Fields(c.alive)), " "); got != c.want {
			t.Errorf("voters %s, of whom %s answer: %s, want %s", c.voters, c.alive, got, c.want)
		}
	}
}
