package store

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// copies is a command of a test.
type copies struct {
	Join
	events []fusion.Event
}

// erasedChild is a command of a test.
type erasedChild struct {
	Join
	keys []ErasedKey
}

// joins is what the twin knows of joins.
type joins struct {
	alias map[string]alias
	child map[[2]string]child // by To and From
	// erased are the keys that were erased with a user, in order.
	erased map[string][]ErasedKey
}

func (j *joins) clone() joins {
	return joins{maps.Clone(j.alias), maps.Clone(j.child), maps.Clone(j.erased)}
}

func (j *joins) hides(user string, cut uint64) bool {
	a, ok := j.alias[user]
	return ok && a.hides(cut)
}

// genStep draws a step that fits what there is, or one that does not.
func (m *model) genStep(t *rapid.T) any {
	j := Join{
		Step: JoinStep(rapid.IntRange(1, int(lastJoinStep)).Draw(t, "step")),
		From: rapid.SampledFrom(testUsers[:3]).Draw(t, "from"), To: rapid.SampledFrom(testUsers[3:]).Draw(t, "to"), ID: rapid.Uint64Range(0, m.applied).Draw(t, "id"),
	}
	if rapid.IntRange(0, 3).Draw(t, "chain") == 0 {
		j.From, j.To = testUsers[3], testUsers[4]
	}
	if a, ok := m.alias[j.From]; ok && rapid.IntRange(0, 9).Draw(t, "fits") > 0 {
		j.To, j.ID = a.to, a.id
	}
	if rapid.IntRange(0, 3).Draw(t, "copies") == 0 {
		return m.copiesOf(j)
	}
	if rapid.IntRange(0, 3).Draw(t, "erased") == 0 {
		c := erasedChild{Join: Join{From: j.From, To: j.To, ID: j.ID}}
		for range rapid.IntRange(1, 2).Draw(t, "keys") {
			c.keys = append(c.keys, ErasedKey{
				Hash:      HashUser(testSecret, rapid.SampledFrom(testUsers).Draw(t, "key")),
				Partition: rapid.Uint32().Draw(t, "partition"), Index: rapid.Uint64().Draw(t, "index"), Profile: rapid.Bool().Draw(t, "profile"),
			})
		}
		return c
	}
	switch j.Step {
	case JoinBegin:
		j.ID = 0
	case JoinSweep:
		j.From, j.To = "", ""
	}
	return j
}

// copiesOf copies all events of From.
func (m *model) copiesOf(j Join) copies {
	c := copies{Join: Join{From: j.From, To: j.To, ID: j.ID}, events: []fusion.Event{}}
	for k, e := range m.events {
		if k[0] == j.From {
			c.events = append(c.events, e.Under(j.To))
		}
	}
	slices.SortFunc(c.events, compareEvents)
	return c
}

// step is what the twin does.
func (m *model) step(index uint64, command any) (r Result) {
	if c, ok := command.(copies); ok {
		return m.copy(index, c)
	}
	m.applied = index
	if e, ok := command.(erasedChild); ok {
		r.Join.ID = e.ID
		if c, known := m.child[[2]string{e.To, e.From}]; known && c.id == e.ID {
			m.child[[2]string{e.To, e.From}] = child{JoinErased, e.ID, merged(c.erased, e.keys)} // those of an earlier one stay
			r.Join.State = JoinErased
		}
		return r
	}
	j := command.(Join)
	r.Join.ID = j.ID
	a, joined := m.alias[j.From]
	c, known := m.child[[2]string{j.To, j.From}]
	switch j.Step {
	case JoinBegin:
		if !joined {
			for _, from := range slices.Sorted(slices.Values(testUsers)) {
				if c := m.child[[2]string{j.From, from}]; c.state == JoinOpen {
					r.Join = JoinOutcome{State: JoinBusy, To: from, ID: c.id}
					return r
				}
			}
			a = alias{state: JoinPending, to: j.To, id: index}
			m.alias[j.From] = a
		}
		r.Join = JoinOutcome{State: a.state, To: a.to, ID: a.id, Fresh: !joined}
		return r
	case JoinSettle, JoinCancel:
		if !joined || a.id != j.ID || a.to != j.To {
			return r
		}
		if r.Join.To = a.to; a.state == JoinPending && j.Step == JoinCancel {
			delete(m.alias, j.From)
			return r
		}
		if a.state == JoinPending {
			for k := range m.events {
				if k[0] == j.From {
					r.Join.Events++
				}
			}
			a.state, a.settled = JoinSettled, index
			m.alias[j.From] = a
		}
		r.Join.State = a.state
		return r
	case JoinSweep:
		r.Join.ID = 0
		for user, a := range m.alias {
			if a.hides(j.ID) && m.forget(user) {
				r.Join.Events++
				m.erasedAt = max(m.erasedAt, a.settled)
			}
		}
		return r
	}
	own := known && c.id == j.ID
	switch {
	case known && c.id > j.ID:
	case j.Step == JoinDrop && own && c.state != JoinErased:
		delete(m.child, [2]string{j.To, j.From})
	case j.Step == JoinDrop:
	case j.Step == JoinComplete && own && c.state == JoinOpen:
		c.state = JoinCompleted
		m.child[[2]string{j.To, j.From}] = c
		r.Join.State = c.state
	case own:
		r.Join.State = c.state
	case j.Step == JoinAdopt && m.alias[j.To].to != "":
		r.Join.State, r.Join.To = JoinElsewhere, m.alias[j.To].to
	case j.Step == JoinAdopt || j.Step == JoinBar:
		r.Join.State = map[JoinStep]JoinState{JoinAdopt: JoinOpen, JoinBar: JoinBarred}[j.Step]
		m.child[[2]string{j.To, j.From}] = child{state: r.Join.State, id: j.ID}
	}
	return r
}

// forget removes the events of a user, and reports whether there were any.
func (m *model) forget(user string) bool {
	before := len(m.events)
	maps.DeleteFunc(m.events, func(k [2]string, _ fusion.Event) bool { return k[0] == user })
	return len(m.events) < before
}

func (m *model) copy(index uint64, c copies) (r Result) {
	of := m.child[[2]string{c.To, c.From}]
	if of.id != c.ID || of.state != JoinOpen {
		m.applied = index
		if r.Join.ID = c.ID; of.id == c.ID {
			r.Join.State = of.state
		}
		return r
	}
	events := slices.Clone(c.events)
	for i := range events {
		e := &events[i]
		if have, ok := m.events[[2]string{e.User, e.ID}]; ok && (have.Item != e.Item || have.Behavior != e.Behavior || have.Time != e.Time) {
			other := *e
			other.User = e.ID
			e.ID = fusion.ContentID(&other)
		}
	}
	a, joined := m.alias[c.To] // of a step that does not fit
	delete(m.alias, c.To)
	r = m.add(index, events)
	if joined {
		m.alias[c.To] = a
	}
	r.Join = JoinOutcome{State: JoinOpen, ID: c.ID, Events: r.Appended}
	return r
}

// refuses is what an erasure finds that must be erased before.
func (m *model) refuses(e Erase) (r Result) {
	a, joined := m.alias[e.User]
	switch {
	case joined && a.to != e.Account:
		r.Moved = []Moved{{e.User, a.to}}
		return r
	case !joined && e.Account != "" && e.Account != e.User:
		r.Moved = []Moved{{e.User, e.User}}
		return r
	}
	for _, from := range slices.Sorted(slices.Values(testUsers)) {
		if c, ok := m.child[[2]string{e.User, from}]; ok && c.state != JoinErased {
			r.Joined = append(r.Joined, Joined{from, c.id})
		}
	}
	return r
}

// bury is what the erasure of a user remembers of the keys that were erased with it.
func (m *model) bury(user string) []ErasedKey {
	var more []ErasedKey
	for _, from := range slices.Sorted(slices.Values(testUsers)) {
		more = append(more, m.child[[2]string{user, from}].erased...)
		delete(m.child, [2]string{user, from})
	}
	if len(m.erased[user])+len(more) == 0 {
		return nil
	}
	m.erased[user] = merged(m.erased[user], more)
	return m.erased[user]
}

// unjoin makes a user one by itself, and reports whether events were removed that do not count.
func (m *model) unjoin(user string) bool {
	a, ok := m.alias[user]
	delete(m.alias, user)
	return ok && a.state == JoinSettled && m.forget(user)
}

// checkAliases compares what the store says of all users.
func (m *model) checkAliases(t *testing.T, s *Store) {
	t.Helper()
	var pending []Join
	for _, user := range slices.Sorted(slices.Values(testUsers)) {
		u, err := s.User(user)
		if err != nil {
			t.Fatal(err)
		}
		want := UserState{User: user, State: m.alias[user].state, To: m.alias[user].to, ID: m.alias[user].id}
		for k := range m.events {
			if k[0] == user && want.State != JoinSettled {
				want.Events++
			}
		}
		if u != want {
			t.Fatalf("%+v, want %+v", u, want)
		}
		events, err := s.History(t.Context(), user)
		for _, e := range events {
			if _, ok := m.events[[2]string{user, e.ID}]; !ok {
				t.Fatalf("%q has event %q still", user, e.ID)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if want.State == JoinPending {
			pending = append(pending, Join{From: user, To: want.To, ID: want.ID})
		}
	}
	got, err := s.PendingJoins(t.Context(), 100)
	if err != nil || !slices.Equal(got, pending) {
		t.Fatalf("pending %+v, %v; want %+v", got, err, pending)
	}
	if mark := s.Mark(); mark.Pending != uint64(len(pending)) {
		t.Fatalf("%d pending, want %d", mark.Pending, len(pending))
	}
}

// TestJoin goes through a join within one store: what a cut before it has is what it had, until the sweep.
func TestJoin(t *testing.T) {
	s := openMem(t)
	seen := event("cookie", "1", "lamp", 5)
	clash := event("cookie", "2", "sofa", 6)
	shown := fusion.Event{User: "cookie", ID: "3", Item: "rug", Behavior: fusion.Impression, Value: 1, Time: 7, Context: map[string]string{fusion.ContextAnswer: "x"}}
	apply(t, s, 1, seen, clash, shown, event("account", "2", "bed", 1))
	j := Join{Step: JoinBegin, From: "cookie", To: "account"}
	if got := execute(t, s, 2, j).Join; got != (JoinOutcome{State: JoinPending, To: "account", ID: 2, Fresh: true}) {
		t.Fatalf("began %+v", got)
	}
	if r := apply(t, s, 3, event("cookie", "4", "lamp", 8), event("b", "1", "lamp", 8)); r.Appended != 1 || !slices.Equal(r.Moved, []Moved{{"cookie", "account"}}) {
		t.Fatalf("events of a joined key: %+v", r)
	}
	j.ID = 2
	index := uint64(3)
	step := func(s JoinStep) Join { c := j; c.Step = s; return c }
	for range 2 { // each step may come twice
		moved := copies{Join: j}
		for _, e := range []fusion.Event{seen, clash, shown} {
			moved.events = append(moved.events, e.Under("account"))
		}
		for _, c := range []any{step(JoinAdopt), moved, step(JoinComplete), step(JoinSettle)} {
			index++
			execute(t, s, index, c)
		}
	}
	history, err := s.History(t.Context(), "account")
	if err != nil || len(history) != 4 {
		t.Fatalf("%d events of the account: %v, %v", len(history), history, err)
	}
	if e := history[3]; e.Item != "rug" || e.Context[fusion.ContextAsked] != "cookie" {
		t.Errorf("feedback %+v, want the key that was answered", e)
	}
	if c := s.Counts(); c.Events != 5 || c.Users != 2 {
		t.Errorf("%+v, want 5 events of 2 users", c)
	}
	scan := func(cut uint64) (users []string, err error) {
		err = s.Scan(t.Context(), cut, "", func(user string, _ []fusion.Event) error { users = append(users, user); return nil })
		return users, err
	}
	if users, err := scan(3); err != nil || !slices.Equal(users, []string{"account", "b", "cookie"}) {
		t.Errorf("a cut before: %v, %v", users, err)
	}
	if users, err := scan(7); err != nil || !slices.Equal(users, []string{"account", "b"}) {
		t.Errorf("a cut behind: %v, %v", users, err)
	}
	if got := execute(t, s, index+1, Join{Step: JoinSweep, ID: index}); got.Join.Events != 1 {
		t.Errorf("swept %d keys, want 1", got.Join.Events)
	}
	if _, err := scan(3); !errors.Is(err, ErrErased) {
		t.Errorf("a cut before, once it is swept: %v, want ErrErased", err)
	}
	if users, err := scan(7); err != nil || !slices.Equal(users, []string{"account", "b"}) {
		t.Errorf("a cut behind, once it is swept: %v, %v", users, err)
	}
}

func FuzzDecodeJoin(f *testing.F) {
	f.Add(EncodeJoin(nil, Join{Step: JoinAdopt, From: "a", To: "b", ID: 3}))
	f.Add(EncodeCopies(nil, "a", "b", 3, []fusion.Event{event("b", "1", "i", 2)}))
	f.Add(EncodeErased(nil, "a", "b", 3, []ErasedKey{{Hash: Hash{1}, Partition: 2, Index: 7, Events: 1, Profile: true}}))
	f.Fuzz(func(t *testing.T, command []byte) {
		if j, keys, err := decodeErased(command); err == nil {
			if again, same, err := decodeErased(EncodeErased(nil, j.From, j.To, j.ID, keys)); err != nil || again != j || !slices.Equal(same, keys) {
				t.Errorf("%+v of %+v, again %+v of %+v, %v", keys, j, same, again, err)
			}
		}
		if j, err := decodeJoin(command); err == nil {
			if again, err := decodeJoin(EncodeJoin(nil, j)); err != nil || again != j {
				t.Errorf("%+v, again %+v, %v", j, again, err)
			}
		}
		if j, events, err := decodeCopies(command); err == nil {
			if again, copied, err := decodeCopies(EncodeCopies(nil, j.From, j.To, j.ID, events)); err != nil || again != j || len(copied) != len(events) {
				t.Errorf("%+v, again %+v, %v", j, again, err)
			}
		}
	})
}

// TestMergedKeys: what two erasures removed of a key adds up, and the same erasure told twice counts once.
func TestMergedKeys(t *testing.T) {
	a, b := Hash{1}, Hash{2}
	old := []ErasedKey{{Hash: b, Index: 5, Events: 2, Profile: true}, {Hash: a, Index: 9, Events: 1}}
	more := []ErasedKey{{Hash: a, Index: 9, Events: 1}, {Hash: b, Index: 7, Events: 3}}
	want := []ErasedKey{{Hash: a, Index: 9, Events: 1}, {Hash: b, Index: 7, Events: 5, Profile: true}}
	if got := merged(old, more); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
