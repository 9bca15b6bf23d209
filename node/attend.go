package node

import (
	"context"
	"sync"
	"time"
)

// attend starts what a node does besides following decisions. stop ends it and waits for it.
func (n *Node) attend(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { n.disk.Run(ctx) })
	running.Go(func() { n.keepFiles(ctx) })
	running.Go(func() { n.dropJobs(ctx) })
	running.Go(func() { n.yieldWhileFull(ctx) })
	running.Go(func() { n.scrubNowAndThen(ctx) })
	running.Go(func() { n.removeStrays(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// dropJobs drops what is left of builds that have ended, until ctx is done. It is apart from Run since it waits for calls at work, such as
// one that sends to a node that hangs.
func (n *Node) dropJobs(ctx context.Context) {
	timer := time.NewTicker(lookInterval) // a late call may have brought an ended job back
	defer timer.Stop()
	for ctx.Err() == nil {
		changed := n.control.Changed()
		view := n.control.View()
		n.worker.Retain(view.Job, view.Applied)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}
