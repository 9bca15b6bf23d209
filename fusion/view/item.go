package view

import "github.com/kith-io/kith/fusion"

// Item has the features of one product that add up over users, and so over partitions.
type Item struct {
	// Events count by behavior.
	Events map[fusion.Behavior]int `json:"events"`
	// Users is the number of users with any event of the item, Buyers that of those who bought it and kept a piece.
	Users  int `json:"users"`
	Buyers int `json:"buyers"`
	// Quantity, Canceled, Unpriced and Revenue are as those of a User.
	Quantity float64 `json:"quantity"`
	Canceled float64 `json:"canceled"`
	Unpriced float64 `json:"unpriced"`
	Revenue  float64 `json:"revenue"`
	First    int64   `json:"first_unix_ms"`
	Last     int64   `json:"last_unix_ms"`
}

// Conversion is the share of the item's users who bought it and kept a piece; 0 without users.
func (i *Item) Conversion() float64 {
	if i.Users == 0 {
		return 0
	}
	return float64(i.Buyers) / float64(i.Users)
}

// Add adds what another has seen: other users of the same item.
func (i *Item) Add(o *Item) {
	if i.Events == nil {
		i.Events = map[fusion.Behavior]int{}
	}
	for b, n := range o.Events {
		i.Events[b] += n
	}
	i.Users, i.Buyers = i.Users+o.Users, i.Buyers+o.Buyers
	i.Quantity, i.Canceled = i.Quantity+o.Quantity, i.Canceled+o.Canceled
	i.Unpriced, i.Revenue = i.Unpriced+o.Unpriced, i.Revenue+o.Revenue
	if o.First > 0 && (i.First == 0 || o.First < i.First) {
		i.First = o.First
	}
	i.Last = max(i.Last, o.Last)
}

// OfItems returns the features of the items of one user's events, to be added to those of others.
func OfItems(events []fusion.Event, products Products, o Options) map[string]*Item {
	byItem := map[string][]fusion.Event{}
	for i := range events {
		byItem[events[i].Item] = append(byItem[events[i].Item], events[i])
	}
	out := make(map[string]*Item, len(byItem))
	for item, of := range byItem {
		of, u := counted(of, o.Now)
		if u.Items == 0 {
			continue // all events are after Now, or feedback
		}
		u.orders(of, make([]int, len(of)), products) // sessions only tell orders apart, which are not counted here
		x := &Item{
			Events: u.Events, Users: 1, Quantity: u.Quantity, Canceled: u.Canceled, Unpriced: u.Unpriced, Revenue: u.Revenue, First: u.First, Last: u.Last,
		}
		if u.Quantity > 0 {
			x.Buyers = 1
		}
		out[item] = x
	}
	return out
}
