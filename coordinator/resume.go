package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// dumpSilence is how long a replica may send nothing before another is asked.
	dumpSilence = 20 * time.Second
	// dumpPatience is how long one goes on while no replica of a partition sends anything.
	dumpPatience = 90 * time.Second
)

// sinkError is an error of the receiver of a stream, which no other replica cures.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// fromReplicas asks one replica of a partition after the other by f, until it returns nil or none has brought anything for a while. f
// goes on behind what it brought before, and returns whether it brought anything. What is a word for logs.
func (c *Coordinator) fromReplicas(ctx context.Context, p partition.ID, what string, f func(ctx context.Context, node string, epoch uint64) (brought bool, err error)) error {
	pause, progress := firstPause, c.cfg.Now()
	for {
		state := c.State()
		last := wire.ErrNotReady
		for _, node := range c.router.choices(state.Replicas[p], c.peers.Alive(), uint32(p)) {
			brought, err := f(ctx, node, state.Epoch)
			var sink *sinkError
			switch {
			case err == nil:
				return nil
			case errors.As(err, &sink):
				return sink.err
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, wire.ErrErased), errors.Is(err, wire.ErrInvalid): // at the others, too
				return fmt.Errorf("node %s: %w", node, err)
			}
			last = fmt.Errorf("node %s: %w", node, err)
			c.cfg.Logger.WarnContext(ctx, "reading goes on at another replica", "for", what, "partition", p, "node", node, "err", err)
			if brought {
				pause, progress = firstPause, c.cfg.Now()
			}
		}
		if c.cfg.Now().Sub(progress) > dumpPatience {
			return fmt.Errorf("no replica sends its events: %w", last)
		}
		if !sleep(ctx, pause) {
			return errors.Join(ctx.Err(), last)
		}
		pause = min(2*pause, maxPause)
	}
}

// listen opens a stream of a node and takes its messages. It ends when nothing comes for dumpSilence; the time that take needs does not
// count, as a slow receiver is not the fault of the node.
func listen[M any](ctx context.Context, c *Coordinator, node string,
	open func(context.Context, kithv1.PartitionServiceClient) (grpc.ServerStreamingClient[M], error), take func(*M) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(dumpSilence, cancel)
	defer silence.Stop()
	conn, err := c.peers.Bulk().Conn(ctx, node, "")
	if err != nil {
		return err
	}
	stream, err := open(ctx, kithv1.NewPartitionServiceClient(conn))
	if err != nil {
		return err
	}
	return wire.Receive(stream, func(m *M) error {
		silence.Stop()
		defer silence.Reset(dumpSilence)
		return take(m)
	})
}
