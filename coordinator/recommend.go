package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/direct"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// Recommend answers a query. The order of the items does not depend on N, and an answer is shorter than N only when
// there are no more items that are allowed, with events or a record, with NoFallback, or with another Fallback. (With diversity a place may depend on N, where
// popularity fills up, or with new products.) Errors match wire.ErrInvalid, wire.ErrNotReady and,
// with NoFallback, wire.ErrUnknownUser, wire.ErrUnknownItem and wire.ErrNoModel.
//
// Cost: one call for the history, one to each node that holds lists of its items, and two rounds for user-based scores. A filter is a test
// in memory of the candidates; what it leaves for popularity to fill is walked for in steps of four times the length.
func (r *Router) Recommend(ctx context.Context, q Query) (*Answer, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	q.settle(r.now())
	q.keepApart()
	a, err := r.fromRow(ctx, &q)
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		a = &Answer{}
	case len(a.Items) == q.N || q.NoFallback:
		return a, nil
	default:
		q.ranked = true
	}
	var events []fusion.Event
	if q.usesHistory() {
		var err error
		user := q.User
		if q.User, events, a.Stale, err = r.historySoon(ctx, user, q.Stale); err != nil {
			return nil, err
		}
		if len(events) == 0 && q.NoFallback && q.Method != Trained { // which may know the user by a record
			return nil, fmt.Errorf("%w %q", wire.ErrUnknownUser, user)
		}
	}
	if q.usesProducts() {
		if err := r.awaitProductsOf(ctx, &q, a); err != nil {
			return nil, err
		}
	}
	seen := q.known(events)
	places := q.N
	q.Pins = r.allowedPins(&q.Rules)
	for _, p := range q.Pins {
		seen[p.Item] = true
		if p.Rank <= places {
			q.N--
		}
	}
	if err := r.rankItems(ctx, &q, events, seen, a); err != nil {
		return nil, err
	}
	if err := r.explore(ctx, &q, events, seen, a); err != nil {
		return nil, err
	}
	a.Items = pin(a.Items, q.Pins, places)
	if name, missing := r.missing(&q.Filter); missing && len(a.Items) < places && !a.Partial {
		a.Fallback = fmt.Sprintf("no product has the attribute %.80q that the filter asks for", name)
	}
	return a, nil
}

// missing returns an attribute that a filter asks for and no product has, so that nothing passes.
func (r *Router) missing(f *shelf.Filter) (name string, found bool) {
	if len(f.Conditions) == 0 {
		return "", false
	}
	r.products.shelf.View(func(v *shelf.View) {
		for _, c := range f.Conditions {
			if c.Op != shelf.NoneOf && !v.Name(c.Attribute).Known() {
				name, found = c.Attribute, true
			}
		}
	})
	return name, found
}

// rankItems fills the answer by the method, and then by the fallbacks.
func (r *Router) rankItems(ctx context.Context, q *Query, events []fusion.Event, seen map[string]bool, a *Answer) error {
	switch {
	case q.ranked: // and told why it is not enough
	case !q.canAsk(q.Method):
		a.Fallback = "there is neither a user nor a basket"
	default:
		if err := r.rankFirst(ctx, q, events, seen, a); err != nil {
			return err
		}
	}
	if q.NoFallback || len(a.Items) >= q.N {
		a.Fallback = ""
		return nil
	}
	fallback := q.Fallback
	if fallback == nil {
		fallback = defaultFallback
	}
	why := a.Fallback
	for _, m := range fallback {
		if len(a.Items) >= q.N {
			break
		}
		if m == q.Method || !q.canAsk(m) {
			continue
		}
		if err := r.rank(ctx, q, m, events, seen, a); err != nil {
			return err
		}
	}
	a.Fallback = why // of the method, not of a fallback
	return nil
}

// defaultFallback finds N items wherever there are as many that are allowed, with events or a record.
var defaultFallback = []Method{Popularity, Newest}

// rank adds what a method ranks to an answer, up to N, and says why if that is too little. seen are items that may not be in it.
func (r *Router) rank(ctx context.Context, q *Query, m Method, events []fusion.Event, seen map[string]bool, a *Answer) error {
	switch m {
	case Popularity:
		return r.fillPopular(ctx, q, m, seen, a)
	case Newest:
		return r.fillNewest(ctx, q, seen, a)
	case Categories:
		return r.fillCategories(ctx, q, events, seen, a)
	case Trending:
		return r.fillTrending(ctx, q, seen, a)
	case Neighbors:
		return r.fillNeighbors(ctx, q, seen, a)
	case Together:
		return r.fillTogether(ctx, q, seen, a)
	case Trained:
		return r.fillTrained(ctx, q, events, seen, a)
	}
	part := *q
	part.Method, part.N = m, q.N-len(a.Items)
	return r.personal(ctx, &part, events, behind(seen, a.Items), a)
}

// behind returns the items that may not come behind an answer: those seen and those in it.
func behind(seen map[string]bool, items []Ranked) map[string]bool {
	if len(items) == 0 {
		return seen
	}
	out := maps.Clone(seen)
	for _, x := range items {
		out[x.Item] = true
	}
	return out
}

// allowedPins returns the pins that pass the filter, by rank.
func (r *Router) allowedPins(rules *Rules) (allowed []Pin) {
	if len(rules.Pins) == 0 {
		return nil
	}
	r.products.shelf.View(func(v *shelf.View) {
		test := v.Compile(&rules.Filter)
		for _, p := range rules.Pins {
			if key := []byte(p.Item); test.Match(v.Find(key), key) {
				allowed = append(allowed, p)
			}
		}
	})
	slices.SortFunc(allowed, func(a, b Pin) int { return cmp.Compare(a.Rank, b.Rank) })
	return allowed
}

// pin puts pins, which ascend by rank, at their places of an answer of n. What the others leave free they move up to.
func pin(items []Ranked, pins []Pin, n int) []Ranked {
	if len(pins) == 0 {
		return items
	}
	var out []Ranked
	for len(out) < n && len(items)+len(pins) > 0 {
		if len(pins) > 0 && (pins[0].Rank <= len(out)+1 || len(items) == 0) {
			out = append(out, Ranked{Item: pins[0].Item, Source: Pinned})
			pins = pins[1:]
			continue
		}
		out = append(out, items[0])
		items = items[1:]
	}
	return out
}

// historySoon returns the history of a user with the key whose it is, fresh if that can be had soon.
func (r *Router) historySoon(ctx context.Context, user string, stale bool) (key string, events []fusion.Event, wasStale bool, err error) {
	if !stale {
		if events, ok, err := r.historyHere(user, false); ok || err != nil {
			return user, events, false, err // without a timer
		}
	}
	wasStale, err = r.soon(ctx, stale, func(ctx context.Context, stale bool) (err error) {
		key, events, err = r.followed(ctx, user, stale)
		return err
	})
	return key, events, wasStale, err
}

// knownHistory is historySoon of a user who must have events. Errors match wire.ErrUnknownUser.
func (r *Router) knownHistory(ctx context.Context, user string, stale bool) (key string, events []fusion.Event, wasStale bool, err error) {
	key, events, wasStale, err = r.historySoon(ctx, user, stale)
	if err == nil && len(events) == 0 {
		err = fmt.Errorf("%w %q", wire.ErrUnknownUser, user)
	}
	return key, events, wasStale, err
}

// personal adds up to N items that the model ranks to the answer, and the reason why they may be few.
func (r *Router) personal(ctx context.Context, q *Query, events []fusion.Event, seen map[string]bool, a *Answer) error {
	m, dictionary, history, err := r.known(q, events, a)
	if m == nil {
		return err
	}
	defer m.Release()
	s := r.newScoring(m, dictionary, q.User, history)
	scores, byItems, err := s.score(ctx, q)
	if err != nil {
		return err
	}
	defer byItems.Return() // what was asked of the own node is borrowed
	a.Partial = a.Partial || s.partial
	there, top := len(a.Items), s.best(scores, q, s.excluded(seen), a.Items)
	a.Items = s.ranked(a.Items, top, q.Method)
	if len(top) < q.N {
		a.Fallback = ranksOnly(len(top))
		if !q.Filter.Empty() {
			a.Fallback += " that are allowed"
		}
	}
	if !q.Explain {
		return nil
	}
	return s.explain(ctx, q, byItems, top, a.Items[there:])
}

func ranksOnly(n int) string { return fmt.Sprintf("the model ranks only %d items", n) }

// ranked appends what a method has ranked.
func (s *scoring) ranked(items []Ranked, top []scoredItem, m Method) []Ranked {
	ids := make([]uint32, len(top))
	for i, x := range top {
		ids[i] = x.id
	}
	items = slices.Grow(items, len(top))
	for i, key := range s.dictionary.Keys(ids) {
		items = append(items, Ranked{Item: key, Score: top[i].score, Source: m})
	}
	return items
}

// known returns the active version with what it knows of the subject, and notes it in the answer. Without a version, or where it knows nothing, there is an error, or the answer has
// the reason why fallbacks are to answer. The caller must release the version.
func (r *Router) known(q *Query, events []fusion.Event, a *Answer) (*node.Version, *artifact.Dictionary, []entry, error) {
	m, dictionary, err := r.answering(q, a)
	if m == nil {
		return nil, nil, nil, err
	}
	if history := r.history(m, dictionary, q, events); len(history) > 0 {
		return m, dictionary, history, nil
	}
	defer m.Release()
	return nil, nil, nil, lacksHistory(q, events, a)
}

// answering is known without the subject.
func (r *Router) answering(q *Query, a *Answer) (*node.Version, *artifact.Dictionary, error) {
	m, dictionary, err := r.active()
	switch {
	case err != nil && q.NoFallback:
		return nil, nil, err
	case errors.Is(err, wire.ErrNoModel):
		a.Fallback = "there is no model version yet"
		return nil, nil, nil
	case err != nil: // its files are damaged or not here yet
		a.Fallback, a.Partial = fmt.Sprintf("the model cannot be read on node %s: %v", r.peers.Self(), err), true
		return nil, nil, nil
	}
	a.Version = m.Version
	return m, dictionary, nil
}

// lacksHistory tells why the version of an answer knows nothing of the subject's items.
func lacksHistory(q *Query, events []fusion.Event, a *Answer) error {
	switch unknown := q.User != "" && len(events) == 0; {
	case unknown && q.NoFallback:
		return fmt.Errorf("%w %q", wire.ErrUnknownUser, q.User)
	case unknown:
		a.Fallback = fmt.Sprintf("user %q is unknown", q.User)
	case q.User == "" && q.NoFallback:
		return fmt.Errorf("%w: none of the basket's items is in model version %d", wire.ErrUnknownItem, a.Version)
	default:
		a.Fallback = fmt.Sprintf("none of the known items is in model version %d", a.Version)
	}
	return nil
}

// best returns the n best of what has a score and is allowed, in the order of the answer, behind the items there.
func (s *scoring) best(scores *neighborhood.Scores, q *Query, excluded []uint32, there []Ranked) (best []scoredItem) {
	if q.Filter.Empty() && !q.reorders() {
		return unchanged(scores.Top(q.N, excluded))
	}
	s.r.products.shelf.View(func(v *shelf.View) {
		j := newJudge(&q.Rules, v)
		if !q.reorders() {
			best = unchanged(scores.TopOf(q.N, excluded, func(item uint32) bool {
				_, _, ok := j.judge(s.dictionary.KeyBytes(item))
				return ok
			}))
			return
		}
		var all []scoredItem
		items, sums := scores.All()
		for i, item := range items {
			if _, found := slices.BinarySearch(excluded, item); found || sums[i] <= 0 {
				continue
			}
			if factor, group, ok := j.judge(s.dictionary.KeyBytes(item)); ok {
				base := neighborhood.Float(sums[i])
				all = append(all, scoredItem{item, base, base * factor, group})
			}
		}
		sortScored(all)
		best, _ = choose(all, q.N, q.Diversity, j.taken(there))
	})
	return best
}

// unchanged makes candidates of what is ranked.
func unchanged(top []model.Scored) []scoredItem {
	out := make([]scoredItem, len(top))
	for i, x := range top {
		out[i] = scoredItem{id: x.Item, base: x.Score, score: x.Score}
	}
	return out
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
	rating    float32 // what the subject has rated it, NaN for none
	time      int64   // of the newest event that counts, in Unix milliseconds; 0 for unknown, and of a basket
}

// history returns what the model knows of the subject's items, by dense id.
func (r *Router) history(m *node.Version, dictionary *artifact.Dictionary, q *Query, events []fusion.Event) []entry {
	known, _ := r.entries(m, dictionary, q, events)
	return known
}

// entries is history that also returns the other items, which only some models know, by key.
func (r *Router) entries(m *node.Version, dictionary *artifact.Dictionary, q *Query, events []fusion.Event) (known, others []entry) {
	fused := fusion.Fuse(events, m.Weights, r.now().UnixMilli())
	keys := make([]string, 0, len(fused)+len(q.Basket))
	for _, x := range fused {
		keys = append(keys, x.Item)
	}
	for _, b := range q.Basket {
		keys = append(keys, b.Item)
	}
	ids := dictionary.IDs(keys)
	order := make([]uint64, len(ids)) // id and place: of entries of one item the first counts, and those without id are the last
	for i, id := range ids {
		order[i] = uint64(id)<<32 | uint64(i)
	}
	slices.Sort(order)
	ratings := fusion.LatestRatings(events)
	known = make([]entry, 0, len(order))
	for _, x := range order {
		id, i := uint32(x>>32), int(uint32(x))
		e := entry{key: keys[i]}
		if i < len(fused) {
			rating, ok := ratings[e.key]
			if !ok {
				rating = math.NaN()
			}
			e.weight, e.rating, e.time = fused[i].Weight, model.AsRating(rating), fused[i].Last
		} else {
			b := q.Basket[i-len(fused)]
			if e.weight, e.rating = b.Weight, b.Rating; b.Rating != Liked {
				e.rating = model.AsRating(float64(b.Rating))
			}
		}
		switch {
		case id == artifact.NoID:
			others = append(others, e)
		case len(known) == 0 || known[len(known)-1].item != id:
			e.item, e.partition = id, uint32(partition.Of(e.key, m.Partitions))
			known = append(known, e)
		}
	}
	slices.SortStableFunc(others, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return known, slices.CompactFunc(others, func(a, b entry) bool { return a.key == b.key })
}

// scoring scores all candidates of one history.
type scoring struct {
	r          *Router
	m          *node.Version
	dictionary *artifact.Dictionary
	history    []node.HistoryItem // ascending by item
	keys       []string           // of the history; nil has them looked up
	user       string
	partial    bool
}

// newScoring returns the scoring of what the model knows of a subject.
func (r *Router) newScoring(m *node.Version, dictionary *artifact.Dictionary, user string, history []entry) *scoring {
	s := &scoring{r: r, m: m, dictionary: dictionary, user: user, history: make([]node.HistoryItem, len(history)), keys: make([]string, len(history))}
	for i, h := range history {
		s.history[i], s.keys[i] = node.HistoryItem{Item: h.item, Partition: h.partition, Weight: h.weight}, h.key
	}
	return s
}

// key returns the key of an item of the history.
func (s *scoring) key(i int) string {
	if s.keys == nil {
		return s.dictionary.Key(s.history[i].Item)
	}
	return s.keys[i]
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
		if items[s.key(i)] {
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
		return func() error {
			found = append(found, resp.Users...)
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
				ranked.Contributions = append(ranked.Contributions, Contribution{s.key(j), share})
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

// SimilarEntry is a neighbor by key.
type SimilarEntry struct {
	Key   string
	Score float64
}

// Similar are neighbors by rank.
type Similar struct {
	Entries []SimilarEntry
	// Version of the model that answered.
	Version uint64
	// Partial and Stale are as in Answer.
	Partial, Stale bool
}

// SimilarItems returns the n nearest neighbors of an item that the rules allow, in the order that they give; at most the K of the model. With the name of a trained model, they are
// what it recommends for the item alone. Rules about the history and pins are not used. Errors match wire.ErrUnknownItem, wire.ErrNoModel and wire.ErrUnknownModel.
func (r *Router) SimilarItems(ctx context.Context, item string, n int, trained string, rules Rules) (*Similar, error) {
	if trained != "" {
		rules.Exclude, rules.Pins = nil, nil
		a, err := r.Recommend(ctx, Query{Basket: []BasketItem{{Item: item, Weight: 1, Rating: Liked}}, N: n, Method: Trained, Model: trained, NoFallback: true, Rules: rules})
		if err != nil {
			return nil, err
		}
		out := &Similar{Version: a.Version, Partial: a.Partial, Stale: a.Stale}
		for _, x := range a.Items {
			out.Entries = append(out.Entries, SimilarEntry{x.Item, x.Score})
		}
		return out, nil
	}
	if err := rules.checkList(); err != nil {
		return nil, err
	}
	rules.settle(r.now())
	out := &Similar{}
	var err error
	if rules.usesProducts() {
		if out.Partial, out.Stale, err = r.awaitProducts(ctx, false); err != nil {
			return nil, err
		}
	}
	if out.Entries, out.Version, err = r.neighbors(ctx, item, n, &rules, nil, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// neighbors returns the n nearest neighbors of an item that the rules allow and that are not among some, spread behind an answer that is there.
func (r *Router) neighbors(ctx context.Context, item string, n int, rules *Rules, but map[string]bool, there []Ranked) (out []SimilarEntry, version uint64, err error) {
	m, dictionary, err := r.active()
	if err != nil {
		return nil, 0, err
	}
	defer m.Release()
	id, ok := dictionary.ID(item)
	if !ok {
		return nil, 0, fmt.Errorf("%w %q in model version %d; items without events before the build are not in it", wire.ErrUnknownItem, item, m.Version)
	}
	s := &scoring{r: r, m: m, dictionary: dictionary, history: []node.HistoryItem{{Item: id, Partition: uint32(partition.Of(item, m.Partitions)), Weight: 1}}}
	lists, err := s.lists(ctx)
	if err != nil {
		return nil, 0, err
	}
	if s.partial {
		return nil, 0, fmt.Errorf("no replica has the neighbors of item %q: %w", item, wire.ErrNotReady)
	}
	r.products.shelf.View(func(v *shelf.View) {
		j := newJudge(rules, v)
		var all []scoredItem
		for _, x := range lists[id] {
			if but[dictionary.Key(x.ID)] {
				continue
			}
			if factor, group, ok := j.judge(dictionary.KeyBytes(x.ID)); ok {
				all = append(all, scoredItem{x.ID, float64(x.Score), float64(x.Score) * factor, group})
			}
		}
		sortScored(all)
		best, _ := choose(all, n, rules.Diversity, j.taken(there))
		for _, x := range best {
			out = append(out, SimilarEntry{dictionary.Key(x.id), x.score})
		}
	})
	return out, m.Version, nil
}

// SimilarUsers returns the n users whose interactions are most similar to those of a user. Errors match
// wire.ErrUnknownUser and wire.ErrNoModel.
func (r *Router) SimilarUsers(ctx context.Context, user string, n int, stale bool) (*Similar, error) {
	m, dictionary, err := r.active()
	if err != nil {
		return nil, err
	}
	defer m.Release()
	user, events, wasStale, err := r.knownHistory(ctx, user, stale)
	if err != nil {
		return nil, err
	}
	s := r.newScoring(m, dictionary, user, r.history(m, dictionary, &Query{}, events))
	nearest, err := s.nearest(ctx, n, true)
	if err != nil {
		return nil, err
	}
	out := &Similar{Version: m.Version, Partial: s.partial, Stale: wasStale}
	for _, u := range nearest {
		out.Entries = append(out.Entries, SimilarEntry{u.Key, float64(u.Score)})
	}
	return out, nil
}
