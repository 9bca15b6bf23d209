package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipelineRoom is how many answers wait for a reader. Once it has gone away raft's sender stops as well, after one or two more
// requests, as it is told so whenever it chooses what to do next.
const pipelineRoom = 64

// pipeline takes the answers off a pipeline as they come, so that no sender is left waiting for ever.
//
// In raft a leader's sender and the reader of answers share a pipeline without buffers. When an answer says that there is a newer term
// the reader goes away, while the sender may be about to hand on the next request: it waits for the answer before, which waits
// for the reader. Nothing ends that, and the shutdown of the group waits for it. It takes a change of leaders while entries
// are on their way, as when a server hands over and stops.
type pipeline struct {
	raft.AppendPipeline
	disk    *standstill
	sent    func() // is called for each request
	answers chan raft.AppendFuture
	done    chan struct{} // closed by Close
	close   func() error
}

func newPipeline(p raft.AppendPipeline, disk *standstill, sent func()) *pipeline {
	out := &pipeline{AppendPipeline: p, disk: disk, sent: sent, answers: make(chan raft.AppendFuture, pipelineRoom), done: make(chan struct{})}
	var forwarding sync.WaitGroup
	forwarding.Go(out.forward)
	out.close = sync.OnceValue(func() error {
		close(out.done)
		err := p.Close()
		forwarding.Wait()
		return err
	})
	return out
}

// forward moves answers on until the pipeline is closed.
func (p *pipeline) forward() {
	for {
		select {
		case answer := <-p.AppendPipeline.Consumer():
			select {
			case p.answers <- answer:
			case <-p.done:
				return
			}
		case <-p.done:
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline. A second call returns what the first did.
func (p *pipeline) Close() error { return p.close() }
