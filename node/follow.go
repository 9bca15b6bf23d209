package node

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// followedChanges is the most changes that are looked at for one answer.
	followedChanges = 1000
	// maxFollowWait bounds what a caller may ask for.
	maxFollowWait = 10 * time.Second
	// ledCheck is how often a leader that waits looks whether it still is one: if not, it would wait in vain.
	ledCheck = 100 * time.Millisecond
)

// FollowProducts implements kithv1.PartitionServiceServer.
func (n *Node) FollowProducts(ctx context.Context, req *kithv1.FollowProductsRequest) (*kithv1.FollowProductsResponse, error) {
	r, err := n.fresh(ctx, req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return nil, err
	}
	over := time.NewTimer(min(time.Duration(req.WaitMs)*time.Millisecond, maxFollowWait))
	defer over.Stop()
	led := time.NewTicker(ledCheck)
	defer led.Stop()
	after := store.Change{Index: req.Index, Ordinal: req.Ordinal}
	for waited := false; ; {
		changed := r.store.ProductsChanged()
		resp, err := r.productsBehind(after)
		if err != nil {
			return nil, n.troubled(r, err)
		}
		if waited || resp.Behind || len(resp.Products) > 0 {
			return resp, nil
		}
		select {
		case <-changed: // at least the index has
			waited = true
		case <-over.C:
			waited = true
		case <-led.C:
			waited = !req.Stale && !r.group.IsLeader()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// productsBehind returns the products that have changed behind a point, as they are now.
func (r *replica) productsBehind(after store.Change) (*kithv1.FollowProductsResponse, error) {
	changed, applied, known, err := r.store.ProductChanges(after, followedChanges)
	if err != nil {
		return nil, err
	}
	to := store.LastOf(applied)
	resp := &kithv1.FollowProductsResponse{Behind: !known, More: len(changed) == followedChanges}
	if resp.More {
		to = changed[len(changed)-1].At
	}
	sent, size := map[string]bool{}, 0
	for i, c := range changed {
		if sent[c.Key] {
			continue
		}
		if size >= recordBytes {
			resp.More, to = true, changed[i-1].At
			break
		}
		sent[c.Key] = true
		record, ok, err := r.store.Record(catalog.Product, c.Key)
		if err != nil {
			return nil, err
		}
		if ok { // it always is, unless the store was replaced meanwhile
			m := wire.RecordToProto(&record)
			resp.Products, size = append(resp.Products, m), size+proto.Size(m)+recordOverhead
		}
	}
	resp.Index, resp.Ordinal = to.Index, to.Ordinal
	return resp, nil
}
