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
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
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
	a, err := r.fromRanking(ctx, &q)
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		a = &Answer{}
	case len(a.Items) == q.N || q.NoFallback:
		a.Fallback = ""
		return a, nil
	default:
		q.ranked = true
	}
	events := q.events
	if q.usesHistory() && !q.read {
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
