package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/direct"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// scoring scores all candidates of one history.
type scoring struct {
	r          *Router
	m          *node.Version
	dictionary *artifact.Dictionary
	history    []node.HistoryItem // ascending by item
	keys       []string           // of the history, by newScoring
	user       string
	partial    bool
	elsewhere  bool // others than this node have told similar users
}

// newScoring returns the scoring of what the model knows of a subject.
func (r *Router) newScoring(m *node.Version, dictionary *artifact.Dictionary, user string, history []entry) *scoring {
	s := &scoring{r: r, m: m, dictionary: dictionary, user: user, history: make([]node.HistoryItem, len(history)), keys: make([]string, len(history))}
	for i, h := range history {
		s.history[i], s.keys[i] = node.HistoryItem{Item: h.item, Partition: h.partition, Weight: h.weight}, h.key
	}
	return s
}

// partitions returns the partitions of the history's items, ascending.
func (s *scoring) partitions() []uint32 {
	var out []uint32
	for _, h := range s.history {
		out = append(out, h.Partition)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// items scores by the neighbors of the history's items. Every node answers with complete sums over the items that it was
// asked for, in fixed point, so it does not matter how they are grouped.
func (s *scoring) items(ctx context.Context) (*neighborhood.Scores, error) {
	if s.here() {
		if scores, err := s.r.local.ScoresOf(s.m.Version, s.history); err == nil { // what ails this node others may not have
			s.r.answered.Inc()
			return scores, nil
		}
	}
	total := neighborhood.NewScores()
	lost, err := s.r.fanOut(ctx, "items", s.partitions(), func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) (func() error, error) {
		if own, ok := c.(ownQueries); ok {
			history := make([]node.HistoryItem, 0, len(s.history))
			for _, h := range s.history {
				if slices.Contains(partitions, h.Partition) {
					history = append(history, h)
				}
			}
			scores, err := direct.Do(ctx, own.conn, func() (*neighborhood.Scores, error) { return s.r.local.ScoresOf(s.m.Version, history) })
			return func() error { total.Merge(scores); return nil }, err
		}
		req := &kithv1.ScoreItemsRequest{Version: s.m.Version, Partitions: partitions}
		for _, h := range s.history {
			if slices.Contains(partitions, h.Partition) {
				req.History = append(req.History, &kithv1.WeightedItem{Item: h.Item, Weight: h.Weight})
			}
		}
		resp, err := c.ScoreItems(ctx, req)
		return func() error { return s.add(total, resp.Items, resp.Scores) }, err
	})
	s.partial = s.partial || len(lost) > 0
	return total, err
}

// here reports whether this node has opened the neighbor lists of all items of the history: nobody else need be asked, and nothing waited for.
func (s *scoring) here() bool {
	self, state := s.r.peers.Self(), s.r.log.State()
	for _, h := range s.history {
		if !slices.Contains(state.Replicas[h.Partition], self) || !s.m.Opened(h.Partition) {
			return false
		}
	}
	return true
}

// add adds the partial scores of a node after a check.
func (s *scoring) add(total *neighborhood.Scores, items []uint32, scores []int64) error {
	if len(items) != len(scores) {
		return fmt.Errorf("%w: %d scores for %d items", wire.ErrCorrupt, len(scores), len(items))
	}
	for _, item := range items {
		if int64(item) >= int64(s.dictionary.Len()) {
			return fmt.Errorf("%w: item %d of %d", wire.ErrCorrupt, item, s.dictionary.Len())
		}
	}
	total.Add(items, scores)
	return nil
}

// score scores by the method of a query: Hybrid, ItemKNN or UserKNN. byItems are the scores by the neighbors of items, which are empty for UserKNN.
func (s *scoring) score(ctx context.Context, q *Query) (scores, byItems *neighborhood.Scores, err error) {
	if q.Method == UserKNN {
		scores, err = s.users(ctx)
		return scores, neighborhood.NewScores(), err
	}
	if byItems, err = s.items(ctx); err != nil || q.Method != Hybrid {
		return byItems, byItems, err
	}
	byUsers, err := s.users(ctx)
	if err != nil {
		return nil, nil, err
	}
	return neighborhood.Blend(byItems, byUsers, q.share()), byItems, nil
}

// excluded returns the ids of items, ascending. Those of the history, which most are, are known.
func (s *scoring) excluded(items map[string]bool) []uint32 {
	out := make([]uint32, 0, len(items))
	for i, h := range s.history {
		if items[s.keys[i]] {
			out = append(out, h.Item)
		}
	}
	if len(out) == len(items) {
		return out // the history ascends
	}
	out = out[:0]
	for item := range items {
		if id, ok := s.dictionary.ID(item); ok {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// nearest returns the k users most similar to the history.
func (s *scoring) nearest(ctx context.Context, k int, withKeys bool) ([]*kithv1.SimilarUser, error) {
	row := make([]*kithv1.WeightedItem, len(s.history))
	for i, h := range s.history {
		row[i] = &kithv1.WeightedItem{Item: h.Item, Weight: h.Weight}
	}
	all := make([]uint32, s.m.Partitions)
	for p := range all {
		all[p] = uint32(p)
	}
	var found []*kithv1.SimilarUser
	lost, err := s.r.fanOut(ctx, "nearest", all, func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) (func() error, error) {
		resp, err := c.NearestUsers(ctx, &kithv1.NearestUsersRequest{
			Version: s.m.Version, Partitions: partitions, Row: row, K: uint32(k), ExcludeUser: s.user, WithKeys: withKeys,
		})
		_, own := c.(ownQueries)
		return func() error {
			found, s.elsewhere = append(found, resp.Users...), s.elsewhere || !own
			return nil
		}, err
	})
	s.partial = s.partial || len(lost) > 0
	return node.NearestOf(found, k), err
}

// users scores by what the nearest users have.
func (s *scoring) users(ctx context.Context) (*neighborhood.Scores, error) {
	total := neighborhood.NewScores()
	nearest, err := s.nearest(ctx, s.m.Similarity.K, false)
	if err != nil {
		return nil, err
	}
	var partitions []uint32
	for _, u := range nearest {
		partitions = append(partitions, u.Partition)
	}
	slices.Sort(partitions)
	lost, err := s.r.fanOut(ctx, "users", slices.Compact(partitions), func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) (func() error, error) {
		req := &kithv1.ScoreUsersRequest{Version: s.m.Version}
		for _, u := range nearest {
			if slices.Contains(partitions, u.Partition) {
				req.Users = append(req.Users, u)
			}
		}
		resp, err := c.ScoreUsers(ctx, req)
		return func() error { return s.add(total, resp.Items, resp.Scores) }, err
	})
	s.partial = s.partial || len(lost) > 0
	return total, err
}

// lists fetches the neighbor lists of the history's items, by dense id.
func (s *scoring) lists(ctx context.Context) (map[uint32][]similarity.Neighbor, error) {
	out := map[uint32][]similarity.Neighbor{}
	lost, err := s.r.fanOut(ctx, "lists", s.partitions(), func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) (func() error, error) {
		found := map[uint32][]similarity.Neighbor{}
		for _, p := range partitions {
			req := &kithv1.NeighborListsRequest{Version: s.m.Version, Partition: p}
			for _, h := range s.history {
				if h.Partition == p {
					req.Items = append(req.Items, h.Item)
				}
			}
			resp, err := c.NeighborLists(ctx, req)
			if err != nil {
				return nil, err
			}
			if len(resp.Lists) != len(req.Items) {
				return nil, fmt.Errorf("%w: %d lists for %d items", wire.ErrCorrupt, len(resp.Lists), len(req.Items))
			}
			for i, l := range resp.Lists {
				list, err := s.list(l)
				if err != nil {
					return nil, err
				}
				found[req.Items[i]] = list
			}
		}
		return func() error {
			maps.Copy(out, found)
			return nil
		}, nil
	})
	s.partial = s.partial || len(lost) > 0
	return out, err
}

// list converts a neighbor list after a check.
func (s *scoring) list(l *kithv1.NeighborList) ([]similarity.Neighbor, error) {
	if len(l.Ids) != len(l.Scores) {
		return nil, fmt.Errorf("%w: %d scores for %d neighbors", wire.ErrCorrupt, len(l.Scores), len(l.Ids))
	}
	list := make([]similarity.Neighbor, len(l.Ids))
	for k, id := range l.Ids {
		if int64(id) >= int64(s.dictionary.Len()) {
			return nil, fmt.Errorf("%w: item %d of %d", wire.ErrCorrupt, id, s.dictionary.Len())
		}
		list[k] = similarity.Neighbor{ID: id, Score: l.Scores[k]}
	}
	return list, nil
}

// explain adds to each ranked item what each item of the history put into its score, largest first. They add up to the
// score; in a hybrid the rest is that of the similar users, and with UserKNN all.
func (s *scoring) explain(ctx context.Context, q *Query, byItems *neighborhood.Scores, top []scoredItem, items []Ranked) error {
	if q.Method == UserKNN {
		for i := range items {
			items[i].Contributions = []Contribution{{Score: items[i].Score}}
		}
		return nil
	}
	lists, err := s.lists(ctx)
	if err != nil {
		return err
	}
	scale, unit := 1.0, s.m.Similarity.Measure.Unit()
	if largest := byItems.Largest(); q.Method == Hybrid && largest > 0 {
		scale = q.share() / neighborhood.Float(largest)
	}
	for i := range top {
		ranked, rest := &items[i], top[i].score
		factor := top[i].score / top[i].base // of boosts
		for j, h := range s.history {
			for _, x := range lists[h.Item] {
				if x.ID != top[i].id {
					continue
				}
				share := neighborhood.Float(neighborhood.Fixed(h.Weight*unit, x.Score)) * scale * factor
				ranked.Contributions = append(ranked.Contributions, Contribution{s.keys[j], share})
				rest -= share
			}
		}
		if q.Method == Hybrid && rest > 1e-9*factor {
			ranked.Contributions = append(ranked.Contributions, Contribution{"", rest})
		}
		slices.SortStableFunc(ranked.Contributions, func(a, b Contribution) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Item, b.Item))
		})
	}
	return nil
}
