package consensus

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// silent accepts connections of a layer and reads what they send, and never answers, until the layer is closed.
func silent(t *testing.T, l raft.StreamLayer) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, c) // ends when the other side or the layer closes it
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close() // ends Accept
		<-ended
	})
}

// hanging returns a pipeline to a member that never answers, in the state in which raft may find it: the answer to the first
// call has failed, and nobody takes it any more.
func hanging(t *testing.T, timeout time.Duration) (raft.AppendPipeline, *layer) {
	t.Helper()
	const patience = 50 * time.Millisecond // of a call, where a group has transportTimeout
	far, near := runMux(t), runMux(t)
	fl, err := far.Layer("g")
	if err != nil {
		t.Fatal(err)
	}
	silent(t, fl)
	nl, err := near.layer("g")
	if err != nil {
		t.Fatal(err)
	}
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: nl, MaxPool: maxPool, Timeout: patience})
	t.Cleanup(func() {
		_ = inner.Close() // the layer may be closed already
		inner.CloseStreams()
		_ = nl.Close()
		nl.wait()
	})
	p, err := transport{inner, nl, timeout}.AppendEntriesPipeline("far", raft.ServerAddress(far.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // may be closed already
	// One call waits for its answer and then for somebody to take it, the next waits behind it.
	if _, err := p.AppendEntries(&raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{}); err != nil {
		t.Fatal(err)
	}
	return p, nl
}

// send sends until it fails, which is the second or third time.
func send(p raft.AppendPipeline) <-chan error {
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := p.AppendEntries(&raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{}); err != nil {
				failed <- err
				return
			}
		}
	}()
	return failed
}

func TestPipelineDoesNotHang(t *testing.T) {
	p, _ := hanging(t, 200*time.Millisecond)
	select {
	case err := <-send(p):
		if !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Errorf("error %v, want %v", err, raft.ErrPipelineShutdown)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still sending after 10s")
	}
}

func TestPipelineEndsWithLayer(t *testing.T) {
	p, l := hanging(t, time.Hour)
	failed := send(p)
	select {
	case err := <-failed:
		t.Fatalf("ended by itself: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-failed:
		t.Logf("ended with: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("still sending 10s after the layer was closed")
	}
}
