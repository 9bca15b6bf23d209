package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// follower is the twin of what a store remembers of users: it has all that scans gave when their cut was the last command.
type follower struct {
	was map[uint64]map[string][]fusion.Event // by cut
	// floor is the index from which on the store knows the users, unless it keeps few; it may know them from floorIfSaved on.
	floor, floorIfSaved uint64
	few                 bool
}

// saw notes what there is now.
func (f *follower) saw(m *model) { f.was[m.applied] = m.at(m.applied).History }

// opened says that the store was opened at an index, or restored to it.
func (f *follower) opened(at uint64) { f.floor, f.floorIfSaved = at, at }

// reopened says that the store was closed and opened at an index. With erased users it may have forgotten what it knew.
func (f *follower) reopened(at uint64, erased bool) {
	if erased {
		f.floor = at
	}
}

// restored says that the log goes on at an index.
func (f *follower) restored(at uint64) {
	maps.DeleteFunc(f.was, func(cut uint64, _ map[string][]fusion.Event) bool { return cut > at })
	f.opened(at)
}

// check asks for the users that have changed between two cuts, and for the events of some.
func (f *follower) check(rt *rapid.T, t *testing.T, m *model, s *Store) {
	after := rapid.SampledFrom(slices.Sorted(maps.Keys(f.was))).Draw(rt, "after")
	cut := rapid.Uint64Range(after, m.applied+1).Draw(rt, "cut")
	users, known, err := s.Changed(after, cut)
	if cut > m.applied || cut < m.erasedAt {
		want := ErrErased
		if cut > m.applied {
			want = ErrBehind
		}
		if !errors.Is(err, want) {
			rt.Fatalf("changed up to %d of %d, erased at %d: got %v, want %v", cut, m.applied, m.erasedAt, err, want)
		}
	} else {
		if err != nil {
			rt.Fatal(err)
		}
		if known && after < f.floorIfSaved || !known && after >= f.floor && !f.few {
			rt.Fatalf("changed behind %d, from %d (%d) on they are known: got %v", after, f.floor, f.floorIfSaved, known)
		}
		if known {
			f.floor, f.floorIfSaved = max(f.floor, after), max(f.floorIfSaved, after)
		}
		names := namesOf(users)
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) || !known && users != nil {
			rt.Fatalf("changed are %v, known %v", users, known)
		}
		now := m.at(cut).History
		for user := range f.differ(after, now) {
			if known && !slices.Contains(names, user) {
				rt.Fatalf("changed behind %d up to %d are %v, and %q is missing", after, cut, users, user)
			}
		}
		weights := genWeights.Draw(rt, "weights")
		for _, c := range users {
			checkAdded(rt, c, weights, f.was[after][c.User], now[c.User])
		}
	}
	some := slices.Clone(testUsers)
	if rapid.Bool().Draw(rt, "some") {
		some = rapid.SliceOfDistinct(rapid.SampledFrom(append(testUsers, "aa", "zz")), rapid.ID[string]).Draw(rt, "users")
	}
	slices.Sort(some)
	got := map[string][]fusion.Event{}
	var order []string
	err = s.ScanUsers(t.Context(), cut, some, func(user string, events []fusion.Event) error {
		order, got[user] = append(order, user), slices.Clone(events)
		return nil
	})
	if cut > m.applied || cut < m.erasedAt {
		want := ErrErased
		if cut > m.applied {
			want = ErrBehind
		}
		if !errors.Is(err, want) || len(order) > 0 {
			rt.Fatalf("scan of %q up to %d of %d, erased at %d: %v, %q", some, cut, m.applied, m.erasedAt, err, order)
		}
		return
	}
	if err != nil || !slices.Equal(order, some) {
		rt.Fatalf("scan of %q: %v, %q", some, err, order)
	}
	of := m.at(cut).History
	for _, user := range some {
		if diff := gocmp.Diff(of[user], got[user]); diff != "" && len(of[user])+len(got[user]) > 0 {
			rt.Fatalf("scan of %q up to %d of %d, user %q: -want +got:\n%s", some, cut, m.applied, user, diff)
		}
	}
}

func namesOf(users []fusion.UserChange) (names []string) {
	for _, c := range users {
		names = append(names, c.User)
	}
	return names
}

// differ returns the users that have not the events any more that they had at a cut.
func (f *follower) differ(cut uint64, now map[string][]fusion.Event) map[string]bool {
	out := map[string]bool{}
	for _, user := range testUsers {
		if was := f.was[cut][user]; len(was)+len(now[user]) > 0 && !reflect.DeepEqual(was, now[user]) {
			out[user] = true
		}
	}
	return out
}

// changed returns what Changed does, but for its error.
func changed(t *testing.T, s *Store, after, cut uint64) ([]string, bool) {
	t.Helper()
	users, known, err := s.Changed(after, cut)
	if err != nil {
		t.Fatalf("changed behind %d up to %d: %v", after, cut, err)
	}
	return namesOf(users), known
}

// TestChanged follows a store over commands of each kind, over more users than it remembers, and over a restart and a restored snapshot.
func TestChanged(t *testing.T) {
	fs := vfs.NewMem()
	open := func() *Store {
		s, err := Open(Options{Dir: "store", fs: fs, touched: 4})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	want := func(after, cut uint64, want ...string) {
		t.Helper()
		if users, known := changed(t, s, after, cut); !known || !slices.Equal(users, want) {
			t.Errorf("changed behind %d up to %d: %q, known %v; want %q", after, cut, users, known, want)
		}
	}
	unknown := func(after, cut uint64) {
		t.Helper()
		if users, known := changed(t, s, after, cut); known || users != nil {
			t.Errorf("changed behind %d up to %d: %q, known %v; want that it is not known", after, cut, users, known)
		}
	}
	apply(t, s, 3, event("b", "1", "i", 1), event("a", "1", "i", 1))
	apply(t, s, 4, fusion.Event{User: "b", ID: "2", Item: "i", Behavior: fusion.Impression, Value: 1, Time: 7, Context: map[string]string{fusion.ContextAnswer: "x"}})
	want(0, 4, "a", "b")
	want(0, 3, "a", "b")
	want(0, 2)
	want(3, 4, "b")
	want(4, 4)
	unknown(3, 4) // of a version that is older than the last one
	putProducts(t, s, 5, 1, "a")
	execute(t, s, 6, Join{Step: JoinBegin, From: "a", To: "c"})
	execute(t, s, 7, Join{Step: JoinAdopt, From: "a", To: "c", ID: 6})
	want(4, 7)
	moved := copies{Join: Join{From: "a", To: "c", ID: 6}, events: []fusion.Event{event("c", "1", "i", 1)}}
	execute(t, s, 8, moved)
	want(7, 8, "c")
	execute(t, s, 9, Join{Step: JoinComplete, From: "a", To: "c", ID: 6})
	want(8, 9)
	execute(t, s, 10, Join{Step: JoinSettle, From: "a", To: "c", ID: 6})
	want(9, 10, "a")
	execute(t, s, 11, Erase{User: "b", Secret: testSecret, Request: [16]byte{1}})
	want(10, 11, "b")
	unknown(12, 11) // a cut before the version
	want(11, 11)
	if _, _, err := s.Changed(11, 12); !errors.Is(err, ErrBehind) {
		t.Errorf("a cut that is not applied: %v, want ErrBehind", err)
	}

	apply(t, s, 20, event("e", "1", "i", 1), event("f", "1", "i", 1), event("g", "1", "i", 1), event("h", "1", "i", 1))
	want(11, 20, "e", "f", "g", "h")
	apply(t, s, 21, event("h", "2", "i", 1))
	want(11, 21, "e", "f", "g", "h")
	apply(t, s, 22, event("i", "1", "i", 1)) // one too many
	unknown(11, 22)
	unknown(21, 22)
	want(22, 22)
	apply(t, s, 23, event("e", "2", "i", 1))
	want(22, 23, "e")

	stream := snapshot(t, s)
	if err := s.Restore(bytes.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	unknown(22, 23)
	want(23, 23)
	apply(t, s, 24, event("f", "2", "i", 1))
	want(23, 24, "f")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Changed(23, 24); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed store: %v, want ErrClosed", err)
	}
	s = open()
	unknown(22, 24)
	want(23, 24, "f")
	apply(t, s, 25, event("g", "2", "i", 1))
	want(23, 25, "f", "g")
}

// TestSavedTouched closes stores and opens them again: what they remember of users, and of what can be added to them, is as it was.
func TestSavedTouched(t *testing.T) {
	for _, test := range []struct {
		name string
		// before changes the store before it is closed, and after its files then.
		before func(s *Store)
		after  func(fs vfs.FS)
		most   int // users that are remembered when it is opened again
		lost   bool
	}{
		{name: "fewer are remembered", most: 3, lost: true},
		{name: "as it was"},
		{name: "erased before the last version", before: func(s *Store) {
			execute(t, s, 4, Erase{User: "e", Secret: testSecret, Request: [16]byte{1}})
			changed(t, s, 4, 4)
			apply(t, s, 5, event("b", "9", "i", 1))
		}},
		{name: "erased since", before: func(s *Store) { execute(t, s, 4, Erase{User: "secret", Secret: testSecret, Request: [16]byte{1}}) }, lost: true},
		{name: "damaged", after: func(fs vfs.FS) {
			if err := corruptFile(fs, "store/"+changedFile); err != nil {
				t.Fatal(err)
			}
		}, lost: true},
		{name: "cut", after: func(fs vfs.FS) {
			if err := writeFile(fs, "store/"+changedFile, []byte("1234567")); err != nil {
				t.Fatal(err)
			}
		}, lost: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs := vfs.NewMem()
			open := func(most int) *Store {
				t.Helper()
				s, err := Open(Options{Dir: "store", fs: fs, touched: most})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := open(0)
			apply(t, s, 1, event("a", "1", "i", 1), fusion.Event{User: "b", ID: "1", Item: "i", Behavior: fusion.View, Value: 1.5}, fusion.Event{User: "c", ID: "1", Item: "i", Behavior: fusion.Cancel, Value: 1}, event("e", "1", "i", 1), event("secret", "1", "i", 1))
			if err := s.Scan(t.Context(), 1, "", func(string, []fusion.Event) error { return nil }); err != nil {
				t.Fatal(err)
			}
			changed(t, s, 1, 1)
			apply(t, s, 2, event("a", "2", "j", 1), event("a", "3", "k", 2), event("b", "2", "j", 1), event("c", "2", "j", 1))
			apply(t, s, 3, event("a", "4", "j", 3), event("d", "1", "j", 1))
			if test.before != nil {
				test.before(s)
			}
			applied := s.Applied()
			floor := uint64(1)
			if applied == 5 {
				floor = 4
			}
			want, _, err := s.Changed(floor, applied)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if b, err := readFile(fs, "store/"+changedFile); err == nil && bytes.Contains(b, []byte("secret")) {
				t.Errorf("a user who is erased is in %s", changedFile)
			}
			if test.after != nil {
				test.after(fs)
			}
			s = open(test.most)
			if _, err := fs.Stat("store/" + changedFile); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s of an open store: %v", changedFile, err)
			}
			got, known, err := s.Changed(floor, applied)
			if err != nil || known == test.lost || !test.lost && !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, known %v, %v; want %+v", got, known, err, want)
			}
			if s.KnowsUsers() == test.lost {
				t.Errorf("it knows users: %v", !test.lost)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestChangedMany has as many users as are remembered, then one more, then more at once.
func TestChangedMany(t *testing.T) {
	if testing.Short() {
		t.Skip("is one goroutine, of which the race detector has nothing to tell")
	}
	s := openMem(t)
	for index, test := range []struct{ users, floor, known int }{{keptTouched, 0, keptTouched}, {1, 2, 0}, {2, 2, 2}, {keptTouched + 1, 4, 0}} {
		events := make([]fusion.Event, test.users)
		for i := range events {
			events[i] = event(fmt.Sprint(index, "-", i), "1", "i", 1)
		}
		last := uint64(index + 1)
		apply(t, s, last, events...)
		if users, known := changed(t, s, uint64(test.floor), last); !known || len(users) != test.known {
			t.Errorf("behind %d up to %d there are %d users, known %v; want %d", test.floor, last, len(users), known, test.known)
		}
		if _, known := changed(t, s, uint64(test.floor-1), last); known && test.floor > 0 {
			t.Errorf("behind %d up to %d all are known", test.floor-1, last)
		}
	}
}

// TestChangedMeanwhile asks for users while commands are applied: whoever has been told of a command finds its user.
func TestChangedMeanwhile(t *testing.T) {
	s := openMem(t)
	const last = 500
	var applied atomic.Uint64
	done := make(chan error, 1)
	go func() {
		for index := uint64(1); index <= last; index++ {
			if _, err := s.Apply(index, EncodeBatch(nil, []fusion.Event{event(fmt.Sprint("u", index), "1", "i", 1)})); err != nil {
				applied.Store(last)
				done <- err
				return
			}
			applied.Store(index)
		}
		done <- nil
	}()
	for after := uint64(0); after < last; {
		cut := applied.Load()
		users, known := changed(t, s, after, cut)
		for index := after + 1; index <= cut; index++ {
			if _, found := slices.BinarySearch(users, fmt.Sprint("u", index)); !found || !known {
				t.Fatalf("behind %d up to %d are %q, known %v, without the user of %d", after, cut, users, known, index)
			}
		}
		after = cut
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestScanUsers(t *testing.T) {
	s := openMem(t)
	apply(t, s, 1, event("a", "2", "i", 1), event("a", "1", "j", 2), event("ab", "1", "i", 1))
	apply(t, s, 2, event("b", "1", "i", 1))
	scan := func(users ...string) (got []string, err error) {
		err = s.ScanUsers(t.Context(), 1, users, func(user string, events []fusion.Event) error {
			line := user
			for _, e := range events {
				line += " " + e.User + "/" + e.ID + "/" + e.Item
			}
			got = append(got, line)
			return nil
		})
		return got, err
	}
	got, err := scan("", "a", "aa", "ab", "b", "c")
	if want := []string{"", "a a/2/i a/1/j", "aa", "ab ab/1/i", "b", "c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for _, users := range [][]string{{"b", "a"}, {"a", "b", "b"}} {
		if got, err := scan(users...); err == nil || len(got) > 0 {
			t.Errorf("users %q: %v, %q; want an error and nothing", users, err, got)
		}
	}
	full := errors.New("full")
	for give, want := range map[error]error{ErrStop: nil, full: full} {
		calls := 0
		err := s.ScanUsers(t.Context(), 2, []string{"a", "b"}, func(string, []fusion.Event) error { calls++; return give })
		if !errors.Is(err, want) || want == nil && err != nil || calls != 1 {
			t.Errorf("an end by %v: %v behind %d calls", give, err, calls)
		}
	}
	execute(t, s, 3, Join{Step: JoinBegin, From: "a", To: "c"})
	execute(t, s, 4, Join{Step: JoinSettle, From: "a", To: "c", ID: 3})
	for cut, want := range map[uint64]int{3: 2, 4: 0} {
		err := s.ScanUsers(t.Context(), cut, []string{"a"}, func(user string, events []fusion.Event) error {
			if user != "a" || len(events) != want {
				t.Errorf("up to %d %q, whose events are those of another from 4 on, has %d, want %d", cut, user, len(events), want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	execute(t, s, 5, Erase{User: "b", Secret: testSecret, Request: [16]byte{1}})
	for cut, want := range map[uint64]error{4: ErrErased, 6: ErrBehind} {
		if err := s.ScanUsers(t.Context(), cut, nil, nil); !errors.Is(err, want) {
			t.Errorf("no user up to %d: %v, want %v", cut, err, want)
		}
	}
}

// TestTouchedIsBounded notes events of more behaviors, and more of them, than are remembered: their users are to be read. Once they are forgotten there is room again.
func TestTouchedIsBounded(t *testing.T) {
	touched := touched{most: 1000, mostAdded: 300, all: true}
	event := func(index uint64, behavior string) {
		t.Helper()
		if !touched.touch(index, fmt.Sprint("u", index), &fusion.Event{Item: "i", Behavior: fusion.Behavior(behavior), Value: 1}) {
			t.Fatalf("it began anew at %d", index)
		}
	}
	check := func(after, cut uint64, want string) {
		t.Helper()
		users, known := touched.behind(after, cut)
		added, behaviors := 0, map[fusion.Behavior]bool{}
		for _, u := range users {
			for _, e := range u.Events {
				added++
				behaviors[e.Behavior] = true
			}
		}
		if got := fmt.Sprintf("%v: %d users, %d events of %d behaviors", known, len(users), added, len(behaviors)); got != want {
			t.Errorf("behind %d up to %d: got %s, want %s", after, cut, got, want)
		}
	}
	for index := range uint64(257) {
		event(1+index, fmt.Sprint("b", index))
	}
	check(0, 257, "true: 257 users, 256 events of 256 behaviors")
	for index := range uint64(50) {
		event(258+index, "b7")
	}
	check(0, 307, "true: 307 users, 300 events of 256 behaviors")
	check(257, 307, "true: 50 users, 44 events of 1 behaviors")
	event(308, "new")
	check(257, 308, "true: 51 users, 45 events of 2 behaviors")
}

// TestSavedTouchedOfAnotherIndex opens a store with what it saved before it came further, as after a crash, or an earlier program: users who have changed since would be missing.
func TestSavedTouchedOfAnotherIndex(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	apply(t, s, 1, event("a", "1", "i", 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stale, err := readFile(fs, "store/"+changedFile)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, fs)
	apply(t, s, 2, event("b", "1", "i", 1))
	if err := errors.Join(s.Close(), writeFile(fs, "store/"+changedFile, stale)); err != nil {
		t.Fatal(err)
	}
	s = open(t, fs)
	if users, known := changed(t, s, 0, 2); known {
		t.Errorf("behind 0 up to 2 are %q, of a file that was written at 1", users)
	}
	if users, known := changed(t, s, 2, 2); !known || len(users) > 0 {
		t.Errorf("behind 2 up to 2 are %q, known %v", users, known)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSavedFormat: what programs read that others have written. Who changes it must change changedVersion.
func TestSavedFormat(t *testing.T) {
	if got, want := fmt.Sprint(changedVersion, fusion.AddsNone, kindBits, probes("user")), "1 2 1048576 [857367 547280 237193 975682]"; got != want {
		t.Errorf("version, kinds, bits and those of a user are %s, want %s", got, want)
	}
}
