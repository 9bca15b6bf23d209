// Package view derives what a shop wants to know of its users and products from their events: recency, frequency and monetary value,
// affinities, sessions, conversion. All of it is a function of events and products alone, computed user by user, so that partitions work
// side by side and nothing has to be kept up to date.
package view

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kith-io/kith/fusion"
)

// Keys of Event.Context that this package reads.
const (
	// ContextOrder is the number of the order that an event is part of.
	ContextOrder = "order"
	// ContextPrice is the price of one piece at the time of the event.
	ContextPrice = "price"
)

// DefaultSessionGap is the usual choice of web analytics.
const DefaultSessionGap = 30 * time.Minute

// mostCategories is the number of categories of an affinity that are told.
const mostCategories = 10

// Product is what features need to know of an item.
type Product struct {
	// Category is empty where it is not known.
	Category string
	// Price of one piece today; 0 or less where it is not known.
	Price float64
}

// Products finds a product by the key of its item. Ok is false for an item that is not in the catalog.
type Products func(item string) (p Product, ok bool)

// Options of features.
type Options struct {
	// Now is the time as of which they are, in Unix milliseconds. Events after it do not count.
	Now int64
	// SessionGap is how long nothing may happen within a session; 0 means DefaultSessionGap.
	SessionGap time.Duration
	// Weights make the interactions that affinities are shares of.
	Weights fusion.Weights
}

func (o *Options) gap() int64 {
	return cmp.Or(o.SessionGap, DefaultSessionGap).Milliseconds()
}

// User has the features of one user. Times are in Unix milliseconds, 0 where there is none.
type User struct {
	// Events count by behavior.
	Events map[fusion.Behavior]int `json:"events"`
	// Items is the number of different items.
	Items int   `json:"items"`
	First int64 `json:"first_unix_ms"`
	Last  int64 `json:"last_unix_ms"`

	// LastOrder, Orders and Revenue are recency, frequency and monetary value: of orders of which something was not canceled. Purchases without the
	// number of an order are one order for each session.
	LastOrder int64   `json:"last_order_unix_ms"`
	Orders    int     `json:"orders"`
	Revenue   float64 `json:"revenue"`
	// Quantity is the number of pieces that were bought and kept, Canceled that of those given back, and Unpriced that of those bought whose
	// price is not known, which Revenue lacks.
	Quantity float64 `json:"quantity"`
	Canceled float64 `json:"canceled"`
	Unpriced float64 `json:"unpriced"`

	Sessions Sessions `json:"sessions"`
	// Categories are the shares of the positive weights of interactions by category, descending, ties by name; at most ten. Items without
	// a category count for the whole.
	Categories []Share `json:"categories"`
	// Prices are those of the items that the user was interested in, weighted by interaction.
	Prices *Prices `json:"prices,omitempty"`
}

// Sessions are runs of events without a long pause. Events without a time are in none.
type Sessions struct {
	Count int `json:"count"`
	// Events and Seconds are means over sessions. A session of one event lasts 0 s.
	Events  float64 `json:"mean_events"`
	Seconds float64 `json:"mean_seconds"`
	// Converted is the share of sessions with a purchase.
	Converted float64 `json:"converted"`
}

// Share is a part of a whole.
type Share struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// Prices sum up the prices of items by weight.
type Prices struct {
	Mean float64 `json:"mean"`
	// Low, Median and High are the least prices up to which a quarter, a half and three quarters of the weight lie.
	Low    float64 `json:"low"`
	Median float64 `json:"median"`
	High   float64 `json:"high"`
}

// OfUser returns the features of one user from all events of the user, each once, in any order. Cost: O(n log n), and one look at products
// for each item.
func OfUser(events []fusion.Event, products Products, o Options) User {
	events, u := counted(events, o.Now)
	u.orders(events, u.sessions(events, o.gap()), products)
	u.affinities(fusion.Fuse(events, o.Weights, o.Now), products)
	return u
}

// ByTime sorts the events of a user by time, then id.
func ByTime(events []fusion.Event) {
	slices.SortFunc(events, func(a, b fusion.Event) int { return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID)) })
}

// counted returns the events up to now in their order, but for feedback (fusion.Event.Feedback), and what is known of a user by counting them.
func counted(events []fusion.Event, now int64) ([]fusion.Event, User) {
	events = slices.DeleteFunc(slices.Clone(events), func(e fusion.Event) bool { return e.Time > now || e.Feedback() })
	ByTime(events)
	u := User{Events: map[fusion.Behavior]int{}}
	items := map[string]bool{}
	for i := range events {
		e := &events[i]
		u.Events[e.Behavior]++
		items[e.Item] = true
		if e.Time > 0 {
			u.First, u.Last = cmp.Or(u.First, e.Time), e.Time
		}
	}
	u.Items = len(items)
	return events, u
}

// sessions cuts ordered events into sessions and returns the number of the session of each event; -1 for those without a time.
func (u *User) sessions(events []fusion.Event, gap int64) []int {
	session := make([]int, len(events))
	var last, began, lasted int64
	converted, inSessions := map[int]bool{}, 0
	for i := range events {
		e := &events[i]
		if e.Time == 0 {
			session[i] = -1
			continue
		}
		if inSessions == 0 || e.Time-last > gap {
			u.Sessions.Count++
			lasted += last - began
			began = e.Time
		}
		last = e.Time
		inSessions++
		session[i] = u.Sessions.Count - 1
		if e.Behavior == fusion.Purchase {
			converted[session[i]] = true
		}
	}
	if n := float64(u.Sessions.Count); n > 0 {
		u.Sessions.Events = float64(inSessions) / n
		u.Sessions.Seconds = float64(lasted+last-began) / n / 1000
		u.Sessions.Converted = float64(len(converted)) / n
	}
	return session
}

// Bought is one purchase and what is left of it.
type Bought struct {
	Event *fusion.Event
	// Left are the pieces that were not canceled.
	Left float64
	// Price of one; 0 if it is not known.
	Price float64
	// at is the position of the event.
	at int
}

// BoughtBy returns the purchases among the events of a user, which are by time and id, in that order, and the number of pieces that were given back. A
// cancellation takes back the latest purchases of its item before it, of its order where it names one.
func BoughtBy(events []fusion.Event, products Products) (purchases []Bought, canceled float64) {
	for i := range events {
		e := &events[i]
		switch e.Behavior {
		case fusion.Purchase:
			purchases = append(purchases, Bought{e, max(0, e.Value), priceOf(e, products), i})
		case fusion.Cancel:
			back, order := math.Abs(e.Value), e.Context[ContextOrder]
			for k := len(purchases) - 1; k >= 0 && back > 0; k-- {
				b := &purchases[k]
				if b.Event.Item != e.Item || order != "" && order != b.Event.Context[ContextOrder] {
					continue
				}
				taken := min(back, b.Left)
				b.Left, back = b.Left-taken, back-taken
				canceled += taken
			}
		}
	}
	return purchases, canceled
}

// orders sums up purchases and what was canceled of them. Purchases of no order are one by session.
func (u *User) orders(events []fusion.Event, session []int, products Products) {
	purchases, canceled := BoughtBy(events, products)
	u.Canceled += canceled
	kept := map[string]bool{}
	for _, b := range purchases {
		if b.Left == 0 {
			continue
		}
		order := b.Event.Context[ContextOrder]
		if order == "" {
			order = "\x00session " + strconv.Itoa(session[b.at]) // no order has such a number
		}
		kept[order] = true
		u.Quantity += b.Left
		u.Revenue += b.Left * b.Price
		u.LastOrder = max(u.LastOrder, b.Event.Time)
		if b.Price == 0 {
			u.Unpriced += b.Left
		}
	}
	u.Orders = len(kept)
}

// priceOf returns the price of one piece: that of the event, or else that of the product; 0 if neither is known.
func priceOf(e *fusion.Event, products Products) float64 {
	if text, ok := e.Context[ContextPrice]; ok {
		if x, err := strconv.ParseFloat(text, 64); err == nil && x > 0 && !math.IsInf(x, 0) {
			return x
		}
	}
	if p, ok := products(e.Item); ok && p.Price > 0 {
		return p.Price
	}
	return 0
}

// affinities sums up interactions by category and by price.
func (u *User) affinities(interactions []fusion.Interaction, products Products) {
	byCategory := map[string]float64{}
	var priced []weightedPrice
	total := 0.0
	for _, x := range interactions {
		w := float64(x.Weight)
		if w <= 0 {
			continue
		}
		total += w
		p, ok := products(x.Item)
		if !ok {
			continue
		}
		if p.Category != "" {
			byCategory[p.Category] += w
		}
		if p.Price > 0 {
			priced = append(priced, weightedPrice{p.Price, w})
		}
	}
	u.Categories = []Share{}
	for name, w := range byCategory {
		u.Categories = append(u.Categories, Share{name, w / total})
	}
	slices.SortFunc(u.Categories, func(a, b Share) int { return cmp.Or(cmp.Compare(b.Share, a.Share), strings.Compare(a.Name, b.Name)) })
	u.Categories = u.Categories[:min(len(u.Categories), mostCategories)]
	u.Prices = pricesOf(priced)
}

type weightedPrice struct{ price, weight float64 }

// pricesOf sums up prices, or returns nil if there are none.
func pricesOf(priced []weightedPrice) *Prices {
	if len(priced) == 0 {
		return nil
	}
	slices.SortFunc(priced, func(a, b weightedPrice) int {
		return cmp.Or(cmp.Compare(a.price, b.price), cmp.Compare(a.weight, b.weight))
	})
	sum, total := 0.0, 0.0
	for _, x := range priced {
		sum, total = sum+x.price*x.weight, total+x.weight
	}
	out := &Prices{Mean: sum / total}
	up := 0.0
	marks := []struct {
		share float64
		price *float64
	}{{0.25, &out.Low}, {0.5, &out.Median}, {0.75, &out.High}}
	for _, x := range priced {
		up += x.weight
		for len(marks) > 0 && up >= marks[0].share*total {
			*marks[0].price, marks = x.price, marks[1:]
		}
	}
	return out
}
