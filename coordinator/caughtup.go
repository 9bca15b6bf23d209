package coordinator

import (
	"fmt"

	"github.com/kith-io/kith/node/wire"
)

// control is what a Router needs of the control group.
type control interface {
	Log
	// CaughtUp reports whether State is that of now or of a moment ago.
	CaughtUp() bool
}

var _ control = (*Coordinator)(nil)

// CaughtUp implements control. It is false after the start of a process until it has caught up with the leader.
func (c *Coordinator) CaughtUp() bool { return c.group.CaughtUp() }

// settled returns nil once this process has caught up with the control group. Before that it may go by decisions of long ago, or
// none: another server is to be asked. It matches wire.ErrNotReady then.
func (r *Router) settled() error {
	if r.current.Load() {
		return nil
	}
	if !r.log.CaughtUp() {
		return fmt.Errorf("%w: this server has just started and is catching up", wire.ErrNotReady)
	}
	r.current.Store(true)
	return nil
}
