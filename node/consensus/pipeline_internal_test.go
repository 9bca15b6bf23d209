package consensus

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// tight is a pipeline as raft's over a network: a request is taken when the answer before is.
type tight struct {
	requests chan *answered
	answers  chan raft.AppendFuture
	closed   chan struct{}
	ended    chan struct{}
}

type answered struct{ raft.AppendFuture }

func newTight() *tight {
	p := &tight{make(chan *answered), make(chan raft.AppendFuture), make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(p.ended)
		for {
			select {
			case r := <-p.requests:
				select {
				case p.answers <- r:
				case <-p.closed:
					return
				}
			case <-p.closed:
				return
			}
		}
	}()
	return p
}

func (p *tight) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	r := &answered{}
	select {
	case p.requests <- r:
		return r, nil
	case <-p.closed:
		return nil, raft.ErrPipelineShutdown
	}
}

func (p *tight) Consumer() <-chan raft.AppendFuture { return p.answers }

func (p *tight) Close() error {
	close(p.closed)
	<-p.ended
	return nil
}

// TestPipelineWithoutReader sends on when nobody reads answers any more, as raft does when there is a newer term.
func TestPipelineWithoutReader(t *testing.T) {
	p := newPipeline(newTight(), &standstill{}, func() {})
	sent, err := p.AppendEntries(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-p.Consumer(); got != sent {
		t.Errorf("got the answer %v, want that of %v", got, sent)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for range 10 {
			if _, err = p.AppendEntries(nil, nil); err != nil {
				break
			}
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the sender waits for a reader")
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
