package worker

// compute runs f, which works for long, and returns the processor time that it took on its goroutine. With Background, f runs on a
// thread of its own that has the least priority where the system knows such a thing: it gets the processor time that queries and
// events leave, and all of it when they leave all. For queries to find a processor at once, the runtime must have more of them than
// builds use; kith server sees to that.
func (w *Worker) compute(f func()) (seconds float64) {
	if !w.cfg.Background {
		return cpuSeconds(f)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		becomeIdle()
		seconds = cpuSeconds(f)
	}()
	<-done
	return seconds
}
