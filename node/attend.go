package node

import (
	"context"
	"sync"
)

// attend starts what a node does besides following decisions. stop ends it and waits for it.
func (n *Node) attend(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { n.disk.Run(ctx) })
	running.Go(func() { n.keepFiles(ctx) })
	running.Go(func() { n.yieldWhileFull(ctx) })
	running.Go(func() { n.scrubNowAndThen(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
