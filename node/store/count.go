package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// seekAtLeast is the number of counts that are read in order of their keys, and not one by one.
const seekAtLeast = 16

// ItemCounts returns the numbers of events of items, in their order; 0 for those that are unknown. Cost: none for the most popular items; for each other one a lookup, which is several times
// cheaper the more there are.
func (s *Store) ItemCounts(ctx context.Context, items []string) (counts []uint64, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release(d)
	counts = make([]uint64, len(items))
	var rest []int // places of those that are not at hand
	d.mu.Lock()
	for i, item := range items {
		var known bool
		if counts[i], known = d.atHand(item); !known {
			rest = append(rest, i)
		}
	}
	err = d.failed
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(rest) >= seekAtLeast {
		return counts, d.seekCounts(ctx, items, rest, counts)
	}
	for _, i := range rest {
		if counts[i], err = d.count(append([]byte{'c'}, items[i]...)); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// atHand returns the count of an item if it is kept in memory. The mu of the database is held.
func (d *database) atHand(item string) (n uint64, known bool) {
	if n, known = d.top.count(item); !known && d.deep != nil {
		n, known = d.deep.count(item)
	}
	return n, known
}

// seekCounts reads the counts of the items at some places, in order of their keys: neighbors are in the same blocks.
func (d *database) seekCounts(ctx context.Context, items []string, places []int, counts []uint64) (err error) {
	slices.SortFunc(places, func(a, b int) int { return strings.Compare(items[a], items[b]) })
	it, err := d.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{'c'}, UpperBound: []byte{'c' + 1}})
	if err != nil {
		return translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	key := []byte{'c'}
	for k, i := range places {
		if k%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key = append(key[:1], items[i]...)
		if !it.SeekGE(key) {
			if err := it.Error(); err != nil {
				return translate(err)
			}
			continue
		}
		if !bytes.Equal(it.Key(), key) {
			continue
		}
		if counts[i], err = decodeCount(it.Value()); err != nil {
			return err
		}
	}
	return translate(it.Error())
}
