package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// named gives the members ids, as --node-id does.
func named(member int, cfg *server.Config) { cfg.NodeID = fmt.Sprintf("m%d", member) }

// ended waits until a member has ended by itself, and returns why.
func ended(t *testing.T, c *clustertest.Cluster, member int) error {
	t.Helper()
	err := c.Ended(member)
	if err == nil {
		t.Fatalf("member %d ended without a reason", member)
	}
	return err
}

// TestEmptyFolderIsRefused loses the data folder of a member, and starts it with its old id and an empty one: that member would have
// forgotten what it acknowledged. It is refused, and the others go on. With the old folder it is taken in; so it is with an empty
// one after the cluster has forgotten it, and then the old folder is refused.
func TestEmptyFolderIsRefused(t *testing.T) {
	long(t)
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{DeadAfter: 4 * time.Second, Configure: named})
	c.Add() // so that a lost member can be replaced
	settled(t, c, 3)
	c.Append(0, shopEvents(30, 50, 20, 10))
	lost := (c.Coordinator() + 1) % 4
	c.Kill(lost)
	hide := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	first := c.Dir(lost) + ".first"
	hide(c.Dir(lost), first)
	c.Run(lost)
	id := fmt.Sprintf("m%d", lost)
	if err := ended(t, c, lost); !errors.Is(err, server.ErrRefused) || !strings.Contains(err.Error(), "node "+id+":") || !strings.Contains(err.Error(), c.Dir(lost)) {
		t.Errorf("ended with %v, want %v, the id and the folder", err, server.ErrRefused)
	}
	if b, err := os.ReadFile(filepath.Join(c.Dir(lost), "format")); err != nil || strings.Contains(string(b), "cluster") {
		t.Errorf("the refused folder is %q (%v), want it to be of no cluster", b, err)
	}

	hide(c.Dir(lost), c.Dir(lost)+".refused")
	hide(first, c.Dir(lost))
	c.Run(lost)
	settled(t, c, 3)

	c.Kill(lost)
	hide(c.Dir(lost), first)
	other := (lost + 1) % 4
	c.Eventually(func() error {
		if c.Members[other].Server.State().Member(id) != nil {
			return fmt.Errorf("%s is a member still", id)
		}
		return nil
	})
	c.Run(lost)
	settled(t, c, 3)
	if events, err := list(t, c, lost, "u007"); err != nil || len(events) != 20 {
		t.Errorf("%d events, %v; want 20", len(events), err)
	}
	c.Kill(lost)
	hide(c.Dir(lost), c.Dir(lost)+".second")
	hide(first, c.Dir(lost))
	c.Run(lost)
	if err := ended(t, c, lost); !errors.Is(err, server.ErrRefused) {
		t.Errorf("with the folder of a member that was forgotten and replaced: %v, want %v", err, server.ErrRefused)
	}
}

// TestFoldersOfEarlierVersions takes the id of the folder away, as a member has it that is updated: it is taken in as before, and
// gets one.
func TestFoldersOfEarlierVersions(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: named})
	c.Append(0, shopEvents(30, 50, 20, 10))
	c.Stop(0)
	file := filepath.Join(c.Dir(0), "format")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(?m)^(id|admitted): .*\n`).ReplaceAll(b, nil)
	if slices.Equal(old, b) {
		t.Fatalf("no id in %q", b)
	}
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Run(0)
	c.Ready()
	if b, err = os.ReadFile(file); err != nil || !strings.Contains(string(b), "\nid: ") {
		t.Errorf("%q has no id (%v)", b, err)
	}
}

// TestLeftWhileAway tells a member to leave while it is away, so that it learns nothing. When it comes back it asks, and ends. Its id
// is taken for good, also for an empty folder.
func TestLeftWhileAway(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Configure: named})
	settled(t, c, 3)
	away := (c.Coordinator() + 1) % 3
	id := c.Members[away].Server.ID()
	through := (away + 1) % 3
	c.Kill(away)
	leave := &kithv1.SetIntentRequest{Member: id, Intent: kithv1.MemberIntent_MEMBER_INTENT_LEAVE}
	if _, err := c.Cluster(through).SetIntent(t.Context(), leave); err != nil {
		t.Fatal(err)
	}
	c.Add() // a majority of the replicas must live for moves
	c.Eventually(func() error {
		s := c.Members[through].Server.State()
		if !slices.Contains(s.Left, id) {
			return fmt.Errorf("%s has not left; moves %v", id, s.Moves)
		}
		return nil
	})
	c.Run(away)
	c.Left(away)
	if err := os.Rename(c.Dir(away), c.Dir(away)+".left"); err != nil {
		t.Fatal(err)
	}
	c.Run(away)
	if err := ended(t, c, away); !errors.Is(err, server.ErrRefused) || !strings.Contains(err.Error(), "another --node-id") {
		t.Errorf("an empty folder with the id of one that has left: %v, want %v", err, server.ErrRefused)
	}
}

// TestLeaverSaysGoodbye asks the server that leaves, and it alone, until it has left: it must say so before it stops.
func TestLeaverSaysGoodbye(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	settled(t, c, 3)
	leaver := c.Coordinator()
	id := c.Members[leaver].Server.ID()
	intend(t, c, leaver, leaver, kithv1.MemberIntent_MEMBER_INTENT_LEAVE)
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond) // as the command does
	defer tick.Stop()
	for {
		status, err := c.Cluster(leaver).Status(ctx, &kithv1.StatusRequest{})
		if err != nil {
			t.Fatalf("the server that leaves stopped before it could say that it has left: %v", err)
		}
		if !slices.ContainsFunc(status.Members, func(m *kithv1.Member) bool { return m.Id == id }) {
			if status.Coordinator == "" {
				t.Error("it knows no coordinator, so the command does not believe it")
			}
			break
		}
		<-tick.C
	}
	c.Left(leaver)
}
