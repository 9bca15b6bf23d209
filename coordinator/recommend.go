package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// Method is a way of scoring.
type Method uint8

// Methods.
const (
	Hybrid     Method = iota // the average of both kinds of neighborhoods
	ItemKNN                  // items like those of the history
	UserKNN                  // items of users with a like history
	Popularity               // items with the most events
)

// Bounds and defaults of queries.
const (
	DefaultN = 10
	MaxN     = 1000
)

// Query asks for the N best items for a user or a basket.
type Query struct {
	// User is a key; empty for a basket.
	User string
	// Basket holds items that are together now.
	Basket []BasketItem
	// N is the length of the answer, 1 to MaxN.
	N      int
	Method Method
	// WithSeen lets items of the history into the answer.
	WithSeen bool
	// NoFallback makes an unknown user and a missing model errors, and the answer as long as the model can make it.
	NoFallback bool
	// Stale reads the history from any replica.
	Stale bool
	// Explain adds contributions.
	Explain bool
}

// BasketItem is an item with its weight in a basket.
type BasketItem struct {
	Item   string
	Weight float32
}

// Answer is a ranked answer.
type Answer struct {
	Items []Ranked
	// Version of the model that answered; 0 for none.
	Version uint64
	// Fallback says why popularity filled places; empty if it did not.
	Fallback string
	// Partial says that some partition could not be asked.
	Partial bool
	// Stale says that the history or the popularity is what some replica had, asked for or because a leader was missing.
	Stale bool
}

// Ranked is one place of an answer.
type Ranked struct {
	Item string
	// Score compares within one answer and source.
	Score float64
	// Source is the method, or Popularity for a filled place.
	Source        Method
	Contributions []Contribution
}

// Contribution is the share of one item of the history in a score; an empty Item stands for all similar users.
type Contribution struct {
	Item  string
	Score float64
}

// Recommend answers a query. The order of the items does not depend on N, and an answer is shorter than N only when the
// catalog has no more items that are allowed, or with NoFallback. Errors match wire.ErrInvalid, wire.ErrNotReady and,
// with NoFallback, wire.ErrUnknownUser, wire.ErrUnknownItem and wire.ErrNoModel.
//
// Cost: one call for the history, one to each node that holds lists of its items, and two rounds for user-based scores.
func (r *Router) Recommend(ctx context.Context, q Query) (*Answer, error) {
	if q.N < 1 || q.N > MaxN {
		return nil, fmt.Errorf("%w: n is %d; want 1 to %d", wire.ErrInvalid, q.N, MaxN)
	}
	if (q.User == "") == (len(q.Basket) == 0) {
		return nil, fmt.Errorf("%w: want a user or a basket of items, and not both", wire.ErrInvalid)
	}
	a := &Answer{}
	var events []fusion.Event
	if q.User != "" {
		var err error
		if events, a.Stale, err = r.historySoon(ctx, q.User, q.Stale); err != nil {
			return nil, err
		}
		if len(events) == 0 && q.NoFallback {
			return nil, fmt.Errorf("%w %q", wire.ErrUnknownUser, q.User)
		}
	}
	seen := map[string]bool{}
	for i := range events {
		seen[events[i].Item] = true
	}
	for _, b := range q.Basket {
		seen[b.Item] = true
	}
	if q.WithSeen {
		clear(seen)
	}
	if q.Method != Popularity {
		if err := r.personal(ctx, q, events, seen, a); err != nil {
			return nil, err
		}
		if q.NoFallback || len(a.Items) == q.N {
			a.Fallback = ""
			return a, nil
		}
	}
	return a, r.fill(ctx, q, seen, a)
}

// historySoon returns the history of a user, fresh if that can be had soon.
func (r *Router) historySoon(ctx context.Context, user string, stale bool) (events []fusion.Event, wasStale bool, err error) {
	wasStale, err = r.soon(ctx, stale, func(ctx context.Context, stale bool) (err error) {
		events, err = r.History(ctx, user, stale)
		return err
	})
	return events, wasStale, err
}

// personal fills the answer with what the model says, and the reason why it may say little.
func (r *Router) personal(ctx context.Context, q Query, events []fusion.Event, seen map[string]bool, a *Answer) error {
	m, dictionary, err := r.active()
	switch {
	case err != nil && q.NoFallback:
		return err
	case errors.Is(err, wire.ErrNoModel):
		a.Fallback = "there is no model version yet"
		return nil
	case err != nil: // its files are damaged or not here yet
		a.Fallback, a.Partial = fmt.Sprintf("the model cannot be read on node %s: %v", r.peers.Self(), err), true
		return nil
	}
	defer m.Release()
	a.Version = m.Version
	if q.User != "" && len(events) == 0 {
		a.Fallback = fmt.Sprintf("user %q is unknown", q.User)
		return nil
	}
	history := r.history(m, dictionary, q, events)
	if len(history) == 0 {
		if q.User == "" && q.NoFallback {
			return fmt.Errorf("%w: none of the basket's items is in model version %d", wire.ErrUnknownItem, m.Version)
		}
		a.Fallback = fmt.Sprintf("none of the known items is in model version %d", m.Version)
		return nil
	}
	s := &scoring{r: r, m: m, dictionary: dictionary, history: history, user: q.User}
	byItems, byUsers := neighborhood.NewScores(), neighborhood.NewScores()
	if q.Method != UserKNN {
		if byItems, err = s.items(ctx); err != nil {
			return err
		}
	}
	if q.Method != ItemKNN {
		if byUsers, err = s.users(ctx); err != nil {
			return err
		}
	}
	a.Partial = s.partial
	excluded := make([]uint32, 0, len(seen))
	for item := range seen {
		if id, ok := dictionary.ID(item); ok {
			excluded = append(excluded, id)
		}
	}
	slices.Sort(excluded)
	var top []model.Scored
	switch q.Method {
	case ItemKNN:
		top = byItems.Top(q.N, excluded)
	case UserKNN:
		top = byUsers.Top(q.N, excluded)
	default:
		top = neighborhood.Hybrid(byItems, byUsers).Top(q.N, excluded)
	}
	for _, x := range top {
		a.Items = append(a.Items, Ranked{Item: dictionary.Key(x.Item), Score: x.Score, Source: q.Method})
	}
	if len(top) < q.N {
		a.Fallback = fmt.Sprintf("the model ranks only %d items", len(top))
	}
	if !q.Explain {
		return nil
	}
	if q.Method == UserKNN {
		for i := range a.Items {
			a.Items[i].Contributions = []Contribution{{Score: a.Items[i].Score}} // of the similar users together
		}
		return nil
	}
	return s.explain(ctx, q.Method, byItems, top, a)
}

// active returns the version that answers queries and its dictionary. The caller must release the version.
func (r *Router) active() (*node.Version, *artifact.Dictionary, error) {
	number := r.log.State().Active
	if number == 0 {
		return nil, nil, fmt.Errorf("%w: build one first", wire.ErrNoModel)
	}
	m, err := r.versions.Acquire(number)
	if err != nil {
		return nil, nil, err
	}
	d, err := m.Dictionary()
	if err != nil {
		m.Release()
		return nil, nil, err
	}
	return m, d, nil
}

// entry is an item of the history that the model knows.
type entry struct {
	item      uint32
	key       string
	partition uint32
	weight    float32
}

// history returns what the model knows of the subject's items, by dense id.
func (r *Router) history(m *node.Version, dictionary *artifact.Dictionary, q Query, events []fusion.Event) []entry {
	var out []entry
	add := func(key string, weight float32) {
		if id, ok := dictionary.ID(key); ok {
			out = append(out, entry{id, key, uint32(partition.Of(key, m.Partitions)), weight})
		}
	}
	for _, x := range fusion.Fuse(events, m.Weights, r.now().UnixMilli()) {
		add(x.Item, x.Weight)
	}
	for _, b := range q.Basket {
		add(b.Item, b.Weight)
	}
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(a.item, b.item) })
	return slices.CompactFunc(out, func(a, b entry) bool { return a.item == b.item })
}

// scoring scores all candidates of one history.
type scoring struct {
	r          *Router
	m          *node.Version
	dictionary *artifact.Dictionary
	history    []entry
	user       string
	partial    bool
}

// partitions returns the partitions of the history's items, ascending.
func (s *scoring) partitions() []uint32 {
	var out []uint32
	for _, h := range s.history {
		out = append(out, h.partition)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// items scores by the neighbors of the history's items. Every node answers with complete sums over the items that it was
// asked for, in fixed point, so it does not matter how they are grouped.
func (s *scoring) items(ctx context.Context) (*neighborhood.Scores, error) {
	total := neighborhood.NewScores()
	var mu sync.Mutex
	lost, err := s.r.fanOut(ctx, s.partitions(), func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) error {
		req := &kithv1.ScoreItemsRequest{Version: s.m.Version, Partitions: partitions}
		for _, h := range s.history {
			if slices.Contains(partitions, h.partition) {
				req.History = append(req.History, &kithv1.WeightedItem{Item: h.item, Weight: h.weight})
			}
		}
		resp, err := c.ScoreItems(ctx, req)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return s.add(total, resp.Items, resp.Scores)
	})
	s.partial = s.partial || len(lost) > 0
	return total, err
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

// nearest returns the k users most similar to the history.
func (s *scoring) nearest(ctx context.Context, k int, withKeys bool) ([]*kithv1.SimilarUser, error) {
	row := make([]*kithv1.WeightedItem, len(s.history))
	for i, h := range s.history {
		row[i] = &kithv1.WeightedItem{Item: h.item, Weight: h.weight}
	}
	all := make([]uint32, s.m.Partitions)
	for p := range all {
		all[p] = uint32(p)
	}
	var mu sync.Mutex
	var found []*kithv1.SimilarUser
	lost, err := s.r.fanOut(ctx, all, func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) error {
		resp, err := c.NearestUsers(ctx, &kithv1.NearestUsersRequest{
			Version: s.m.Version, Partitions: partitions, Row: row, K: uint32(k), ExcludeUser: s.user, WithKeys: withKeys,
		})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		found = append(found, resp.Users...)
		return nil
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
	var mu sync.Mutex
	lost, err := s.r.fanOut(ctx, slices.Compact(partitions), func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) error {
		req := &kithv1.ScoreUsersRequest{Version: s.m.Version}
		for _, u := range nearest {
			if slices.Contains(partitions, u.Partition) {
				req.Users = append(req.Users, u)
			}
		}
		resp, err := c.ScoreUsers(ctx, req)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return s.add(total, resp.Items, resp.Scores)
	})
	s.partial = s.partial || len(lost) > 0
	return total, err
}

// lists fetches the neighbor lists of the history's items, by dense id.
func (s *scoring) lists(ctx context.Context) (map[uint32][]similarity.Neighbor, error) {
	out := map[uint32][]similarity.Neighbor{}
	var mu sync.Mutex
	lost, err := s.r.fanOut(ctx, s.partitions(), func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) error {
		for _, p := range partitions {
			req := &kithv1.NeighborListsRequest{Version: s.m.Version, Partition: p}
			for _, h := range s.history {
				if h.partition == p {
					req.Items = append(req.Items, h.item)
				}
			}
			resp, err := c.NeighborLists(ctx, req)
			if err != nil {
				return err
			}
			if len(resp.Lists) != len(req.Items) {
				return fmt.Errorf("%w: %d lists for %d items", wire.ErrCorrupt, len(resp.Lists), len(req.Items))
			}
			for i, l := range resp.Lists {
				list, err := s.list(l)
				if err != nil {
					return err
				}
				mu.Lock()
				out[req.Items[i]] = list
				mu.Unlock()
			}
		}
		return nil
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
// score; in a hybrid the rest is that of the similar users.
func (s *scoring) explain(ctx context.Context, method Method, byItems *neighborhood.Scores, top []model.Scored, a *Answer) error {
	lists, err := s.lists(ctx)
	if err != nil {
		return err
	}
	scale, unit := 1.0, s.m.Similarity.Measure.Unit()
	if largest := byItems.Largest(); method == Hybrid && largest > 0 {
		scale = 0.5 / neighborhood.Float(largest)
	}
	for i := range top {
		ranked, rest := &a.Items[i], top[i].Score
		for _, h := range s.history {
			for _, x := range lists[h.item] {
				if x.ID != top[i].Item {
					continue
				}
				share := neighborhood.Float(neighborhood.Fixed(h.weight*unit, x.Score)) * scale
				ranked.Contributions = append(ranked.Contributions, Contribution{h.key, share})
				rest -= share
			}
		}
		if method == Hybrid && rest > 1e-9 {
			ranked.Contributions = append(ranked.Contributions, Contribution{"", rest})
		}
		slices.SortStableFunc(ranked.Contributions, func(a, b Contribution) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Item, b.Item))
		})
	}
	return nil
}

// fill fills an answer up from what is popular now.
func (r *Router) fill(ctx context.Context, q Query, seen map[string]bool, a *Answer) error {
	have := map[string]bool{}
	for _, x := range a.Items {
		have[x.Item] = true
	}
	var popular []PopularItem
	stale, err := r.soon(ctx, q.Stale || a.Stale, func(ctx context.Context, stale bool) (err error) {
		popular, err = r.Popular(ctx, q.N+len(seen)+len(have), stale)
		return err
	})
	a.Stale = stale
	if err != nil {
		return err
	}
	for _, x := range popular {
		if len(a.Items) == q.N {
			break
		}
		if !seen[x.Item] && !have[x.Item] {
			a.Items = append(a.Items, Ranked{Item: x.Item, Score: float64(x.Count), Source: Popularity})
		}
	}
	return nil
}

// SimilarEntry is a neighbor by key.
type SimilarEntry struct {
	Key   string
	Score float64
}

// SimilarItems returns the n nearest neighbors of an item, at most the K of the model. Errors match wire.ErrUnknownItem
// and wire.ErrNoModel.
func (r *Router) SimilarItems(ctx context.Context, item string, n int) (entries []SimilarEntry, version uint64, err error) {
	m, dictionary, err := r.active()
	if err != nil {
		return nil, 0, err
	}
	defer m.Release()
	id, ok := dictionary.ID(item)
	if !ok {
		return nil, 0, fmt.Errorf("%w %q in model version %d; items without events before the build are not in it", wire.ErrUnknownItem, item, m.Version)
	}
	s := &scoring{r: r, m: m, dictionary: dictionary, history: []entry{{id, item, uint32(partition.Of(item, m.Partitions)), 1}}}
	lists, err := s.lists(ctx)
	if err != nil {
		return nil, 0, err
	}
	if s.partial {
		return nil, 0, fmt.Errorf("no replica has the neighbors of item %q: %w", item, wire.ErrNotReady)
	}
	for _, x := range lists[id] {
		if len(entries) == n {
			break
		}
		entries = append(entries, SimilarEntry{dictionary.Key(x.ID), float64(x.Score)})
	}
	return entries, m.Version, nil
}

// SimilarUsers returns the n users whose interactions are most similar to those of a user. Errors match
// wire.ErrUnknownUser and wire.ErrNoModel.
func (r *Router) SimilarUsers(ctx context.Context, user string, n int, stale bool) (entries []SimilarEntry, version uint64, partial bool, err error) {
	m, dictionary, err := r.active()
	if err != nil {
		return nil, 0, false, err
	}
	defer m.Release()
	events, _, err := r.historySoon(ctx, user, stale)
	if err != nil {
		return nil, 0, false, err
	}
	if len(events) == 0 {
		return nil, 0, false, fmt.Errorf("%w %q", wire.ErrUnknownUser, user)
	}
	s := &scoring{r: r, m: m, dictionary: dictionary, history: r.history(m, dictionary, Query{}, events), user: user}
	nearest, err := s.nearest(ctx, n, true)
	for _, u := range nearest {
		entries = append(entries, SimilarEntry{u.Key, float64(u.Score)})
	}
	return entries, m.Version, s.partial, err
}
