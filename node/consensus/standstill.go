package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// patienceElections is how many election timeouts a write to the log of a leader may take before it falls silent: 3 s by default. A slow
// disk is not worth a change of leaders, which takes some writes itself.
const patienceElections = 6

// standstill knows how long the write to the log that is under way has taken.
//
// A leader whose disk stands still accepts nothing and yet leads: raft sends heartbeats while it waits for the disk, and so nobody takes
// its place, for as long as it lasts. So what such a leader sends waits as well, until the disk goes on, and the others elect
// another.
type standstill struct {
	patience time.Duration
	done     <-chan struct{} // ends waiting

	mu    sync.Mutex
	began time.Time     // of the write under way
	over  chan struct{} // closed when it ends; nil if there is none
}

// write notes that a write begins, and returns what is to be called at its end. There is one at a time.
func (s *standstill) write() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began, s.over = time.Now(), make(chan struct{})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.over)
		s.over = nil
	}
}

// await returns at once if the disk does not stand still, or else when it goes on. It returns ErrClosed if the group is shut down
// before.
func (s *standstill) await() error {
	s.mu.Lock()
	over, took := s.over, time.Since(s.began)
	s.mu.Unlock()
	if over == nil || took < s.patience {
		return nil
	}
	select {
	case <-over:
		return nil
	case <-s.done:
		return ErrClosed
	}
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := p.disk.await(); err != nil {
		return nil, err
	}
	p.sent()
	return p.AppendPipeline.AppendEntries(args, resp)
}
