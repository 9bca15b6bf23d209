package node

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

var _ kithv1.QueryServiceServer = (*Node)(nil)

// partitionOf returns the partition of a dense item, which must be among some.
func (m *Version) partitionOf(item uint32, among ...uint32) (uint32, error) {
	dictionary, err := m.Dictionary()
	if err != nil {
		return 0, err
	}
	if int64(item) >= int64(dictionary.Len()) {
		return 0, fmt.Errorf("%w: item %d of %d", wire.ErrInvalid, item, dictionary.Len())
	}
	p := uint32(partition.Of(string(dictionary.KeyBytes(item)), m.Partitions))
	if !slices.Contains(among, p) {
		return 0, fmt.Errorf("%w: item %d is not in partitions %v", wire.ErrInvalid, item, among)
	}
	return p, nil
}

// NeighborLists implements kithv1.QueryServiceServer.
func (n *Node) NeighborLists(_ context.Context, req *kithv1.NeighborListsRequest) (*kithv1.NeighborListsResponse, error) {
	m, err := n.versions.Acquire(req.Version)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	lists, err := m.Lists(req.Partition)
	if err != nil {
		return nil, err
	}
	resp := &kithv1.NeighborListsResponse{}
	for _, item := range req.Items {
		if _, err := m.partitionOf(item, req.Partition); err != nil {
			return nil, err
		}
		neighbors, _ := lists.List(item)
		out := &kithv1.NeighborList{Ids: make([]uint32, len(neighbors)), Scores: make([]float32, len(neighbors))}
		for i, x := range neighbors {
			out.Ids[i], out.Scores[i] = x.ID, x.Score
		}
		resp.Lists = append(resp.Lists, out)
	}
	return resp, nil
}

// ScoreItems implements kithv1.QueryServiceServer.
func (n *Node) ScoreItems(_ context.Context, req *kithv1.ScoreItemsRequest) (*kithv1.ScoreItemsResponse, error) {
	m, err := n.versions.Acquire(req.Version)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	history := make([]HistoryItem, len(req.History))
	for i, h := range req.History {
		p, err := m.partitionOf(h.Item, req.Partitions...)
		if err != nil {
			return nil, err
		}
		history[i] = HistoryItem{h.Item, p, h.Weight}
	}
	scores, err := m.scoreItems(history)
	if err != nil {
		return nil, err
	}
	items, sums := scores.All() // which the answer keeps, so scores are not returned
	return &kithv1.ScoreItemsResponse{Items: items, Scores: sums}, nil
}

// HistoryItem is an item that a user knows.
type HistoryItem struct {
	Item      uint32 // dense id
	Partition uint32 // of the item
	Weight    float32
}

// ScoresOf is the call ScoreItems of this node without messages, for callers in the process, of items whose partitions have been found. The scores are borrowed.
func (n *Node) ScoresOf(version uint64, history []HistoryItem) (*neighborhood.Scores, error) {
	m, err := n.versions.Acquire(version)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	return m.scoreItems(history)
}

// scoreItems adds up what the neighbors of each item say. The scores are borrowed. Lists lie anywhere in memory, so each step of the way to them is made for all items before the
// next one: the processor waits for all at once, and not for one after the other.
func (m *Version) scoreItems(history []HistoryItem) (*neighborhood.Scores, error) {
	var read uint32
	for _, h := range history {
		lists, err := m.Lists(h.Partition)
		if err != nil {
			return nil, err
		}
		read ^= lists.Ahead(h.Item)
	}
	found, room := make([][]similarity.Neighbor, len(history)), 0
	for i, h := range history {
		found[i], _ = m.lists[h.Partition].Load().List(h.Item)
		room += len(found[i])
	}
	const line = 64 / int(unsafe.Sizeof(similarity.Neighbor{})) // of the memory
	for _, list := range found {
		for ; len(list) > 0; list = list[min(line, len(list)):] {
			read ^= list[0].ID
		}
	}
	runtime.KeepAlive(read) // or nothing is read
	scores, unit := neighborhood.BorrowScores(room), m.Similarity.Measure.Unit()
	for i, h := range history {
		scores.AddNeighbors(h.Weight*unit, found[i])
	}
	return scores, nil
}

// NearestUsers implements kithv1.QueryServiceServer. The rows of a version have users that were erased since; they are passed over.
func (n *Node) NearestUsers(_ context.Context, req *kithv1.NearestUsersRequest) (*kithv1.NearestUsersResponse, error) {
	m, err := n.versions.Acquire(req.Version)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	items, weights := make([]uint32, len(req.Row)), make([]float32, len(req.Row))
	for i, x := range req.Row {
		items[i], weights[i] = x.Item, x.Weight
		if i > 0 && items[i-1] >= x.Item {
			return nil, fmt.Errorf("%w: items of the row do not ascend at %d", wire.ErrInvalid, i)
		}
	}
	weigher, err := m.userWeigher()
	if err != nil {
		return nil, err
	}
	weighed := weigher.Row(items, weights)
	type held struct {
		*userRows
		partition uint32
		gone      erasures
	}
	parts, wanted := make([]held, len(req.Partitions)), int(req.K)
	for i, p := range req.Partitions {
		rows, err := m.rows(p)
		if err != nil {
			return nil, err
		}
		gone, err := n.erasuresSince(p, m)
		if err != nil {
			return nil, err
		}
		parts[i] = held{rows, p, gone}
		wanted += gone.count
	}
	slices.SortFunc(parts, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.FirstUser(), b.FirstUser()), cmp.Compare(a.NumUsers(), b.NumUsers()))
	})
	searched := make([]similarity.SearchPart, len(parts))
	for i, p := range parts {
		searched[i] = similarity.SearchPart{Searcher: p.search, First: p.FirstUser(), Self: -1}
		if req.ExcludeUser == "" || p.partition != uint32(partition.Of(req.ExcludeUser, len(m.users))) {
			continue
		}
		if row, ok := p.Find(req.ExcludeUser); ok {
			searched[i].Self = row
		}
	}
	var found []*kithv1.SimilarUser
	for _, x := range similarity.Nearest(searched, items, weighed, wanted) {
		p := &parts[similarity.PartOf(searched, x.ID)]
		u := &kithv1.SimilarUser{User: x.ID, Partition: p.partition, Score: x.Score}
		if req.WithKeys || p.gone.count > 0 {
			key := p.Key(int(x.ID - p.FirstUser()))
			if erased, err := p.gone.has(key); err != nil {
				return nil, err
			} else if erased {
				continue
			}
			if req.WithKeys {
				u.Key = key
			}
		}
		found = append(found, u)
	}
	return &kithv1.NearestUsersResponse{Users: found[:min(len(found), int(req.K))]}, nil
}

// NearestOf returns the k nearest of some users: by score descending, then dense id.
func NearestOf(users []*kithv1.SimilarUser, k int) []*kithv1.SimilarUser {
	slices.SortFunc(users, func(a, b *kithv1.SimilarUser) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.User, b.User))
	})
	return users[:min(k, len(users))]
}

// ScoreUsers implements kithv1.QueryServiceServer.
func (n *Node) ScoreUsers(_ context.Context, req *kithv1.ScoreUsersRequest) (*kithv1.ScoreUsersResponse, error) {
	m, err := n.versions.Acquire(req.Version)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	scores, unit := neighborhood.NewScores(), m.Similarity.Measure.OfUsers().Unit()
	for _, u := range req.Users {
		rows, err := m.rows(u.Partition)
		if err != nil {
			return nil, err
		}
		matrix := rows.Matrix()
		row := int64(u.User) - int64(rows.FirstUser())
		if row < 0 || row >= int64(matrix.NumUsers()) {
			return nil, fmt.Errorf("%w: user %d is not in partition %d", wire.ErrInvalid, u.User, u.Partition)
		}
		lo, hi := matrix.Start[row], matrix.Start[row+1]
		var weights []float32
		if matrix.Weight != nil {
			weights = matrix.Weight[lo:hi]
		}
		scores.AddRow(u.Score*unit, matrix.Item[lo:hi], weights)
	}
	items, sums := scores.All()
	return &kithv1.ScoreUsersResponse{Items: items, Scores: sums}, nil
}
