package worker

import (
	"runtime"
	"sync"
	"time"
)

// restTime is how long no build computes before the runtime gives its processors back: to change their number stops all goroutines for a moment.
const restTime = 2 * time.Second

// Processors gives the runtime more processors while builds compute, where the threads of builds have a low priority: a query then needs not wait until
// one of them is at a place where the runtime can take its processor away, and the system runs the query first. At other times they would do harm: of
// twice as many processors as there are the collector of garbage takes a quarter, which is half of what there is. There should be one in a process. It is safe
// for concurrent use, and nil does nothing.
type Processors struct {
	few, many int

	mu    sync.Mutex // guards what follows
	users int
	rest  *time.Timer // gives them back; nil while there is nothing to give back
}

// NewProcessors returns a Processors that raises the number of processors by some.
func NewProcessors(more int) *Processors {
	few := runtime.GOMAXPROCS(0)
	return &Processors{few: few, many: few + more}
}

// take notes somebody who computes.
func (p *Processors) take() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users++; p.users > 1 {
		return
	}
	if p.rest == nil {
		runtime.GOMAXPROCS(p.many)
		p.rest = time.AfterFunc(time.Hour, p.giveBack)
	}
	p.rest.Stop()
}

// give notes that somebody has ended.
func (p *Processors) give() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 {
		p.rest.Reset(restTime)
	}
}

// giveBack ends a time in which somebody computed.
func (p *Processors) giveBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 && p.rest != nil {
		runtime.GOMAXPROCS(p.few)
		p.rest = nil
	}
}

// Close gives the processors back. Nobody may compute any more.
func (p *Processors) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	if p.rest != nil {
		p.rest.Stop()
	}
	p.mu.Unlock()
	p.giveBack()
}
