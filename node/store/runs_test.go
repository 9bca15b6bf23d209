package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// noted is a note of a test.
type noted struct {
	what int32
	n    int16
}

func (a noted) compare(b noted) int { return cmp.Compare(a.what, b.what) }
func (a noted) times() int          { return int(a.n) }
func (a noted) with(times int) noted {
	return noted{a.what, int16(max(math.MinInt16, min(math.MaxInt16, times)))}
}

// count returns the sums of a view.
func count(v *view[noted]) map[int32]int {
	sums := map[int32]int{}
	before := int32(math.MinInt32)
	walk(v.lists(), func(e noted, times int) bool {
		if e.what <= before || times == 0 {
			panic(fmt.Sprint(e, " behind ", before, ", times ", times))
		}
		before, sums[e.what] = e.what, times
		return true
	})
	return sums
}

// TestRunsSum compares the sums of runs, of which views may be read later, with those of a map, while there is room, and none, and while writing fails in the middle.
func TestRunsSum(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		full, writes := errors.New("full"), math.MaxInt
		r := &runs[noted]{keep: rapid.SampledFrom([]int{1, 16, 100}).Draw(t, "keep"), dir: dir, warn: func(error) {}}
		r.short = rapid.IntRange(0, 10).Draw(t, "short")
		r.room = func() error {
			if writes--; writes < 0 {
				return full
			}
			return nil
		}
		if rapid.IntRange(0, 3).Draw(t, "room ends") == 0 {
			writes = rapid.IntRange(0, 20).Draw(t, "writes")
		}
		type moment struct {
			view *view[noted]
			sums map[int32]int
		}
		var moments []moment
		sums := map[int32]int{}
		for range rapid.IntRange(1, 200).Draw(t, "notes") {
			e := noted{int32(rapid.IntRange(0, 40).Draw(t, "what")), 1}
			if sums[e.what] > 0 && rapid.IntRange(0, 2).Draw(t, "sign") == 0 {
				e.n = -1
			}
			if sums[e.what] += int(e.n); sums[e.what] == 0 {
				delete(sums, e.what)
			}
			r.Lock()
			r.add(e)
			claimed := r.claim()
			r.Unlock()
			if claimed && rapid.Bool().Draw(t, "end") {
				gone, leave := context.WithCancel(t.Context())
				leave()
				r.tidy(gone)
				r.Lock()
				claimed = r.claim()
				r.Unlock()
				if !claimed {
					t.Fatal("what was ended is never gone on with")
				}
			}
			if claimed {
				r.tidy(t.Context())
			}
			if rapid.IntRange(0, 49).Draw(t, "settle") == 0 {
				if r.settle(t.Context()); len(r.loose)+len(r.last) > 0 {
					t.Fatal("notes are left")
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "look") == 0 {
				r.Lock()
				v, ok := r.view()
				r.Unlock()
				if !ok {
					t.Fatal("no view")
				}
				held := map[int32]int{}
				for what, n := range sums {
					held[what] = n
				}
				moments = append(moments, moment{v, held})
			}
		}
		most := 0
		for _, x := range r.sorted {
			if x.data == nil {
				most += len(x.notes)
			}
		}
		if most > r.keep+4*r.size()+r.short {
			t.Fatalf("%d notes are in memory, of %d", most, r.keep)
		}
		r.drop()
		for _, m := range moments {
			got := count(m.view)
			for what := range int32(41) {
				if m.view.cut != nil && what >= m.view.cut.what {
					break // with those behind it
				}
				if got[what] != m.sums[what] {
					t.Fatalf("%d has the sum %d, want %d", what, got[what], m.sums[what])
				}
			}
			m.view.close()
		}
		r.Lock()
		if _, ok := r.view(); ok || r.claim() {
			t.Fatal("what was dropped is there")
		}
		r.Unlock()
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files %v are left, %v", left, err)
	}
}

// TestRunsOfOneThing: sums larger than a note holds are not lost when it goes to a file.
func TestRunsOfOneThing(t *testing.T) {
	r := &runs[noted]{keep: 64, dir: t.TempDir(), room: func() error { return nil }}
	const times = 100_000
	for i := range 2 * times {
		e := noted{int32(i % 100), 1}
		if i%2 == 0 {
			e.what = -1
		}
		r.add(e)
		if r.claim() {
			r.tidy(t.Context())
		}
	}
	v, _ := r.view()
	if got := count(v); got[-1] != times || got[99] != times/50 {
		t.Errorf("got %d and %d, want %d and %d", got[-1], got[99], times, times/50)
	}
	v.close()
	r.drop()
}

// TestRunsEnd: what is ended in the middle of writing changes nothing, and can be gone on with.
func TestRunsEnd(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	r := &runs[noted]{keep: 1, dir: t.TempDir(), room: func() error { return nil }, warn: func(err error) { t.Error(err) }}
	for i := range 100 {
		r.add(noted{int32(i), 1})
		if i == 50 {
			r.room = func() error { end(); return nil }
		}
		if r.claim() {
			r.tidy(ctx)
		}
	}
	if ctx.Err() == nil || len(r.loose) == 0 {
		t.Fatal("nothing was ended")
	}
	for range 2 {
		v, _ := r.view()
		if got := count(v); len(got) != 100 {
			t.Errorf("%d are there, want 100", len(got))
		}
		v.close()
		if r.claim() {
			r.tidy(t.Context())
		}
	}
	if len(r.loose) > 0 {
		t.Errorf("%d are left", len(r.loose))
	}
	r.drop()
}

// TestWindowsWithoutRoom: while there is no room on the disk, what goes far back is answered by a pass, and after that from memory again.
func TestWindowsWithoutRoom(t *testing.T) {
	dir, full := t.TempDir(), errors.New("full")
	var room error
	s, err := Open(Options{Dir: dir, recent: 4, Room: func() error { return room }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const n = 40
	for i := range n {
		apply(t, s, uint64(i+1), fusion.Event{User: "u", Item: fmt.Sprint("i", i%20), Behavior: fusion.View, Value: 1, Time: int64(i + 1), ID: fmt.Sprint(i)})
	}
	check := func(when string) {
		t.Helper()
		all, err := s.Active(t.Context(), Window{0, n}, []fusion.Behavior{fusion.View})
		if err != nil || len(all) != 20 || all[0].Counts[0] != 2 {
			t.Errorf("%s: active are %v, %v", when, all, err)
		}
		last, err := s.Last(t.Context(), 30, n)
		if err != nil || len(last) != 20 || last[19] != (LastEvent{"i0", 21}) {
			t.Errorf("%s: last are %v, %v", when, last, err)
		}
	}
	room = full
	check("without room")
	if v, _ := s.cur.windows.made.view(); v.floor() == 0 || v.floor() > n-4 {
		t.Errorf("without room all behind %d is there", v.floor())
	}
	made := s.cur.windows.made
	check("without room")
	if s.cur.windows.made != made {
		t.Error("without room they are made anew")
	}
	release := holdPasses()
	if near, err := s.Active(t.Context(), Window{n - 4, n}, []fusion.Behavior{fusion.View}); err != nil || len(near) != 4 {
		t.Errorf("without room the latest are %v, %v", near, err)
	}
	release()
	room = nil
	check("with room")
	defer holdPasses()()
	made = s.cur.windows.made
	check("with room")
	if s.cur.windows.made != made {
		t.Error("with room they are made anew each time")
	}
	names, err := filepath.Glob(filepath.Join(dir, scratchPrefix+"*"))
	if err != nil || len(names) > 0 {
		t.Errorf("files %v, %v", names, err)
	}
}

// TestWindowsOfTooManyBehaviors: what cannot be told apart in memory is told apart by a pass.
func TestWindowsOfTooManyBehaviors(t *testing.T) {
	items := NewItems()
	for i := range math.MaxUint16 + 1 {
		if _, ok := items.kind(fusion.Behavior(fmt.Sprint("custom-", i))); !ok {
			t.Fatalf("no number for behavior %d", i)
		}
	}
	s, err := Open(Options{Dir: t.TempDir(), Items: items})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	apply(t, s, 1, fusion.Event{User: "u", Item: "i", Behavior: "custom-7", Value: 1, Time: 5, ID: "1"}, fusion.Event{User: "u", Item: "i", Behavior: "custom-other", Value: 1, Time: 6, ID: "2"})
	got, err := s.Active(t.Context(), Window{0, 10}, []fusion.Behavior{"custom-other", "custom-7"})
	if err != nil || len(got) != 1 || got[0].Counts[0] != 1 || got[0].Counts[1] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if last, err := s.Last(t.Context(), 1, 10); err != nil || len(last) != 1 || last[0] != (LastEvent{"i", 6}) {
		t.Errorf("got %v, %v", last, err)
	}
}

// TestOpenDeletesScratch: what a crash has left with a name goes.
func TestOpenDeletesScratch(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, scratchPrefix+"1")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", name, err)
	}
}

// mapped returns how many files of runs of a directory are mapped, where the system tells.
func mapped(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	return strings.Count(string(b), filepath.Join(dir, scratchPrefix))
}

// TestScratchGoes: files are let go of when many events are erased, when the state is replaced, and at the end.
func TestScratchGoes(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, recent: 16, purchases: 16})
	if err != nil {
		t.Fatal(err)
	}
	var batch []fusion.Event
	for i := range 200 {
		batch = append(batch, fusion.Event{User: fmt.Sprint("u", i), Item: "i", Behavior: fusion.Purchase, Value: 1, Time: int64(i + 1), ID: "1"})
	}
	apply(t, s, 1, batch...)
	ask := func() {
		t.Helper()
		if got, err := s.Active(t.Context(), Window{0, 1000}, []fusion.Behavior{fusion.Purchase}); err != nil || len(got) != 1 || got[0].Counts[0] != 200 {
			t.Fatalf("got %v, %v", got, err)
		}
		windows := mapped(t, dir)
		if _, n, err := s.BoughtTogether(t.Context(), "i"); err != nil || n != 200 {
			t.Fatalf("%d baskets, %v", n, err)
		}
		if n := mapped(t, dir); windows == 0 || n < windows+2 {
			t.Errorf("%d files are mapped, and with those of baskets %d", windows, n)
		}
		if s.Usage().ScratchBytes == 0 {
			t.Error("files have no bytes")
		}
	}
	none := func(when string) {
		t.Helper()
		if n := mapped(t, dir); n > 0 {
			t.Errorf("%s %d files are mapped", when, n)
		}
	}
	ask()
	s.cur.mu.Lock()
	s.cur.windows.tell(happened{many: true})
	s.cur.baskets.tell(happened{many: true})
	s.cur.mu.Unlock()
	none("after an erasure")
	ask()
	if err := s.Restore(strings.NewReader(string(snapshot(t, s)))); err != nil {
		t.Fatal(err)
	}
	none("after a restore")
	ask()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	none("after the end")
}

// TestScratchOfNothingGoes: a pass that is ended leaves no files.
func TestScratchOfNothingGoes(t *testing.T) {
	dir := t.TempDir()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	most := 0
	s, err := Open(Options{Dir: dir, recent: 1, Room: func() error {
		if n := mapped(t, dir); n > most {
			most = n
			end()
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var batch []fusion.Event
	for i := range 200 {
		batch = append(batch, fusion.Event{User: fmt.Sprint("u", i), Item: "i", Behavior: fusion.View, Value: 1, Time: int64(i + 1), ID: "1"})
	}
	apply(t, s, 1, batch...)
	if _, err := s.cur.windows.collect(ctx, s.cur, s.newWindows); !errors.Is(err, context.Canceled) || most == 0 {
		t.Errorf("the pass ends with %v, after %d files", err, most)
	}
	if n := mapped(t, dir); n > 0 {
		t.Errorf("%d files are mapped", n)
	}
}
