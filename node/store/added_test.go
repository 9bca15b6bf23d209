package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// genWeights has weights of all kinds: that can be added, that can be to new items alone, and that cannot.
var genWeights = rapid.Custom(func(t *rapid.T) fusion.Weights {
	w := fusion.Weights{Behavior: map[fusion.Behavior]float64{}}
	kind := rapid.IntRange(0, 5).Draw(t, "kind of weights")
	for _, b := range []fusion.Behavior{fusion.View, fusion.Purchase, fusion.Cancel, fusion.Rating, fusion.Impression, "wish"} {
		x := float64(rapid.IntRange(0, 5).Draw(t, string(b)))
		switch {
		case b == fusion.Cancel || kind == 0 && b == "wish":
			x = -x
		case kind == 1:
			x /= 10
		}
		w.Behavior[b] = x
	}
	switch kind {
	case 2:
		w.HalfLife = 1
	case 3:
		w.Cap = rapid.SampledFrom([]float64{1, 7, 7.00000001, 0.5, 1 << 30}).Draw(t, "cap")
	}
	return w
})

// checkAdded holds the row of a user that is made of the row as it was and of the events that came against that of all events. It reports false where the user is to be read.
func checkAdded(rt *rapid.T, c fusion.UserChange, weights fusion.Weights, was, now []fusion.Event) (added bool) {
	const nowMs = 5
	if c.Adds == fusion.AddsNone {
		if len(c.Events) > 0 {
			rt.Fatalf("%+v: events of a user who is to be read", c)
		}
		return false
	}
	row := map[string]float32{}
	for _, x := range fusion.Fuse(was, weights, nowMs) {
		row[x.Item] = x.Weight
	}
	want := map[string]float32{}
	for _, x := range fusion.Fuse(now, weights, nowMs) {
		want[x.Item] = x.Weight
	}
	came := map[string][]fusion.Addition{}
	for _, e := range c.Events {
		came[e.Item] = append(came[e.Item], e)
	}
	adder := weights.Adder()
	for item, events := range came {
		old, had := row[item]
		weight, has, ok := adder.Add(c.Adds, old, had, events)
		if !ok { // the user is read
			return false
		}
		if delete(row, item); has {
			row[item] = weight
		}
	}
	if diff := gocmp.Diff(want, row); diff != "" {
		rt.Fatalf("%+v by %+v, of %+v to %+v: -want +got:\n%s", c, weights, was, now, diff)
	}
	return true
}

// TestAddedRows makes rows of rows and of the events that came, over many events of few users, some of whom do nothing that cannot be added, erasures, joins, a restart, and a restored snapshot.
func TestAddedRows(t *testing.T) {
	users := []string{"all", "new", "none", "any", "b", "c", "d"}
	added, read := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewMem()
		open := func() *Store {
			s, err := Open(Options{Dir: "store", fs: fs, added: rapid.SampledFrom([]int{8, 100}).Draw(rt, "remembered")})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		defer func() {
			if err := s.Close(); err != nil {
				rt.Error(err)
			}
		}()
		index, id := uint64(0), 0
		was, base := map[string][]fusion.Event{}, uint64(0)
		scan := func(cut uint64) map[string][]fusion.Event {
			rows := map[string][]fusion.Event{}
			if err := s.Scan(t.Context(), cut, "", func(user string, events []fusion.Event) error {
				rows[user] = slices.Clone(events)
				return nil
			}); err != nil {
				rt.Fatalf("scan up to %d: %v", cut, err)
			}
			return rows
		}
		draw := func() fusion.Event {
			e := fusion.Event{
				User: rapid.SampledFrom(users).Draw(rt, "user"), ID: fmt.Sprint(rapid.IntRange(max(0, id-9), id).Draw(rt, "id")), Time: rapid.Int64Range(0, 9).Draw(rt, "time"),
				Item: rapid.SampledFrom([]string{"i", "j", "k", "l", "m"}).Draw(rt, "item"), Value: float64(rapid.IntRange(0, 3).Draw(rt, "value")),
				Behavior: rapid.SampledFrom([]fusion.Behavior{fusion.View, fusion.Purchase, "wish"}).Draw(rt, "behavior"),
			}
			id++
			odd := rapid.IntRange(0, 3).Draw(rt, "odd") == 0
			switch e.User {
			case "all":
				if rapid.IntRange(0, 9).Draw(rt, "large") == 0 {
					e.Value = 1 << 20
				}
			case "new":
				if odd {
					e.Behavior, e.Value = fusion.Rating, rapid.SampledFrom([]float64{-1, 0, 1, 0.3}).Draw(rt, "rating")
				} else if rapid.Bool().Draw(rt, "part") {
					e.Value = rapid.SampledFrom([]float64{0.1, 0.7, 1e-300, 1 << 40, 1 + 1.0/(1<<24)}).Draw(rt, "part of a whole")
				}
			case "none":
				if odd {
					e.Behavior = fusion.Cancel
				}
			case "any":
				if odd {
					e.Behavior, e.Value = rapid.SampledFrom([]fusion.Behavior{fusion.Rating, fusion.View, fusion.Cancel}).Draw(rt, "any behavior"), genValue.Draw(rt, "any value")
				}
			}
			return e
		}
		do := func(command any) {
			index++
			execute(t, s, index, command)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			var last map[string][]fusion.Event // at a cut in the middle
			var cut uint64
			for k := range rapid.IntRange(1, 4).Draw(rt, "commands") {
				switch rapid.SampledFrom([]int{0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}).Draw(rt, "what") {
				case 0:
					do(Erase{User: rapid.SampledFrom(users).Draw(rt, "erased"), Secret: testSecret, Request: [16]byte{byte(index), 1}, Again: true})
				case 1:
					from, to := rapid.SampledFrom(users[3:6]).Draw(rt, "from"), rapid.SampledFrom(users[6:]).Draw(rt, "to")
					j := Join{From: from, To: to, ID: index + 1}
					moved := []fusion.Event{}
					for _, e := range scan(index)[from] {
						moved = append(moved, e.Under(to))
					}
					do(Join{Step: JoinBegin, From: from, To: to})
					do(Join{Step: JoinAdopt, From: from, To: to, ID: j.ID})
					do(copies{Join: j, events: moved})
					do(Join{Step: JoinComplete, From: from, To: to, ID: j.ID})
					do(Join{Step: JoinSettle, From: from, To: to, ID: j.ID})
				default:
					events := make([]fusion.Event, rapid.IntRange(1, 12).Draw(rt, "events"))
					for i := range events {
						events[i] = draw()
					}
					do(events)
				}
				if k == 0 {
					cut, last = index, scan(index)
				}
			}
			if rapid.Bool().Draw(rt, "at the end") {
				cut, last = index, scan(index)
			}
			changes, known, err := s.Changed(base, cut)
			if errors.Is(err, ErrErased) {
				cut, last = index, scan(index)
				changes, known, err = s.Changed(base, cut)
			}
			if err != nil {
				rt.Fatal(err)
			}
			weights := genWeights.Draw(rt, "weights")
			names := namesOf(changes)
			for _, user := range users {
				if known && gocmp.Diff(was[user], last[user]) != "" && !slices.Contains(names, user) {
					rt.Fatalf("behind %d up to %d %q has changed, and is not in %q", base, cut, user, names)
				}
			}
			for _, c := range changes {
				if checkAdded(rt, c, weights, was[c.User], last[c.User]) {
					added++
				} else {
					read++
				}
			}
			was, base = last, cut
			switch rapid.IntRange(0, 30).Draw(rt, "end") {
			case 0:
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = open()
			case 1:
				if err := s.Restore(bytes.NewReader(snapshot(t, s))); err != nil {
					rt.Fatal(err)
				}
			}
		}
	})
	t.Logf("%d users by what came, and %d to be read", added, read)
	if added < read/8 {
		t.Errorf("%d users by what came, and %d to be read: want more", added, read)
	}
}

// TestAddedAtOnce looks at single users: what is known of them, and when.
func TestAddedAtOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	kinds := func(after, cut uint64) (out string) {
		t.Helper()
		users, known, err := s.Changed(after, cut)
		if err != nil || !known {
			t.Fatalf("behind %d up to %d: known %v, %v", after, cut, known, err)
		}
		for _, c := range users {
			out += fmt.Sprintf("%s/%d/%d ", c.User, c.Adds, len(c.Events))
		}
		return out
	}
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	pass := func(cut uint64, end error) {
		t.Helper()
		if err := s.Scan(t.Context(), cut, "", func(string, []fusion.Event) error { return end }); err != nil {
			t.Fatal(err)
		}
	}
	cancel, part, rating := event("none", "1", "i", 1), event("new", "1", "i", 1), event("rating", "1", "i", 1)
	cancel.Behavior, part.Value, rating.Behavior = fusion.Cancel, 0.5, fusion.Rating
	reopen := func() { // without what was known
		t.Helper()
		if err := errors.Join(s.Close(), fs.Remove("store/"+changedFile)); err != nil {
			t.Fatal(err)
		}
		s = open(t, fs)
	}
	apply(t, s, 1, cancel, part, rating, event("all", "1", "i", 1))
	reopen()
	apply(t, s, 2, event("none", "2", "i", 1), event("new", "2", "i", 1), event("rating", "2", "i", 1), event("all", "2", "i", 1), event("all", "1", "i", 1))
	const unknown = "all/2/0 new/2/0 none/2/0 rating/2/0 "
	check("nothing is known of what there was", kinds(1, 2), unknown)
	pass(2, ErrStop)
	check("after a part of a pass", kinds(1, 2), unknown)
	if err := s.ScanUsers(t.Context(), 2, []string{"all"}, func(string, []fusion.Event) error { return nil }); err != nil || s.KnowsUsers() {
		t.Errorf("after a look at one user: %v, known %v", err, s.KnowsUsers())
	}
	if err := s.Scan(t.Context(), 2, "b", func(string, []fusion.Event) error { return nil }); err != nil || s.KnowsUsers() {
		t.Errorf("after a pass over some users: %v, known %v", err, s.KnowsUsers())
	}
	apply(t, s, 3, event("all", "3", "i", 1), event("later", "1", "i", 1))
	reopen()
	pass(2, nil)
	if s.KnowsUsers() {
		t.Error("a pass up to a cut before the store was opened tells of users what came since")
	}
	pass(3, nil)
	apply(t, s, 4, event("none", "4", "i", 1), event("new", "4", "i", 1), event("rating", "4", "i", 1), event("all", "4", "i", 1), event("all", "5", "i", 1), event("all", "1", "i", 1))
	check("after a pass", kinds(3, 4), "all/0/2 new/1/1 none/2/0 rating/1/1 ")
	odd := event("all", "6", "i", 1)
	odd.Value = -1
	apply(t, s, 5, odd, event("new", "4", "i", 1))
	check("of what came since", kinds(3, 5), "all/2/0 new/1/1 none/2/0 rating/1/1 ")
	check("up to before", kinds(3, 4), "all/2/0 new/1/1 none/2/0 rating/1/1 ")
	check("behind that", kinds(4, 5), "all/2/0 ")
	j := Join{From: "none", To: "later", ID: 6}
	execute(t, s, 6, Join{Step: JoinBegin, From: j.From, To: j.To})
	execute(t, s, 7, Join{Step: JoinAdopt, From: j.From, To: j.To, ID: j.ID})
	execute(t, s, 8, copies{Join: j, events: []fusion.Event{cancel.Under("later")}})
	check("of one who gets the events of another", kinds(5, 8), "later/2/0 ")
	apply(t, s, 9, event("later", "9", "i", 1))
	check("of one who has those of another", kinds(8, 9), "later/2/0 ")
}

// TestAddsOfUsers: no user is taken for one to whom more can be added, and few for ones to whom less can be.
func TestAddsOfUsers(t *testing.T) {
	var known, others addsOfUsers
	const n = keptTouched
	for i := range n {
		x := &known
		if i%3 == 0 {
			x = &others
		}
		x.note(fmt.Sprint("u", i), fusion.Adds(i%3))
	}
	known.join(&others)
	wrong := 0
	for i := range 3 * n {
		want := fusion.AddsAll
		if i < n {
			want = fusion.Adds(i % 3)
		}
		got := known.of(fmt.Sprint("u", i))
		if got < want {
			t.Fatalf("user %d: %d, want %d", i, got, want)
		}
		if got > want {
			wrong++
		}
	}
	if wrong > n/100 {
		t.Errorf("%d of %d users are taken for others", wrong, 3*n)
	}
}
