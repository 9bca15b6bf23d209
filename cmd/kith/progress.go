package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// linePause is the least time between two lines about work in progress.
const linePause = 5 * time.Second

// progress shows on standard error how far long work is: a bar on a terminal, and elsewhere a line now and then, so that
// short work shows nothing. It is safe for concurrent use.
type progress struct {
	app  *app
	what string
	bars *mpb.Progress // nil where there is no terminal
	// now is read while bars are drawn, which set must not wait for under a lock.
	now atomic.Pointer[extent]

	mu   sync.Mutex
	bar  *mpb.Bar
	last time.Time
}

// extent is how far a phase is. A total of 0 is not known.
type extent struct {
	phase       string
	done, total int64
}

func (e *extent) counts() string {
	switch {
	case e.total > 0:
		return fmt.Sprintf("%s of %s", count(e.done), count(e.total))
	case e.done > 0:
		return count(e.done)
	}
	return ""
}

// progress begins to show work. The caller must call end.
func (a *app) progress(what string) *progress {
	p := &progress{app: a, what: what, last: time.Now()}
	if a.terminal(a.err) {
		p.bars = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return p
}

// set tells how far a phase is.
func (p *progress) set(phase string, done, total int64) {
	e := &extent{phase, done, total}
	p.now.Store(e)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch now := time.Now(); {
	case p.bars != nil:
		if p.bar == nil {
			p.bar = p.newBar()
		}
		p.bar.SetTotal(max(total, done)+1, false) // complete only at the end
		p.bar.SetCurrent(done)
	case now.Sub(p.last) >= linePause:
		p.last = now
		p.app.note("%s: %s %s", p.what, phase, e.counts())
	}
}

func (p *progress) newBar() *mpb.Bar {
	phase := decor.Any(func(decor.Statistics) string { return p.now.Load().phase }, decor.WC{W: 12, C: decor.DindentRight})
	counts := decor.Any(func(decor.Statistics) string { return " " + p.now.Load().counts() })
	style := mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding("─")
	return p.bars.New(0, style, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(phase), mpb.AppendDecorators(counts))
}

// end removes the bar.
func (p *progress) end() {
	if p.bars == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Abort(true)
	}
	p.bars.Wait()
}
