//go:build linux

package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// backupOf writes a backup of events of one partition, in the order of a backup.
func backupOf(t *testing.T, messages ...*kithv1.Event) string {
	t.Helper()
	users := map[string]bool{}
	for _, m := range messages {
		users[m.User] = true
	}
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, &kithv1.BackupManifest{
		ClusterId: "c", Partitions: []*kithv1.PartitionCut{{Index: 7, Events: uint64(len(messages)), Users: uint64(len(users))}},
	})
	if err == nil {
		err = w.Add(0, wire.EventsFromProto(messages))
	}
	if err == nil {
		_, err = w.Close()
	}
	path := filepath.Join(t.TempDir(), "backup.kith")
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckBackup(t *testing.T) {
	a, b, c := event{"u1", "a"}, event{"u1", "b"}, event{"u2", "c"}
	changed := a.message()
	changed.Item = "another"
	for _, x := range []struct {
		name  string
		in    []*kithv1.Event
		sent  []event // since the backup began, beside a and c
		wrong string
	}{
		{"all that was acknowledged", messages(a, c), nil, ""},
		{"and one that came meanwhile", messages(a, b, c), []event{b}, ""},
		{"without one that came meanwhile", messages(a, c), []event{b}, ""},
		{"one is lost", messages(a), nil, "lost"},
		{"one was never sent", messages(a, b, c), nil, "never sent"},
		{"of a user of whom nothing was sent", messages(a, c, event{"u3", "d"}), nil, "u3"},
		{"one is another", append([]*kithv1.Event{changed}, messages(c)...), nil, "want"},
	} {
		s := &saved{path: backupOf(t, x.in...), acked: map[event]bool{a: true, c: true}}
		sent := maps.Clone(s.acked)
		for _, e := range x.sent {
			sent[e] = true // acknowledged, but after the backup had begun
		}
		err := s.check(sent)
		if got := err != nil; got != (x.wrong != "") || got && !strings.Contains(err.Error(), x.wrong) {
			t.Errorf("%s: error %v, want %q", x.name, err, x.wrong)
		}
		if err == nil && (s.events != len(x.in) || len(s.acked) != len(sent)) {
			t.Errorf("%s: %d events and %d sent, want %d and %d", x.name, s.events, len(s.acked), len(x.in), len(sent))
		}
	}
	cut := backupOf(t, messages(a, c)...)
	if err := os.Truncate(cut, 100); err != nil {
		t.Fatal(err)
	}
	if err := (&saved{path: cut, acked: map[event]bool{}}).check(nil); err == nil || !strings.Contains(err.Error(), cut) {
		t.Errorf("a backup that is cut short: error %v, want one that names it", err)
	}
}
