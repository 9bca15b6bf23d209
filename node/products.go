package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// productsRead is the number of products that are read at once: a record has at most 64 KiB.
	productsRead = 500
	// productsBytes is what a pass keeps of products before it forgets them, unless the events at hand need more.
	productsBytes = 16 << 20
	// productOverhead is about what a product takes in a map besides its texts.
	productOverhead = 80
	// productsPatience is how long products are waited for, in a call that has no deadline: some elections, and less than a caller waits
	// for a sign of life.
	productsPatience = 15 * time.Second
)

// ProductReader returns the records of products, wherever in the cluster they are; with stale as some replica has them.
type ProductReader func(ctx context.Context, items []string, stale bool) ([]*kithv1.Record, error)

// products are those that one pass over events has met. Items without a record are kept as well, as products of which nothing is known.
type products struct {
	read    ProductReader
	options *kithv1.FeatureOptions
	stale   bool
	known   map[string]view.Product
	bytes   int
}

// load makes known what some events need. After an error the products are of no use.
func (p *products) load(ctx context.Context, users []userEvents) error {
	if p.known == nil || p.bytes > productsBytes {
		p.known, p.bytes = map[string]view.Product{}, 0
	}
	var missing []string
	for i := range users {
		for k := range users[i].events {
			item := users[i].events[k].Item
			if _, ok := p.known[item]; !ok {
				p.keep(item, view.Product{})
				missing = append(missing, item)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, productsPatience)
	defer cancel()
	for items := range slices.Chunk(missing, productsRead) {
		records, err := p.read(ctx, items, p.stale)
		if err != nil {
			return fmt.Errorf("products of events: %w", err)
		}
		for _, m := range records {
			p.keep(m.Key, wire.ProductFromProto(m, p.options))
		}
	}
	return nil
}

func (p *products) keep(item string, x view.Product) {
	if _, ok := p.known[item]; !ok {
		p.bytes += len(item) + productOverhead
	}
	p.known[item] = x
	p.bytes += len(x.Category)
}

// find implements view.Products for what was loaded.
func (p *products) find(item string) (view.Product, bool) {
	x, ok := p.known[item]
	return x, ok
}

// userEvents are all events of a user that count.
type userEvents struct {
	user   string
	events []fusion.Event
}

// eventBytes is about what events take in memory.
func eventBytes(events []fusion.Event) (n int) {
	for i := range events {
		n += 128 + len(events[i].Item) + len(events[i].ID)
		for k, v := range events[i].Context {
			n += 64 + len(k) + len(v)
		}
	}
	return n
}
