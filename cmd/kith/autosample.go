package main

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// sourceCluster is the source of data that come from the cluster itself.
const sourceCluster = "cluster"

// sampleReaders is how many histories are read at the same time.
const sampleReaders = 8

// keySample holds the n keys with the least hashes of those that were offered: the same whatever their order, and much the same where some keys come or go.
// Keys must be distinct.
type keySample struct {
	n       int
	offered int
	keys    []hashedKey
}

type hashedKey struct {
	hash uint64
	key  string
}

func (s *keySample) offer(key string) {
	s.offered++
	s.keys = append(s.keys, hashedKey{xxhash.Sum64String(key), key})
	if len(s.keys) >= 2*s.n {
		s.cut()
	}
}

func (s *keySample) cut() {
	slices.SortFunc(s.keys, func(a, b hashedKey) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.key, b.key)) })
	s.keys = s.keys[:min(s.n, len(s.keys))]
}

// taken returns the keys of the sample, ascending.
func (s *keySample) taken() []string {
	s.cut()
	keys := make([]string, len(s.keys))
	for i, x := range s.keys {
		keys[i] = x.key
	}
	slices.Sort(keys)
	return keys
}

// sample reads the events of up to n users of the cluster with two items or more, and fuses them as a build does. Show is called with the number of users
// that are read, from several goroutines.
func (c *client) sample(ctx context.Context, n int, w fusion.Weights, show func(done, total int)) (autoData, error) {
	data := autoData{Source: sourceCluster}
	users := keySample{n: n}
	var now int64
	err := streaming(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (grpc.ServerStreamingClient[kithv1.ListUserFeaturesResponse], error) {
		return kithv1.NewCatalogServiceClient(conn).ListUserFeatures(ctx, &kithv1.ListUserFeaturesRequest{WithoutRfm: true})
	}, func(m *kithv1.ListUserFeaturesResponse) error {
		now = m.NowUnixMs
		for _, u := range m.Users {
			if u.Items >= 2 {
				users.offer(u.User)
			}
		}
		return nil
	})
	if err != nil {
		return data, err
	}
	keys := users.taken()
	rows := make([][]fusion.Interaction, len(keys))
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sampleReaders)
	for i, key := range keys {
		g.Go(func() error {
			messages, err := c.events(ctx, key)
			if err != nil {
				return err
			}
			events := make([]fusion.Event, len(messages))
			for j, m := range messages {
				events[j] = wire.EventFromProto(m)
			}
			rows[i] = fusion.Fuse(events, w, now)
			show(int(done.Add(1)), len(keys))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return data, err
	}
	byUser := make(map[string][]fusion.Interaction, len(keys))
	for i, key := range keys {
		byUser[key] = rows[i]
	}
	data.table = fusion.TableOf(byUser)
	data.Users, data.Sampled = users.offered, usersWithTwo(data.table)
	return data, nil
}

// items returns how many items the active version has, 0 if there is none.
func (c *client) items(ctx context.Context) (int, error) {
	models, err := c.models(ctx)
	if err != nil {
		return 0, err
	}
	for _, v := range models.Versions {
		if v.Active {
			return int(v.Items), nil
		}
	}
	return 0, nil
}
