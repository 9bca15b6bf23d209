package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
)

// Explore gives places of an answer to products that came of late and that it does not have, so that they meet users before a model knows them.
type Explore struct {
	// Places is the most of them.
	Places int
	// Within is the age up to which a product is new.
	Within time.Duration
	// Attribute has the moment at which a product came.
	Attribute string
}

// DefaultExploreWithin is the age up to which products are new unless it is said.
const DefaultExploreWithin = 14 * 24 * time.Hour

const (
	// mostNew is how many of the newest products are drawn from.
	mostNew = 2000
	// newAttributes bounds the attributes by which products are kept by age: callers may name any.
	newAttributes = 16
	// newRest is how long a list of new products is good, in times of what it took to make: so it takes a fiftieth of a processor at most. Of up to newSlots products,
	// which take less than a millisecond, it is made each time.
	newRest  = 50
	newSlots = 4096
	// mostRest bounds that.
	mostRest = time.Minute
	// favoredLots is how many times as likely as others a product of a category is that the user is interested in.
	favoredLots = 4
)

func (e *Explore) check() error {
	switch {
	case e == nil:
	case e.Places < 1 || e.Places > MaxN:
		return fmt.Errorf("%w: explore: %d places; want 1 to %d", wire.ErrInvalid, e.Places, MaxN)
	case e.Within <= 0 || e.Within > maxHalfLife:
		return fmt.Errorf("%w: explore: products of up to %v; want more than 0, up to %v", wire.ErrInvalid, e.Within, maxHalfLife)
	case e.Attribute == "" || len(e.Attribute) > catalog.MaxNameBytes:
		return fmt.Errorf("%w: explore: attribute %.80q; want the name of a time", wire.ErrInvalid, e.Attribute)
	}
	return nil
}

// explore puts new products into an answer, if the query says so.
//
// Cost: a test of the newest products, mostNew at most, about a microsecond each; and now and then a pass over all.
func (r *Router) explore(ctx context.Context, q *Query, events []fusion.Event, seen map[string]bool, a *Answer) error {
	if q.Explore == nil || q.N == 0 {
		return nil
	}
	if err := r.awaitProductsOf(ctx, q, a); err != nil {
		return err
	}
	a.Items = spread(a.Items, r.draw(q, events, behind(seen, a.Items), a.Items), q.N)
	return nil
}

// spread puts some at the ends of so many equal parts of an answer of n, in place of the last.
func spread(items, some []Ranked, n int) []Ranked {
	if len(some) == 0 {
		return items
	}
	length := min(n, len(items)+len(some))
	out := make([]Ranked, 0, length)
	for used := 0; len(out) < length; {
		if len(out)+1 == (used+1)*length/len(some) {
			out = append(out, some[used])
			used++
		} else {
			out = append(out, items[len(out)-used])
		}
	}
	return out
}

// draw returns the new products, but some, that the lot of the user and the day falls on; there are those of the answer.
func (r *Router) draw(q *Query, events []fusion.Event, but map[string]bool, there []Ranked) (drawn []Ranked) {
	type lot struct {
		number uint64
		key    string
		group  uint32
	}
	arrivals := r.newcomers.by(q.Explore.Attribute, q.Now, r.products.shelf)
	about := cmp.Or(q.Category, DefaultCategory)
	favorites := r.favorites(q.interests(events), about)
	who := cmp.Or(q.User, q.Session, q.subject()) + "\x00" + strconv.FormatInt(q.Now/(24*time.Hour).Milliseconds(), 10) + "\x00"
	r.products.shelf.View(func(v *shelf.View) {
		j, category, since := newJudge(&q.Rules, v), v.Name(about), v.Name(q.Explore.Attribute)
		var lots []lot
		for _, x := range arrivals {
			slot := v.Find([]byte(x.key))
			at, known := v.Time(slot, since) // it may have changed
			if !known || at > q.Now || q.Now-at > q.Explore.Within.Milliseconds() || but[x.key] {
				continue
			}
			_, group, ok := j.judge([]byte(x.key))
			if !ok {
				continue
			}
			number := xxhash.Sum64String(who + x.key)
			if text, ok := v.Text(slot, category); ok && slices.Contains(favorites, text) {
				number /= favoredLots
			}
			lots = append(lots, lot{number, x.key, group})
		}
		slices.SortFunc(lots, func(a, b lot) int { return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.key, b.key)) })
		taken := j.taken(there)
		for _, x := range lots {
			if len(drawn) == min(q.Explore.Places, q.N) {
				break
			}
			if d := q.Diversity; d != nil && d.MaxPerGroup > 0 && x.group != 0 {
				if taken[x.group] >= d.MaxPerGroup {
					continue
				}
				taken[x.group]++
			}
			drawn = append(drawn, Ranked{Item: x.key, Source: Explored})
		}
	})
	return drawn
}

// newcomers keeps which products came last, so that not every answer looks at all of them. The zero value has none. It is safe for concurrent use.
type newcomers struct {
	mu    sync.Mutex
	lists map[string]*newcomersList // by attribute
}

type newcomersList struct {
	making sync.Mutex
	made   atomic.Pointer[madeList]
}

// subject tells queries without user and session apart.
func (q *Query) subject() string {
	keys := []string{q.Item}
	for _, b := range q.Basket {
		keys = append(keys, b.Item)
	}
	return strings.Join(keys, "\x00")
}

type madeList struct {
	newest []arrival
	// until is when it should be made anew.
	until time.Time
}

// by returns the newest products by an attribute, as they were a moment ago. The caller must not change them.
func (n *newcomers) by(attribute string, now int64, s *shelf.Shelf) []arrival {
	few := false
	if s.View(func(v *shelf.View) { few = v.Slots() <= newSlots }); few {
		return newestOf(s, attribute, now)
	}
	list := n.list(attribute)
	made := list.made.Load()
	if made != nil && (time.Now().Before(made.until) || !list.making.TryLock()) {
		return made.newest // perhaps another query makes it
	}
	if made == nil {
		list.making.Lock()
	}
	defer list.making.Unlock()
	if other := list.made.Load(); other != made {
		return other.newest
	}
	began := time.Now()
	made = &madeList{newest: newestOf(s, attribute, time.Now().UnixMilli())}
	made.until = time.Now().Add(min(newRest*time.Since(began), mostRest))
	list.made.Store(made)
	return made.newest
}

func (n *newcomers) list(attribute string) *newcomersList {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lists == nil || len(n.lists) >= newAttributes && n.lists[attribute] == nil {
		n.lists = map[string]*newcomersList{}
	}
	if n.lists[attribute] == nil {
		n.lists[attribute] = &newcomersList{}
	}
	return n.lists[attribute]
}

// newestOf returns the mostNew newest products, without those that are yet to come. Cost: a pass over all.
func newestOf(s *shelf.Shelf, attribute string, now int64) (found []arrival) {
	for from, slots := 0, 1; from < slots; from += slotsAtOnce {
		s.View(func(v *shelf.View) {
			name := v.Name(attribute)
			v.Each(from, slotsAtOnce, func(slot int, key string) {
				if since, known := v.Time(slot, name); known && since <= now {
					found = append(found, arrival{key, since, true})
				}
			})
			slots = v.Slots()
		})
		if len(found) > mostNew+slotsAtOnce {
			slices.SortFunc(found, compareArrivals)
			found = found[:mostNew]
		}
	}
	slices.SortFunc(found, compareArrivals)
	return found[:min(mostNew, len(found))]
}
