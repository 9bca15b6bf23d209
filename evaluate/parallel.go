package evaluate

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// inChunks calls work for chunk c of [cuts[c], cuts[c+1]) with the given number of goroutines, and done, in the calling goroutine,
// with the number of elements of each chunk that is finished. It returns when all goroutines have ended: the first error, or that of
// ctx, which is looked at before each chunk. A single goroutine is the calling one, so that what has a low priority keeps it.
func inChunks(ctx context.Context, cuts []int, threads int, done func(elements int), work func(chunk int) error) error {
	chunks := len(cuts) - 1
	if min(threads, chunks) == 1 {
		for c := range chunks {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := work(c); err != nil {
				return err
			}
			done(cuts[c+1] - cuts[c])
		}
		return nil
	}
	finished := make(chan int, chunks) // room for all, so that no worker ever waits for done
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(threads, chunks) {
		g.Go(func() error {
			for {
				c := int(next.Add(1) - 1)
				if c >= chunks {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := work(c); err != nil {
					return err
				}
				finished <- cuts[c+1] - cuts[c]
			}
		})
	}
	result := make(chan error, 1) // its one value is there before finished is closed
	go func() {
		result <- g.Wait()
		close(finished)
	}()
	for n := range finished {
		done(n)
	}
	return <-result
}

// evenCuts cuts [0, n) into chunks of a size.
func evenCuts(n, size int) []int {
	cuts := []int{0}
	for lo := 0; lo < n; lo += size {
		cuts = append(cuts, min(n, lo+size))
	}
	return cuts
}
