package consensus

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// nothing is a state machine without a state.
type nothing struct{}

func (nothing) Apply(uint64, []byte) (any, error)        { return nil, nil }
func (nothing) Snapshot() (Snapshot, error)              { return nothing{}, nil }
func (nothing) Restore(r io.Reader) error                { _, err := io.Copy(io.Discard, r); return err }
func (nothing) Applied() uint64                          { return 0 }
func (nothing) WriteTo(context.Context, io.Writer) error { return nil }
func (nothing) Release()                                 {}

// TestProbation asks a new member for its vote, before and after it is admitted, with a restart between.
func TestProbation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "group")
	mux, caller := runMux(t), runMux(t)
	stream, err := caller.layer("g", "old")
	if err != nil {
		t.Fatal(err)
	}
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: stream, Timeout: 5 * time.Second})
	defer func() {
		_ = trans.Close()
		_ = stream.Close()
	}()
	calls := transport{NetworkTransport: trans}
	addr := raft.ServerAddress(mux.Addr().String())
	term := uint64(10)
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("old"), Addr: []byte(stream.Addr().String())}
	ask := func() (pre, vote bool) {
		t.Helper()
		term++
		var p raft.RequestPreVoteResponse
		if err := calls.RequestPreVote("new", addr, &raft.RequestPreVoteRequest{RPCHeader: header, Term: term, LastLogIndex: 5, LastLogTerm: 9}, &p); err != nil {
			t.Fatal(err)
		}
		var v raft.RequestVoteResponse
		if err := calls.RequestVote("new", addr, &raft.RequestVoteRequest{RPCHeader: header, Term: term, LastLogIndex: 5, LastLogTerm: 9}, &v); err != nil {
			t.Fatal(err)
		}
		return p.Granted, v.Granted
	}
	open := func() *Group {
		t.Helper()
		g, err := Open(Config{Group: "g", NodeID: "new", Dir: dir, Probation: true}, mux, nothing{})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	shut := func(g *Group) {
		t.Helper()
		if err := g.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		g := open()
		if pre, vote := ask(); pre || vote || !g.OnProbation() || g.HasState() {
			t.Errorf("new member: pre-vote %t, vote %t, on probation %t", pre, vote, g.OnProbation())
		}
		shut(g)
	}
	g := open()
	if err := g.Admit(); err != nil {
		t.Fatal(err)
	}
	if pre, vote := ask(); !pre || !vote {
		t.Errorf("admitted member: pre-vote %t, vote %t", pre, vote)
	}
	shut(g)
	g = open()
	if g.OnProbation() {
		t.Error("an admitted member is on probation after a restart")
	}
	if pre, vote := ask(); !pre || !vote {
		t.Errorf("admitted member after a restart: pre-vote %t, vote %t", pre, vote)
	}
	shut(g)

	// A folder of before there was probation has no file of it, and is that of a member.
	if _, err := os.Stat(filepath.Join(dir, probationFile)); !os.IsNotExist(err) {
		t.Errorf("file of probation: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	g = open()
	if err := g.Bootstrap([]Server{{ID: "new", Addr: string(addr)}}); err != nil || g.OnProbation() {
		t.Errorf("bootstrap: %v, on probation %t", err, g.OnProbation())
	}
	shut(g)
}

// TestProbationDoesNotStand sends a new member the beginning of a log that says that it is the only member, and then nothing: it waits, where
// it would elect itself after it is admitted. How long to wait says a twin that is not on probation and ten times as patient.
func TestProbationDoesNotStand(t *testing.T) {
	mux, caller := runMux(t), runMux(t)
	addr := raft.ServerAddress(mux.Addr().String())
	const heartbeat = 50 * time.Millisecond
	begin := func(group string, probation bool, heartbeat time.Duration) (*Group, transport) {
		t.Helper()
		stream, err := caller.layer(group, "old")
		if err != nil {
			t.Fatal(err)
		}
		trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: stream, Timeout: 5 * time.Second})
		t.Cleanup(func() {
			_ = trans.Close()
			_ = stream.Close()
		})
		g, err := Open(Config{
			Group: group, NodeID: "new", Dir: filepath.Join(t.TempDir(), "group"), Probation: probation, HeartbeatTimeout: heartbeat,
		}, mux, nothing{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := g.Shutdown(); err != nil {
				t.Error(err)
			}
		})
		calls := transport{NetworkTransport: trans, disk: &standstill{}, followers: &followers{}}
		alone := raft.Configuration{Servers: []raft.Server{{ID: "new", Address: addr}}}
		header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("old"), Addr: []byte(stream.Addr().String())}
		var added raft.AppendEntriesResponse
		if err := calls.AppendEntries("new", addr, &raft.AppendEntriesRequest{
			RPCHeader: header, Term: 1, LeaderCommitIndex: 1,
			Entries: []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(alone)}},
		}, &added); err != nil || !added.Success {
			t.Fatalf("append: %v, %+v", err, added)
		}
		return g, calls
	}
	leads := func(who string, g *Group) {
		t.Helper()
		select {
		case leads := <-g.LeadershipChanges():
			if !leads {
				t.Errorf("%s gave up leadership", who)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s does not stand", who)
		}
	}
	g, calls := begin("g", true, heartbeat)
	var stand raft.TimeoutNowResponse
	if err := calls.TimeoutNow("new", addr, &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}, &stand); err == nil {
		t.Error("a member on probation stands when it is told to")
	}
	twin, _ := begin("twin", false, 10*heartbeat)
	leads("the twin", twin)
	if g.IsLeader() || g.raft.CurrentTerm() != 1 {
		t.Errorf("a member on probation stood: leads %t, term %d", g.IsLeader(), g.raft.CurrentTerm())
	}
	if err := g.Admit(); err != nil {
		t.Fatal(err)
	}
	leads("an admitted member", g)
}
