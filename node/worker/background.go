package worker

import "context"

// compute runs f, which works for long and waits for no other node, and returns the processor time that it took on its goroutine. As many
// run at a time as the worker has threads; the others wait. With Background, f runs on a
// thread of its own that has a low priority where the system knows such a thing: queries and events come first, and a build has all
// that they leave. For queries to find a processor at once, Processors gives the runtime more of them meanwhile.
func (w *Worker) compute(ctx context.Context, f func() error) (seconds float64, err error) {
	select {
	case w.turns <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-w.turns }()
	return w.apart(f)
}

// Background runs work that is for no build beside builds, with their priority. It takes no thread from them, as it may last for longer than they can wait.
func (w *Worker) Background(work func() error) error {
	_, err := w.apart(work)
	return err
}

// apart is compute for an f that waits for other nodes, which may be computing for this one.
func (w *Worker) apart(f func() error) (seconds float64, err error) {
	if !w.cfg.Background {
		seconds = cpuSeconds(func() { err = f() })
		return seconds, err
	}
	w.cfg.Processors.take()
	defer w.cfg.Processors.give()
	done := make(chan struct{})
	go func() {
		defer close(done)
		lowerPriority()
		seconds = cpuSeconds(func() { err = f() })
	}()
	<-done
	return seconds, err
}
