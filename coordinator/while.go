package coordinator

import (
	"context"
	"sync"
)

// while runs f with a context that ends, with a cause, when over returns one. It is asked at the begin, and after each change.
func while(ctx context.Context, changes func() <-chan struct{}, over func() error, f func(context.Context) error) (err, cause error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			changed := changes()
			if why := over(); why != nil {
				cancel(why)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	err = f(ctx)
	cause = context.Cause(ctx)
	cancel(nil)
	watch.Wait()
	return err, cause
}
