package source

// aheadBatches is how many batches are decoded before they are asked for.
const aheadBatches = 4

// parquetAhead decodes the rows of a file in a goroutine of its own, which ends with the file, with an error, or with end.
type parquetAhead struct {
	full, free chan *parquetBatch // each has room for all batches
	stop, done chan struct{}
}

func startAhead(p *parquetRows) *parquetAhead {
	a := &parquetAhead{
		full: make(chan *parquetBatch, aheadBatches), free: make(chan *parquetBatch, aheadBatches+1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	for range aheadBatches - 1 {
		a.free <- p.newBatch()
	}
	go a.run(p)
	return a
}

func (a *parquetAhead) run(p *parquetRows) {
	defer close(a.done)
	for {
		select {
		case b := <-a.free:
			p.decode(b)
			a.full <- b
			if b.err != nil {
				return
			}
		case <-a.stop:
			return
		}
	}
}

// take gives a batch back, of which nothing is used any more, and waits for the next one.
func (a *parquetAhead) take(used *parquetBatch) *parquetBatch {
	a.free <- used
	return <-a.full
}

// end ends the goroutine and waits for it.
func (a *parquetAhead) end() {
	close(a.stop)
	<-a.done
}
