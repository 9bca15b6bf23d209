package gossip

import (
	"math"
	"time"
)

// leaveTimeout bounds the wait for the goodbye to go out.
const leaveTimeout = 2 * time.Second

// goodbye counts how often a part of the goodbye has gone out.
type goodbye struct {
	left int           // times to go
	said chan struct{} // closed when there are none, or nobody to tell; nil when nothing is to be counted
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
	// Either call puts its news in line, and does not wait: memberlist would wait all the time for them to go out when the others leave meanwhile, as when all
	// are stopped at once: it sends nothing to those. The second news take the place of the first, so these go out before. To others a goodbye that is lost is
	// a death: nothing depends on it.
	_ = g.list.UpdateNode(time.Nanosecond)
	g.awaitSaid(updateTimeout)
	_ = g.list.Leave(time.Nanosecond)
	g.awaitSaid(leaveTimeout)
}

// awaitSaid waits until the news in line have gone out, but no longer than most.
func (g *Gossip) awaitSaid(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-g.said():
	case <-timer.C:
		g.log.Debug("leave gossip: the goodbye has not gone out", "after", most)
	}
}

// said returns a channel that is closed when the news in line have gone out as often as memberlist sends news, or when no other member is alive any more.
func (g *Gossip) said() <-chan struct{} {
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
