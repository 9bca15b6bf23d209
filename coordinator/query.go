package coordinator

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
)

// Method is a way of scoring.
type Method uint8

// Methods.
const (
	Hybrid     Method = iota // the average of both kinds of neighborhoods
	ItemKNN                  // items like those of the history
	UserKNN                  // items of users with a like history
	Popularity               // items with the most events
	Newest                   // products by age
	Pinned                   // an item with a fixed place: only in answers
	Categories               // popularity within the categories of the subject
	Trending                 // as Router.Trending
	Neighbors                // as Router.SimilarItems
	Together                 // as Router.BoughtTogether
	Trained                  // a model that the version was trained with: Query.Model
	Explored                 // a new product in a place of Explore: only in answers
)

// String returns the name of a method.
func (m Method) String() string {
	names := [...]string{
		Hybrid: "hybrid", ItemKNN: "item-knn", UserKNN: "user-knn", Popularity: "popularity", Newest: "newest", Pinned: "pin",
		Categories: "categories", Trending: "trending", Neighbors: "similar", Together: "together", Trained: "trained", Explored: "explored",
	}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("method(%d)", uint8(m))
}

// ofUsers reports whether a method needs a user or a basket.
func (m Method) ofUsers() bool {
	return m == Hybrid || m == ItemKNN || m == UserKNN || m == Popularity || m == Categories || m == Trained
}

// ofItems reports whether a method needs an item.
func (m Method) ofItems() bool { return m == Neighbors || m == Together }

// Bounds and defaults of queries.
const (
	DefaultN = 10
	MaxN     = 1000
)

// Query asks for the N best items: for a user or a basket, or by a method that needs neither.
type Query struct {
	// User is a key; empty for a basket, or for nobody in particular.
	User string
	// Basket holds items that are together now.
	Basket []BasketItem
	// N is the length of the answer, 1 to MaxN.
	N int
	// Method says what comes first.
	Method Method
	// Model is the name of the model of Trained.
	Model string
	// Fallback says what comes next, while there are places left; nil means Popularity, then Newest.
	Fallback []Method
	// Item is what Neighbors and Together are about.
	Item string
	// Anonymous is set for scenes. It allows a query for nobody by a method that needs a user or a basket: the fallbacks answer it.
	Anonymous bool
	// Share is the part of item-based scores in a Hybrid, 0 to 1; nil means a half.
	Share *float64
	// Within and Weights are those of Trending; 0 and nil mean the defaults.
	Within  time.Duration
	Weights map[fusion.Behavior]float64
	// Category is the attribute that Categories look at; empty means DefaultCategory.
	Category string
	// Since is the attribute that Newest looks at; empty means that of Freshness, or DefaultSince.
	Since string
	// Explore gives places to new products; nil gives none.
	Explore *Explore
	// Session is who asks, where there is no user.
	Session string
	// WithSeen lets items of the history into the answer.
	WithSeen bool
	// NoFallback makes an unknown user and a missing model errors, and the answer as long as the model can make it.
	NoFallback bool
	// Stale reads the history from any replica.
	Stale bool

	// apart is λ of a diversity by similarity, if there is one.
	apart *float64
	// ranked says that the method has ranked what it can.
	ranked bool
	// read says that events are those of the user, as they were looked up for a ranking.
	read   bool
	events []fusion.Event
	// awaited says that the answer has waited for products.
	awaited bool
	// Explain adds contributions.
	Explain bool
	Rules
}

// BasketItem is an item with its weight in a basket.
type BasketItem struct {
	Item   string
	Weight float32
	// Rating is for models of ratings.
	Rating float32
}

// Liked is the rating of an item of a basket that comes without one: what is above all ratings counts as the greatest.
const Liked = math.MaxFloat32

// Answer is a ranked answer.
type Answer struct {
	Items []Ranked
	// Version of the model that answered; 0 for none.
	Version uint64
	// Fallback says why places were left for what comes next; empty if there were none.
	Fallback string
	// Partial says that some partition could not be asked, or that products of one are missing.
	Partial bool
	// Stale says that the history, the popularity or the products are what some replica had, asked for or because a leader was missing.
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
	// Found is there in the place of Contributions where a combination ranks: what the models say that have found the item, in the order of the base.
	Found []*Found
}

// Contribution is the share of one item of the history in a score; an empty Item stands for all similar users.
type Contribution struct {
	Item  string
	Score float64
}

// Check returns nil if the query can be answered, or an error that matches wire.ErrInvalid.
func (q *Query) Check() error {
	subjects := 0
	if q.User != "" {
		subjects++
	}
	if len(q.Basket) > 0 {
		subjects++
	}
	switch {
	case subjects > 1 || subjects == 0 && q.Method.ofUsers() && (!q.Anonymous || q.NoFallback):
		return fmt.Errorf("%w: want a user or a basket of items, and not both", wire.ErrInvalid)
	case q.Method.ofItems() && (q.Item == "" || len(q.Item) > fusion.MaxKeyBytes):
		return fmt.Errorf("%w: an item of %d bytes; want the key of one that the answer is about", wire.ErrInvalid, len(q.Item))
	}
	return q.CheckSettings()
}

// CheckSettings checks all but the subject.
func (q *Query) CheckSettings() error {
	switch {
	case q.N < 1 || q.N > MaxN:
		return fmt.Errorf("%w: n is %d; want 1 to %d", wire.ErrInvalid, q.N, MaxN)
	case q.Share != nil && !(*q.Share >= 0 && *q.Share <= 1):
		return fmt.Errorf("%w: a share of item-based scores of %v; want 0 to 1", wire.ErrInvalid, *q.Share)
	case q.Within < 0:
		return fmt.Errorf("%w: a window of %v; want more than 0", wire.ErrInvalid, q.Within)
	case len(q.Category) > catalog.MaxNameBytes || len(q.Since) > catalog.MaxNameBytes:
		return fmt.Errorf("%w: attributes %.80q and %.80q; want names of at most %d bytes", wire.ErrInvalid, q.Category, q.Since, catalog.MaxNameBytes)
	case q.Method == Pinned || q.Method > Trained:
		return fmt.Errorf("%w: model %v is not one to ask for", wire.ErrInvalid, q.Method)
	case q.Method == Trained && !artifact.ValidModel(q.Model):
		return fmt.Errorf("%w: name of a model %.80q; want one of those that 'kith models show' lists", wire.ErrInvalid, q.Model)
	}
	for i, m := range q.Fallback {
		switch {
		case m == Hybrid || m == ItemKNN || m == Pinned || m > Together:
			return fmt.Errorf("%w: fallback %v; want user-knn, categories, trending, popularity, newest, similar or together", wire.ErrInvalid, m)
		case slices.Contains(q.Fallback[:i], m):
			return fmt.Errorf("%w: fallback %v is there twice", wire.ErrInvalid, m)
		}
	}
	if _, err := weighed(q.Weights); err != nil {
		return err
	}
	if err := q.Explore.check(); err != nil {
		return err
	}
	return q.Rules.Check()
}

// canAsk reports whether the query has what a method needs.
func (q *Query) canAsk(m Method) bool {
	switch m {
	case Neighbors, Together:
		return q.Item != ""
	case Categories:
		return q.User != "" || len(q.Basket) > 0 || q.Item != ""
	case Hybrid, ItemKNN, UserKNN, Trained:
		return q.User != "" || len(q.Basket) > 0
	}
	return true
}

// usesHistory reports whether the events of the user have to be read.
func (q *Query) usesHistory() bool {
	return q.User != "" && (q.Method.ofUsers() || len(q.Exclude) > 0 || q.Explore != nil || slices.ContainsFunc(q.Fallback, func(m Method) bool { return m != Popularity && m.ofUsers() }))
}

// known returns the items that may not be in the answer, as the subject knows them.
func (q *Query) known(events []fusion.Event) map[string]bool {
	seen := map[string]bool{}
	if len(q.Exclude) > 0 || q.Method.ofUsers() && !q.WithSeen {
		seen = q.excludes(events)
	}
	if len(q.Exclude) > 0 || !q.WithSeen {
		for _, b := range q.Basket {
			seen[b.Item] = true
		}
	}
	if q.Item != "" {
		seen[q.Item] = true
	}
	return seen
}

// share is the part of item-based scores in a hybrid.
func (q *Query) share() float64 {
	if q.Share != nil {
		return *q.Share
	}
	return 0.5
}
