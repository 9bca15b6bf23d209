package consensus

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// sendTimeout bounds how long a pipeline waits to send. The answer to the call before comes, or fails, within transportTimeout.
const sendTimeout = 2 * transportTimeout

// transport is that of raft, with pipelines that cannot hang.
//
// A pipeline of hashicorp/raft 1.8.0 has a goroutine that reads answers and one that takes them. The second ends at the first
// answer that fails. If raft sends once more before it notices, nobody takes the answer, so nobody reads the next, and
// the send waits for ever: the follower gets heartbeats and no entries as long as the leader leads, and Shutdown does not
// return. It takes calls that get no answer on a connection that does not break, such as to a process that is paused or
// cut off.
type transport struct {
	*raft.NetworkTransport
	layer *layer
	// timeout is sendTimeout, but for tests.
	timeout time.Duration
}

// AppendEntriesPipeline implements raft.Transport. The pipeline ends with the layer.
func (t transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, timeout: t.timeout}
	p.release = context.AfterFunc(t.layer.ctx, func() { _ = inner.Close() }) // it only says that it has been closed
	return p, nil
}

// pipeline closes itself when a send waits for too long. raft then goes back to single calls, and to a new pipeline when one
// succeeds.
type pipeline struct {
	raft.AppendPipeline
	timeout time.Duration
	release func() bool
}

// AppendEntries implements raft.AppendPipeline. It waits for timeout at most.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	timer := time.AfterFunc(p.timeout, func() { _ = p.AppendPipeline.Close() }) // as above
	defer timer.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.release()
	return p.AppendPipeline.Close()
}
