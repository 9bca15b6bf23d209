package server_test

import (
	"slices"
	"testing"

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
