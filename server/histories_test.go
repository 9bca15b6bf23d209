package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// TestHistoriesInMemory: the only server answers from memory who was asked for before, and follows each change at once: events, a join, and an erasure.
func TestHistoriesInMemory(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	const account = "ada"
	cookie := elsewhere(account, "cookie:")
	reads := func() (memory, files float64) {
		registry := c.Members[0].Server.Registry()
		return figure(t, registry, "kith_histories_memory_total"), figure(t, registry, "kith_histories_files_total")
	}
	// have checks what there is of both keys, once from wherever it comes and then from memory.
	have := func(when string, ofCookie, ofAccount []string) {
		t.Helper()
		for range 2 {
			for key, want := range map[string][]string{cookie: ofCookie, account: ofAccount} {
				if got := heard(t, c, key); !slices.Equal(got, want) {
					t.Errorf("%s there are %v of %s, want %v", when, got, key, want)
				}
			}
		}
		memory, files := reads()
		heard(t, c, account)
		if m, f := reads(); m != memory+1 || f != files {
			t.Errorf("%s a history was read %v times from memory and %v times from files, want once from memory", when, m-memory, f-files)
		}
	}
	view := func(id, user string, at int64) *kithv1.Event {
		return &kithv1.Event{Id: id, User: user, Item: "lamp", Behavior: "view", TimeUnixMs: at}
	}
	have("before all", nil, nil)
	c.Append(0, []*kithv1.Event{view("1", account, 1000), view("2", cookie, 2000)})
	have("after one event each", []string{cookie + "/2"}, []string{account + "/1"})
	c.Append(0, []*kithv1.Event{view("3", cookie, 3000)})
	have("after another one", []string{cookie + "/2", cookie + "/3"}, []string{account + "/1"})
	joinOne(t, c, 0, cookie, account)
	all := []string{account + "/1", account + "/2", account + "/3"}
	have("after the join", all, all)
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: account})
	have("after the erasure", nil, nil)
}

// TestRowsInMemory: an answer by the row of a user that is in memory is that which events and their items make, which a query with explanations looks at, after whatever happens to the
// user or the model.
func TestRowsInMemory(t *testing.T) {
	t.Parallel()
	const catalog, hour = 80, int64(time.Hour / time.Millisecond)
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	c.Append(0, shopEvents(60, catalog, 12, 3))
	used := func() float64 { return figure(t, c.Members[0].Server.Registry(), "kith_rows_memory_total") }
	n, noFallback := uint32(5), false
	// same asks for a user twice, and tells how many rows served.
	same := func(when, user string) (rows float64) {
		t.Helper()
		before := used()
		for _, model := range []kithv1.Model{kithv1.Model_MODEL_ITEM_KNN, kithv1.Model_MODEL_USER_KNN, kithv1.Model_MODEL_HYBRID} {
			for range 2 {
				plain, explained := forUser(user, n), forUser(user, n)
				plain.NoFallback, explained.NoFallback = noFallback, noFallback
				plain.Model, explained.Model, explained.Explain = model, model, true
				got, want := recommend(t, c, 0, plain), recommend(t, c, 0, explained)
				for _, x := range want.Items {
					x.Contributions = nil
				}
				if !proto.Equal(got, want) {
					t.Errorf("%s %s gets by %v\n%v\nwant\n%v", when, user, model, got, want)
				}
			}
		}
		return used() - before
	}
	// warm is same of a user whose row serves, from the second query on at the latest.
	warm := func(when, user string) {
		t.Helper()
		same(when, user)
		if rows := same(when, user); rows != 6 {
			t.Errorf("%s the row of %s has served %v of 6 queries", when, user, rows)
		}
	}
	const user, other = "u001", "u002"
	activate := func(version uint64) {
		t.Helper()
		if _, err := c.Models(0).Activate(t.Context(), &kithv1.ActivateRequest{Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	same("without a model", user)
	first := c.Build(0, &kithv1.BuildSpec{K: 10}).ModelVersion
	warm("after a build", user)
	now := time.Now().UnixMilli()
	event := func(user, item, behavior string, at int64) *kithv1.Event {
		return &kithv1.Event{Id: fmt.Sprint(item, behavior, at), User: user, Item: item, Behavior: behavior, TimeUnixMs: at}
	}
	seen := recommend(t, c, 0, forUser(user, 2)).Items
	c.Append(0, []*kithv1.Event{event(user, seen[0].Item, "purchase", now-hour)})
	warm("after an event", user)
	if x := recommend(t, c, 0, forUser(user, 1)).Items[0]; x.Item == seen[0].Item {
		t.Errorf("%s is recommended after it was bought", x.Item)
	}
	c.Append(0, []*kithv1.Event{event(user, seen[0].Item, "cancel", now), event(user, seen[1].Item, "impression", now), event(user, "unheard-of", "view", now)})
	warm("after a cancellation, an impression and an item without lists", user)
	n = 1000
	warm("with fallbacks", user)
	noFallback = true
	warm("with less than was asked for", user)
	n, noFallback = 5, false
	second := c.Build(0, &kithv1.BuildSpec{K: 20}).ModelVersion
	warm("with another version", user)
	activate(first)
	warm("with the first version again", user)
	activate(second)
	warm("with another version", other)
	joinOne(t, c, 0, other, user)
	warm("after a join", user)
	if rows := same("as a key that is joined", other); rows != 0 {
		t.Errorf("a key that is joined to another has a row")
	}
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: user})
	if rows := same("after the erasure", user); rows != 0 {
		t.Errorf("a user who was erased has a row")
	}
	c.Append(0, []*kithv1.Event{event(user, seen[1].Item, "purchase", now+hour)})
	warm("with events after the erasure", user)
	const third = "u003"
	c.Build(0, &kithv1.BuildSpec{K: 10, HalfLifeMs: 1e5 * hour})
	if rows := same("with weights that decay", third); rows != 0 {
		t.Error("a row serves whose weights are others by now")
	}
}
