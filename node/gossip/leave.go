package gossip

import (
	"math"
	"time"
)

// leaveTimeout bounds the wait for the goodbye to go out.
const leaveTimeout = 2 * time.Second

// goodbye counts how often the goodbye has gone out.
type goodbye struct {
	left int           // times to go
	said chan struct{} // closed when there are none, or nobody to tell; nil before the goodbye
}

// leave says goodbye. memberlist tells a goodbye and a death apart on the wire, but not in
// its callbacks, so the metadata says it first.
func (g *Gossip) leave() {
	g.closing.Lock() // memberlist panics when it is told to leave after its end
	defer g.closing.Unlock()
	select {
	case <-g.closed:
		return
	default:
	}
	g.mu.Lock()
	g.encoded[1] |= flagLeaving
	g.mu.Unlock()
	// To others a goodbye that is lost is a death: nothing depends on it.
	if err := g.list.UpdateNode(updateTimeout); err != nil {
		g.log.Debug("announce goodbye", "err", err)
	}
	// This puts the goodbye in line, and does not wait. memberlist would wait all the time for it when the others leave meanwhile, as when all are stopped at
	// once: it sends nothing to those.
	_ = g.list.Leave(time.Nanosecond)
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case <-g.sayGoodbye():
	case <-timer.C:
		g.log.Debug("leave gossip: the goodbye has not gone out", "after", leaveTimeout)
	}
}

// sayGoodbye returns a channel that is closed when the goodbye, which is in line, has gone out as often as memberlist sends news, or when no other member is
// alive any more.
func (g *Gossip) sayGoodbye() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.goodbye = goodbye{left: g.retransmits * int(math.Ceil(math.Log10(float64(len(g.members)+1)))), said: make(chan struct{})}
	said := g.goodbye.said
	g.told(0)
	return said
}

// told notes that news have gone out to n members, the goodbye among them. g.mu is held.
func (g *Gossip) told(n int) {
	if g.goodbye.said == nil {
		return
	}
	if g.goodbye.left -= n; g.goodbye.left <= 0 || g.aloneLocked() {
		close(g.goodbye.said)
		g.goodbye.said = nil
	}
}
