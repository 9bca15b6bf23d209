package coordinator

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// shelfBytes bounds the products in memory: some three million of usual size.
	shelfBytes = 1 << 30
	// followWait is how long a leader waits for a change before it says that there was none.
	followWait = 1500 * time.Millisecond
	// lagTime is how old the word of a leader may be before answers say that they are stale: two waits, and the time of the calls.
	lagTime = 4 * time.Second
	// followTimeout bounds one such call with its tries. A third of it must be longer than followWait.
	followTimeout = 3 * tryTimeout
	// scanPage is the most products of a page.
	scanPage = 2000
)

// products is what this node knows of the products of the whole cluster: a shelf, and how far it has followed each partition. See
// docs/adr/0016.
type products struct {
	shelf *shelf.Shelf
	now   func() time.Time

	mu    sync.Mutex // guards what follows
	parts []followed // by partition; nil until the shard map is known
	moved chan struct{}
}

// followed is how far a partition has come.
type followed struct {
	// at: all changes up to here are on the shelf, if loaded.
	at     store.Change
	loaded bool
	// heard is when a leader was last asked who then said that there is no more, as far as at says.
	heard time.Time
	// least is the highest index of a change that was acknowledged through this node.
	least uint64
}

func newProducts(limit int64, now func() time.Time) *products {
	return &products{shelf: shelf.New(limit), now: now, moved: make(chan struct{})}
}

// change changes the state of a partition, and wakes who waits.
func (x *products) change(p partition.ID, f func(*followed)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for int(p) >= len(x.parts) {
		x.parts = append(x.parts, followed{})
	}
	f(&x.parts[p])
	close(x.moved)
	x.moved = make(chan struct{})
}

func (x *products) state(p partition.ID) (f followed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if int(p) < len(x.parts) {
		f = x.parts[p]
	}
	return f
}

// expect says that a change was acknowledged to a caller of this node.
func (x *products) expect(p partition.ID, index uint64) {
	x.change(p, func(f *followed) { f.least = max(f.least, index) })
}

// look says how the shelf is: whether products of some partition are missing, whether it may be older than it should be, and whether it
// helps to wait.
func (x *products) look(partitions int) (partial, stale, wait bool, moved <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p := range partitions {
		var f followed
		if p < len(x.parts) {
			f = x.parts[p]
		}
		silent := x.now().Sub(f.heard) > lagTime
		partial = partial || !f.loaded
		stale = stale || silent || f.at.Index < f.least
		wait = wait || !f.loaded || f.at.Index < f.least && !silent
	}
	return partial, stale, wait, x.moved
}

// omits says whether there was no room for some product.
func (x *products) omits() (omits bool) {
	x.shelf.View(func(v *shelf.View) { omits = v.Omitted() > 0 })
	return omits
}

// awaitProducts waits until the shelf has what was acknowledged through this node, for a part of the time that there is. It says what it lacks.
func (r *Router) awaitProducts(ctx context.Context, stale bool) (isPartial, isStale bool, err error) {
	partitions, err := r.partitions()
	if err != nil {
		return false, false, err
	}
	waiting, cancel := context.WithTimeout(ctx, share(ctx, 3))
	defer cancel()
	for {
		partial, old, wait, moved := r.products.look(partitions)
		if !wait || stale && !partial || waiting.Err() != nil {
			return partial || r.products.omits(), old || stale, ctx.Err()
		}
		select {
		case <-moved:
		case <-waiting.Done():
		}
	}
}

// follower keeps the products of a node up to date. Its router has connections apart from those of queries, as its calls wait long.
type follower struct {
	*products
	router *Router
}

// slowPeers gives connections for calls that wait, or that move much.
type slowPeers struct {
	Peers
	bulk node.BulkPeers
}

// Conn returns a connection apart from those of queries.
func (s slowPeers) Conn(ctx context.Context, id string) (grpc.ClientConnInterface, error) {
	return s.bulk.Conn(ctx, id, "")
}

// followProducts keeps the products of this node up to date until ctx is done.
func (c *Coordinator) followProducts(ctx context.Context) {
	f := follower{c.router.products, NewRouter(c, slowPeers{c.peers, c.peers.Bulk()}, c.router.local, c.cfg.Now)}
	for {
		changed := c.Changed()
		if n, err := f.router.partitions(); err == nil {
			var all sync.WaitGroup
			for p := range n {
				all.Go(func() { f.follow(ctx, partition.ID(p)) })
			}
			all.Wait() // their number is fixed
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// follow keeps the products of a partition up to date until ctx is done: by its leader, or, as long as nothing is known, by any replica.
func (f *follower) follow(ctx context.Context, p partition.ID) {
	pause := firstPause
	for ctx.Err() == nil {
		err := f.step(ctx, p, false)
		if err == nil {
			pause = firstPause
			continue
		}
		if !f.state(p).loaded {
			_ = f.step(ctx, p, true) // it is tried again
		}
		sleep(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

// step takes over what comes behind the point that was reached.
func (f *follower) step(ctx context.Context, p partition.ID, stale bool) error {
	was, asked := f.state(p), f.now()
	req := &kithv1.FollowProductsRequest{Partition: uint32(p), Index: was.at.Index, Ordinal: was.at.Ordinal, Stale: stale}
	if was.loaded && !stale {
		req.WaitMs = uint32(followWait / time.Millisecond)
	}
	var resp *kithv1.FollowProductsResponse
	err := f.call(ctx, p, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) (err error) {
		req.Epoch = epoch
		resp, err = c.FollowProducts(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	if resp.Behind {
		if err := f.scan(ctx, p, resp.Index, stale); err != nil {
			return err
		}
	} else if err := f.put(resp.Products); err != nil {
		return err
	}
	f.change(p, func(s *followed) {
		if at := (store.Change{Index: resp.Index, Ordinal: resp.Ordinal}); s.at.Before(at) {
			s.at = at
		}
		s.loaded = true
		if !stale && !resp.More {
			s.heard = asked
		}
	})
	return nil
}

func (f *follower) call(ctx context.Context, p partition.ID, stale bool, fn func(context.Context, kithv1.PartitionServiceClient, uint64) error) error {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	return f.router.onPartition(ctx, p, stale, fn)
}

// scan reads all products of a partition as they are at an index, or later.
func (f *follower) scan(ctx context.Context, p partition.ID, index uint64, stale bool) error {
	for after, more := "", true; more; {
		var resp *kithv1.ScanRecordsResponse
		err := f.call(ctx, p, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) (err error) {
			resp, err = c.ScanRecords(ctx, &kithv1.ScanRecordsRequest{
				Partition: uint32(p), Epoch: epoch, Kind: wire.KindToProto(catalog.Product), AfterKey: after, N: scanPage, Stale: stale, LeastIndex: index,
			})
			return err
		})
		if err != nil {
			return err
		}
		if err := f.put(resp.Records); err != nil {
			return err
		}
		if more = resp.More && len(resp.Records) > 0; more {
			after = resp.Records[len(resp.Records)-1].Key
		}
	}
	return nil
}

// put puts products on the shelf.
func (f *follower) put(ms []*kithv1.Record) error {
	records, err := wire.RecordsFromProto(ms)
	if err != nil {
		return err
	}
	for i := range records {
		f.shelf.Put(&records[i])
	}
	return nil
}
