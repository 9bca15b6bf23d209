package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kith-io/kith/erasure"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// joinOne joins one key to another.
func joinOne(t *testing.T, c *clustertest.Cluster, i int, from, to string) *kithv1.JoinUsersResponse {
	t.Helper()
	var resp *kithv1.JoinUsersResponse
	c.Repeat("join", func() (again bool, err error) {
		resp, err = c.Events(i).JoinUsers(t.Context(), &kithv1.JoinUsersRequest{Joins: []*kithv1.UserJoin{{From: from, To: to}}})
		return true, err
	})
	return resp
}

// elsewhere returns a key of another partition than a user.
func elsewhere(user, prefix string) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint(prefix, i); partition.Of(key, 4) != partition.Of(user, 4) {
			return key
		}
	}
}

// heard returns the ids of the events that each member finds of a key, which must be the same.
func heard(t *testing.T, c *clustertest.Cluster, key string) (ids []string) {
	t.Helper()
	for i, m := range c.Alive() {
		events, err := listEvents(t, c, m.Index, key, false)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, e := range events {
			found = append(found, e.User+"/"+e.Id)
		}
		if i > 0 && !slices.Equal(found, ids) {
			t.Fatalf("member %d finds %v of %s, another %v", m.Index, found, key, ids)
		}
		ids = found
	}
	return ids
}

// step does one step of a join, as a server does that dies behind it.
func step(t *testing.T, c *clustertest.Cluster, key string, req *kithv1.StepJoinRequest) *kithv1.StepJoinResponse {
	t.Helper()
	req.Partition = uint32(partition.Of(key, 4))
	resp, err := kithv1.NewPartitionServiceClient(c.Conn(leaderOf(t, c, int(req.Partition)))).StepJoin(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestJoinUsers links what cookies have done to an account later, one of them by steps of which the server that began dies.
func TestJoinUsers(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	const account = "u3"
	cookie, left := elsewhere(account, "cookie:a"), elsewhere(account, "cookie:b")
	browsed := []*kithv1.Event{
		{Id: "c1", User: cookie, Item: "i1", Behavior: "view", TimeUnixMs: 1_700_000_000_100},
		{Id: "1", User: cookie, Item: "lamp", Behavior: "cart", TimeUnixMs: 1_700_000_000_101}, // the account has another event with this id
	}
	late := []*kithv1.Event{
		{Id: "l1", User: left, Item: "rug", Behavior: "view", TimeUnixMs: 1_700_000_000_102},
		{Id: "l2", User: left, Item: "i2", Behavior: "view", TimeUnixMs: 1_700_000_000_103},
	}
	c.Append(0, slices.Concat(alike(10), browsed, late))
	learned := func(users uint64) uint64 {
		t.Helper()
		version := c.Build(0, &kithv1.BuildSpec{K: 5}).ModelVersion
		resp, err := c.Models(0).ListModels(t.Context(), &kithv1.ListModelsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range resp.Versions {
			if v.Version == version && v.Users != users {
				t.Errorf("version %d learned from %d users, want %d", version, v.Users, users)
			}
			if v.Version == version {
				return v.Interactions
			}
		}
		t.Fatalf("version %d is not listed", version)
		return 0
	}
	if n := learned(12); n != 64 {
		t.Fatalf("%d interactions, want 60 and four of cookies", n)
	}

	if resp := joinOne(t, c, 1, cookie, account); resp.Joined != 1 || resp.Events != 2 {
		t.Errorf("joined: %v, want one with 2 events", resp)
	}
	if resp := joinOne(t, c, 2, cookie, account); resp.Known != 1 || resp.Joined != 0 {
		t.Errorf("joined again: %v, want that it is known", resp)
	}
	for _, j := range [][2]string{{cookie, "u4"}, {account, cookie}, {account, account}} {
		resp := joinOne(t, c, 0, j[0], j[1])
		if len(resp.Refused) != 1 || !strings.Contains(resp.Refused[0].Detail, account) || !strings.Contains(resp.Refused[0].Detail, j[0]) {
			t.Errorf("%v: %v, want a refusal that names both", j, resp)
		}
	}
	resp, err := c.Events(0).JoinUsers(t.Context(), &kithv1.JoinUsersRequest{Joins: []*kithv1.UserJoin{{From: "never", To: account}}, OnlyStored: true})
	if err != nil || resp.Absent != 1 {
		t.Errorf("a key that has nothing: %v, %v", resp, err)
	}

	// The first two steps, and a copy of one event: the coordinator does the rest.
	began := step(t, c, left, &kithv1.StepJoinRequest{Step: kithv1.JoinStep_JOIN_STEP_BEGIN, From: left, To: account})
	step(t, c, account, &kithv1.StepJoinRequest{Step: kithv1.JoinStep_JOIN_STEP_ADOPT, From: left, To: account, Id: began.Id})
	copied := &kithv1.Event{Id: "l1", User: account, Item: "rug", Behavior: "view", TimeUnixMs: 1_700_000_000_102}
	step(t, c, account, &kithv1.StepJoinRequest{Step: kithv1.JoinStep_JOIN_STEP_COPY, From: left, To: account, Id: began.Id, Events: []*kithv1.Event{copied}})

	// What comes by the old keys is the account's, and what was there before is a copy.
	more := []*kithv1.Event{{Id: "n1", User: cookie, Item: "vase", Behavior: "view"}, {Id: "n2", User: left, Item: "desk", Behavior: "view"}}
	if resp := c.Append(2, slices.Concat(browsed, late[1:], more)); resp.Appended+resp.Duplicates != 5 || resp.Appended < 2 {
		t.Errorf("sent again with two new ones: %v", resp)
	}
	ids := heard(t, c, account)
	if len(ids) != 12 {
		t.Fatalf("%d events of the account, want 6 of its own, 2 and 2 of cookies, and 2 later ones: %v", len(ids), ids)
	}
	for i := range c.Members {
		c.Stop(i)
	}
	for i := range c.Members {
		c.Run(i)
	}
	c.Ready()
	for _, key := range []string{cookie, left} {
		if got := heard(t, c, key); !slices.Equal(got, ids) {
			t.Errorf("by %s: %v, want those of the account %v", key, got, ids)
		}
	}
	if n := learned(10); n != 64 {
		t.Errorf("%d interactions, want 60 and of the account four more items", n)
	}
	want, err := c.Recommender(0).Recommend(t.Context(), forUser(account, 5))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{cookie, left} {
		got, err := c.Recommender(1).Recommend(t.Context(), forUser(key, 5))
		if err != nil || fmt.Sprint(got.Items) != fmt.Sprint(want.Items) {
			t.Errorf("for %s: %v, %v; want %v", key, got, err, want)
		}
	}

	_, err = kithv1.NewErasureServiceClient(c.Conn(0)).EraseUser(t.Context(), &kithv1.EraseUserRequest{User: cookie})
	if err := wire.FromStatus(err); !errors.Is(err, wire.ErrInvalid) || !strings.Contains(err.Error(), account) {
		t.Errorf("to erase a cookie of an account: %v, want the name of the account", err)
	}
	erase := &kithv1.EraseUserRequest{User: account, RequestId: []byte("0123456789abcdef")}
	r := verified(t, c, 1, eraseUser(t, c, 1, erase))
	if r.Removed != (erasure.Removed{Events: 12}) || len(r.Joined) != 2 || len(r.Waiting) > 0 {
		t.Errorf("receipt %+v, want 12 events and two keys", r)
	}
	byHash := func(a, b erasure.Joined) int { return strings.Compare(a.UserHash, b.UserHash) }
	slices.SortFunc(r.Joined, byHash)
	again := verified(t, c, 0, eraseUser(t, c, 0, erase)) // as when the answer was lost
	slices.SortFunc(again.Joined, byHash)
	if fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", r) {
		t.Errorf("receipt of the request when it comes again\n%+v, want\n%+v", again, r)
	}
	another := verified(t, c, 1, eraseUser(t, c, 1, &kithv1.EraseUserRequest{User: account}))
	if another.Removed != (erasure.Removed{}) || fmt.Sprint(another.Joined, another.Purged) != fmt.Sprint(r.Joined, r.Purged) {
		t.Errorf("receipt of another request: %+v, want nothing removed, and the keys of\n%+v", another, r)
	}
	for _, key := range []string{account, cookie, left} {
		if ids := heard(t, c, key); len(ids) > 0 {
			t.Errorf("%s has %v", key, ids)
		}
	}
	if resp := c.Append(0, slices.Concat(browsed, late)); resp.Erased != 4 {
		t.Errorf("cookies of an erased account, sent again: %v, want 4 refused", resp)
	}
	if resp := joinOne(t, c, 1, cookie, "u4"); resp.Joined != 1 {
		t.Errorf("a cookie of an erased account: %v, want that it can be joined", resp)
	}

	// While a cut waits for joins, none begins.
	p := partition.Of("cookie:c", 4)
	client := kithv1.NewPartitionServiceClient(c.Conn(leaderOf(t, c, int(p))))
	if _, err := client.Cut(t.Context(), &kithv1.CutRequest{Partition: uint32(p), HoldJoins: true}); err != nil {
		t.Fatal(err)
	}
	begin := &kithv1.StepJoinRequest{Partition: uint32(p), Step: kithv1.JoinStep_JOIN_STEP_BEGIN, From: "cookie:c", To: account}
	if _, err := client.StepJoin(t.Context(), begin); !errors.Is(wire.FromStatus(err), wire.ErrNotReady) {
		t.Errorf("while joins are held: error %v, want ErrNotReady", err)
	}
}
