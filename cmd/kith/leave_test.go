package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kith-io/kith/server/clustertest"
)

// TestLeaveThroughTheLeaver empties a server through its own address, which is the only one that the command knows.
func TestLeaveThroughTheLeaver(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{})
	leaver := c.Coordinator()
	s := c.Members[leaver].Server
	began := time.Now()
	got := kith(t, nil, "cluster", "leave", s.ID(), "--wait", "--timeout", "60s", "--addr", s.GRPCAddr())
	if got.code != exitOK || !strings.Contains(got.out, s.ID()+" has left the cluster.") {
		t.Errorf("after %v: %+v", time.Since(began), got)
	}
	c.Left(leaver)
}

// TestLeftWhilePaused pauses a process, has it leave meanwhile, and wakes it: it hears from nobody, since it is in no group any more. It
// must find out, say so, and end.
func TestLeftWhilePaused(t *testing.T) {
	long(t)
	t.Parallel() // it waits most of its time
	processes := startProcesses(t, 3)
	allReady(t, processes)
	paused := processes[2]
	if err := paused.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	mustKith(t, "cluster", "leave", "p2", "--wait", "--timeout", patience.String(), "--addr", processes[0].addr)
	if err := paused.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-paused.ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
		paused.cmd = nil
	case <-time.After(30 * time.Second):
		t.Fatal("still runs 30s after it could know that it has left")
	}
	eventually(t, patience, func() error {
		b, err := os.ReadFile(paused.log)
		if err == nil && !strings.Contains(string(b), "node p2: has left the cluster for good") {
			err = fmt.Errorf("the log does not say that it has left:\n%s", b)
		}
		return err
	})
	for _, p := range processes[:2] {
		p.stop()
	}
}
