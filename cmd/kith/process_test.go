package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// patience is how long a state of processes may take that must come.
const patience = 90 * time.Second

// process is a kith server in a process of its own.
type process struct {
	t    *testing.T
	args []string
	addr string
	log  string
	cmd  *exec.Cmd // nil while it does not run
	// ended has the error of the process when it is over.
	ended chan error
}

// freeAddrs returns addresses at which nobody listens.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ln.Close() }() // all at the end, so that they differ
		out = append(out, ln.Addr().String())
	}
	return out
}

// startProcesses starts a cluster of n processes.
func startProcesses(t *testing.T, n int) []*process {
	t.Helper()
	dir := t.TempDir()
	grpc, raft, gossip := freeAddrs(t, n), freeAddrs(t, n), freeAddrs(t, n)
	var out []*process
	for i := range n {
		out = append(out, &process{t: t, addr: grpc[i], log: filepath.Join(dir, fmt.Sprintf("%d.log", i)), args: []string{
			"server", "--data-dir", filepath.Join(dir, fmt.Sprint(i)), "--node-id", fmt.Sprintf("p%d", i), "--local",
			"--grpc-addr", grpc[i], "--raft-addr", raft[i], "--gossip-addr", gossip[i], "--join", strings.Join(gossip, ","),
			"--bootstrap-expect", fmt.Sprint(n), "--partitions", "4", "--cache-mib", "8", "--log-level", "warn", "--build-every", "0",
		}})
	}
	t.Cleanup(func() {
		for _, p := range out {
			if p.cmd != nil {
				p.kill()
			}
			if t.Failed() {
				b, _ := os.ReadFile(p.log)
				lines := strings.Split(string(b), "\n")
				t.Logf("end of %s:\n%s", p.log, strings.Join(lines[max(0, len(lines)-40):], "\n"))
			}
		}
	})
	for _, p := range out {
		p.start()
	}
	return out
}

func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	p.cmd = exec.Command(program(p.t), p.args...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(p.cmd, p.ended)
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.t.Logf("%s: %v", p.addr, <-p.ended)
	p.cmd = nil
}

// stop ends the process with SIGTERM, and checks that it says that all went well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		p.t.Errorf("after SIGTERM: %v", err)
	}
	p.cmd = nil
}

// allReady waits until every process sees a cluster that is ready, with all members alive.
func allReady(t *testing.T, processes []*process) {
	t.Helper()
	for _, p := range processes {
		eventually(t, patience, func() error {
			select {
			case err := <-p.ended:
				p.ended <- err
				t.Fatalf("%s ended by itself: %v", p.addr, err)
			default:
			}
			got := kith(t, nil, "status", "--addr", p.addr)
			if got.code != exitOK {
				return errors.New(got.err)
			}
			s := mustJSON[jsonStatus](t, "status", "--addr", p.addr)
			alive := 0
			for _, m := range s.Members {
				if m.State == "alive" {
					alive++
				}
			}
			if !s.Ready || alive != len(processes) {
				return fmt.Errorf("%s: ready %v, %d of %d members alive", p.addr, s.Ready, alive, len(processes))
			}
			return nil
		})
	}
}

func clientOf(t *testing.T, processes ...*process) *client {
	t.Helper()
	r := remote{timeout: patience}
	for _, p := range processes {
		r.addrs = append(r.addrs, p.addr)
	}
	c, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	c.patient()
	t.Cleanup(c.close)
	return c
}

// stream appends events without pause until it is told to stop, and keeps what was acknowledged.
type stream struct {
	mu   sync.Mutex
	acks map[string]map[string]bool // user -> id
	n    int
	done chan error
}

const streamUsers = 40

func startStream(ctx context.Context, stop <-chan struct{}, c *client) *stream {
	s := &stream{acks: map[string]map[string]bool{}, done: make(chan error, 1)}
	go func() { s.done <- s.run(ctx, stop, c) }()
	return s
}

// goOn waits until more events are acknowledged.
func (s *stream) goOn(t *testing.T, more int, when string) {
	t.Helper()
	from := s.acked()
	eventually(t, patience, func() error {
		select {
		case err := <-s.done:
			t.Fatalf("%s: the stream ended: %v", when, err)
		default:
		}
		if n := s.acked(); n < from+more {
			return fmt.Errorf("%s: %d events acknowledged, want %d", when, n, from+more)
		}
		return nil
	})
}

func (s *stream) run(ctx context.Context, stop <-chan struct{}, c *client) error {
	sending := &sender{client: c, stored: func(int64) {}}
	for round := 0; ; round++ {
		select {
		case <-stop:
			return nil
		default:
		}
		var batch []*kithv1.Event
		for i := range 100 {
			n := round*100 + i
			batch = append(batch, &kithv1.Event{
				Id: fmt.Sprintf("e%d", n), User: fmt.Sprintf("u%d", n%streamUsers), Item: fmt.Sprintf("i%d", n%7), Behavior: "view", TimeUnixMs: int64(1 + n),
			})
		}
		if err := sending.append(ctx, batch); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		s.mu.Lock()
		for _, e := range batch {
			if s.acks[e.User] == nil {
				s.acks[e.User] = map[string]bool{}
			}
			s.acks[e.User][e.Id] = true
		}
		s.n += len(batch)
		s.mu.Unlock()
	}
}

// acked returns the number of acknowledged events.
func (s *stream) acked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// check compares what is stored with what was acknowledged.
func (s *stream) check(t *testing.T, c *client) {
	t.Helper()
	for user, acks := range s.acks {
		events, err := c.events(t.Context(), user)
		if err != nil {
			t.Fatalf("events of %s: %v", user, err)
		}
		var got []string
		for _, e := range events {
			got = append(got, e.Id)
		}
		slices.Sort(got)
		if d := cmp.Diff(slices.Sorted(maps.Keys(acks)), got); d != "" {
			t.Errorf("events of %s (-acknowledged +stored):\n%s", user, d)
		}
	}
}

// TestKill kills the processes of a cluster by SIGKILL, one after the other and all at once, while events come in. Every
// acknowledged event must be there exactly once.
func TestKill(t *testing.T) {
	long(t)
	processes := startProcesses(t, 3)
	allReady(t, processes)
	stop := make(chan struct{})
	s := startStream(t.Context(), stop, clientOf(t, processes...))
	s.goOn(t, 2000, "all run")
	for i, p := range processes {
		p.kill()
		s.goOn(t, 2000, fmt.Sprintf("process %d is dead", i))
		p.start()
		allReady(t, processes)
	}
	s.goOn(t, 2000, "all run again")
	close(stop)
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		s.check(t, clientOf(t, p))
	}
	for _, p := range processes {
		p.kill()
	}
	for _, p := range processes {
		p.start()
	}
	allReady(t, processes)
	for _, p := range processes {
		s.check(t, clientOf(t, p))
	}
	t.Logf("%d events", s.acked())
	for _, p := range processes {
		p.stop()
	}
}
