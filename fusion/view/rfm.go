package view

import (
	"math"
	"slices"

	"github.com/kith-io/kith/fusion"
)

// RFM is a customer's class by recency, frequency and monetary value: 1 (worst) to 5 (best) for each, 0 for users who have bought nothing.
type RFM struct {
	Recency   int `json:"recency"`
	Frequency int `json:"frequency"`
	Monetary  int `json:"monetary"`
}

// Purchases are what the classes of a user are made from; as those fields of a User.
type Purchases struct {
	LastOrder int64
	Orders    int
	Revenue   float64
}

// Purchases returns recency, frequency and monetary value.
func (u *User) Purchases() Purchases { return Purchases{u.LastOrder, u.Orders, u.Revenue} }

// PurchasesOf returns the Purchases of OfUser, without the work for the rest.
func PurchasesOf(events []fusion.Event, products Products, o Options) Purchases {
	events, u := counted(events, o.Now)
	u.orders(events, u.sessions(events, o.gap()), products)
	return u.Purchases()
}

// Number of classes of each feature.
const classes = 5

// steps are the least values of the classes from 2 on; those of no value in it or above are infinite.
type steps [classes - 1]float64

// Classes tell the RFM of users among those that they were made from.
type Classes struct{ recency, frequency, monetary steps }

// ClassesOf returns the classes of all users that are given, in parts [hughes1994]: those who have bought are ordered by each feature and cut into
// five classes of equal size. Equal values are in one class, that of the middle one of them, so classes may differ in size, and a class is
// an interval of values. The result does not depend on the order of users. Cost: O(n log n), and 8 bytes a buyer.
func ClassesOf(parts ...[]Purchases) *Classes {
	n := 0
	for _, users := range parts {
		n += len(users)
	}
	values := make([]float64, 0, n)
	of := func(feature func(*Purchases) float64) steps {
		values = values[:0]
		for _, users := range parts {
			for i := range users {
				if users[i].Orders > 0 {
					values = append(values, feature(&users[i]))
				}
			}
		}
		return stepsOf(values)
	}
	return &Classes{of((*Purchases).last), of((*Purchases).frequency), of((*Purchases).monetary)}
}

func (p *Purchases) last() float64      { return float64(p.LastOrder) }
func (p *Purchases) frequency() float64 { return float64(p.Orders) }
func (p *Purchases) monetary() float64  { return p.Revenue }

// Of returns the RFM of one of the users.
func (c *Classes) Of(p Purchases) RFM {
	if p.Orders == 0 {
		return RFM{}
	}
	return RFM{c.recency.class(p.last()), c.frequency.class(p.frequency()), c.monetary.class(p.monetary())}
}

// RFMOf returns the classes of users among all that are given, as ClassesOf makes them.
func RFMOf(users []User) []RFM {
	purchases := make([]Purchases, len(users))
	for i := range users {
		purchases[i] = users[i].Purchases()
	}
	c := ClassesOf(purchases)
	out := make([]RFM, len(users))
	for i, p := range purchases {
		out[i] = c.Of(p)
	}
	return out
}

// stepsOf cuts values, which it sorts, into classes.
func stepsOf(values []float64) (s steps) {
	slices.Sort(values)
	for i := range s {
		s[i] = math.Inf(1)
	}
	for from := 0; from < len(values); {
		to := from + 1
		for to < len(values) && values[to] == values[from] {
			to++
		}
		class := 1 + (from+to-1)*classes/(2*len(values)) // of the middle of from to to-1
		for i := range s[:class-1] {
			s[i] = min(s[i], values[from])
		}
		from = to
	}
	return s
}

func (s *steps) class(value float64) int {
	class := 1
	for _, least := range s {
		if value >= least {
			class++
		}
	}
	return class
}
