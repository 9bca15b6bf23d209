package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// viewBytes and viewUsers bound the events whose features are computed at once, but for those of the last user.
	viewBytes = 4 << 20
	viewUsers = 1000
)

// viewer computes the features of users, a chunk at a time.
type viewer struct {
	options  view.Options
	products products
}

func (n *Node) viewer(o *kithv1.FeatureOptions, stale bool) *viewer {
	return &viewer{options: wire.FeaturesFromProto(o), products: products{read: n.cfg.Products, options: o, stale: stale}}
}

// users returns the features of those of some users that have events that count.
func (v *viewer) users(ctx context.Context, users []userEvents) (rows []*kithv1.UserFeatures, err error) {
	if err := v.products.load(ctx, users); err != nil {
		return nil, err
	}
	for _, u := range users {
		if x := view.OfUser(u.events, v.products.find, v.options); len(x.Events) > 0 {
			rows = append(rows, wire.UserFeaturesToProto(u.user, &x))
		}
	}
	return rows, nil
}

// ReadUserFeatures implements kithv1.PartitionServiceServer.
func (n *Node) ReadUserFeatures(req *kithv1.ReadUserFeaturesRequest, stream grpc.ServerStreamingServer[kithv1.ReadUserFeaturesResponse]) error {
	ctx := stream.Context()
	r, err := n.fresh(ctx, req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return err
	}
	v := n.viewer(req.Options, req.Stale)
	var moved *wire.MovedError
	for at := 0; at < len(req.Users); {
		var chunk []userEvents
		for size := 0; at < len(req.Users) && size < viewBytes; at++ {
			events, err := r.store.History(ctx, req.Users[at])
			if err != nil {
				return n.troubled(r, err)
			}
			switch err := r.own(req.Users[at], req.Stale); {
			case errors.As(err, &moved):
				if err := stream.Send(&kithv1.ReadUserFeaturesResponse{Moved: []*kithv1.MovedUser{{User: req.Users[at], To: moved.To}}}); err != nil {
					return err
				}
				continue
			case err != nil:
				return n.troubled(r, err)
			}
			size += eventBytes(events)
			chunk = append(chunk, userEvents{req.Users[at], events})
		}
		rows, err := v.users(ctx, chunk)
		if err != nil {
			return err
		}
		for _, some := range wire.Chunks(rows) {
			if err := stream.Send(&kithv1.ReadUserFeaturesResponse{Users: some}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ScanUserFeatures implements kithv1.PartitionServiceServer. As in Dump the store is left alone while a chunk is on its way.
func (n *Node) ScanUserFeatures(req *kithv1.ScanUserFeaturesRequest, stream grpc.ServerStreamingServer[kithv1.ScanUserFeaturesResponse]) error {
	ctx, v := stream.Context(), n.viewer(req.Options, false)
	send := func(users []userEvents) error {
		last := users[len(users)-1].user
		if req.OnlyPurchases {
			m, err := v.purchases(ctx, users)
			if err != nil {
				return err
			}
			m.AfterUser = last
			return stream.Send(m)
		}
		rows, err := v.users(ctx, users)
		if err != nil {
			return err
		}
		chunks := wire.Chunks(rows)
		for i, some := range chunks {
			after := last
			if i+1 < len(chunks) {
				after = some[len(some)-1].User
			}
			if err := stream.Send(&kithv1.ScanUserFeaturesResponse{Users: some, AfterUser: after}); err != nil {
				return err
			}
		}
		return nil
	}
	return n.eachUsers(ctx, req.Partition, req.Epoch, req.Cut, req.AfterUser, send)
}

// purchases returns what classes are made from, of the buyers among some users.
func (v *viewer) purchases(ctx context.Context, users []userEvents) (*kithv1.ScanUserFeaturesResponse, error) {
	if err := v.products.load(ctx, users); err != nil {
		return nil, err
	}
	m := &kithv1.ScanUserFeaturesResponse{}
	for _, u := range users {
		if p := view.PurchasesOf(u.events, v.products.find, v.options); p.Orders > 0 {
			m.LastOrderUnixMs, m.Orders, m.Revenue = append(m.LastOrderUnixMs, p.LastOrder), append(m.Orders, uint64(p.Orders)), append(m.Revenue, p.Revenue)
		}
	}
	return m, nil
}

// ScanProductFeatures implements kithv1.PartitionServiceServer.
func (n *Node) ScanProductFeatures(req *kithv1.ScanProductFeaturesRequest, stream grpc.ServerStreamingServer[kithv1.ScanProductFeaturesResponse]) error {
	ctx, v := stream.Context(), n.viewer(req.Options, false)
	var items *view.Items
	switch {
	case len(req.Items) > 0:
		items = view.NamedItems(req.Items)
	case req.N > 0:
		items = view.FirstItems(req.AfterItem, int(req.N))
	default:
		return fmt.Errorf("%w: no items, and n is 0", wire.ErrInvalid)
	}
	err := n.eachUsers(ctx, req.Partition, req.Epoch, req.Cut, "", func(users []userEvents) error {
		for i := range users {
			users[i].events = slices.DeleteFunc(users[i].events, func(e fusion.Event) bool { return !items.Wants(e.Item) })
		}
		if err := v.products.load(ctx, users); err != nil {
			return err
		}
		for _, u := range users {
			for item, x := range view.OfItems(u.events, v.products.find, v.options) {
				items.Add(item, x)
			}
		}
		return stream.Send(&kithv1.ScanProductFeaturesResponse{})
	})
	if err != nil {
		return err
	}
	_, more, err := wire.SendItems(items, func(products []*kithv1.ProductFeatures) error {
		return stream.Send(&kithv1.ScanProductFeaturesResponse{Products: products})
	})
	if err != nil {
		return err
	}
	return stream.Send(&kithv1.ScanProductFeaturesResponse{More: more})
}

// eachUsers calls f with the users of a partition behind a key, a chunk at a time, with their events up to a cut.
func (n *Node) eachUsers(ctx context.Context, p uint32, epoch, cut uint64, after string, f func([]userEvents) error) error {
	for {
		r, err := n.held(p, epoch)
		if err != nil {
			return err
		}
		if err := r.comeTo(ctx, cut); err != nil {
			return err
		}
		users, more, err := r.users(ctx, cut, after)
		if err != nil {
			return n.troubled(r, err)
		}
		if len(users) > 0 {
			after = users[len(users)-1].user
			if err := f(users); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// users returns the next users behind a key, with their events up to a cut, and whether there are more.
func (r *replica) users(ctx context.Context, cut uint64, after string) (users []userEvents, more bool, err error) {
	size := 0
	err = r.store.Scan(ctx, cut, after, func(user string, events []fusion.Event) error {
		if size >= viewBytes || len(users) == viewUsers {
			more = true
			return store.ErrStop
		}
		size += eventBytes(events)
		users = append(users, userEvents{user, slices.Clone(events)})
		return nil
	})
	if errors.Is(err, store.ErrBehind) { // it was made anew since
		err = fmt.Errorf("%w: %w", wire.ErrNotReady, err)
	}
	return users, more, err
}
