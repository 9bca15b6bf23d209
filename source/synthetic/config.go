package synthetic

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrConfig means that a configuration cannot be used; the error that wraps it
// names the field and its bound.
var ErrConfig = errors.New("bad shop configuration")

// Config says what shop to generate. Every field changes the result.
type Config struct {
	// Users, Items are the numbers of customers and products.
	Users int `json:"users"`
	Items int `json:"items"`
	// Events is the exact number of views, searches, cart additions, order
	// lines and canceled order lines together. Duplicates and damaged copies
	// come on top.
	Events int64 `json:"events"`
	// Seed chooses one of the shops of this configuration.
	Seed uint64 `json:"seed"`
	// Start is the begin of the window, cut to the day (UTC); Days is its
	// length. Sessions start in the window; they last minutes, and a
	// cancellation may come up to two days after its order.
	Start time.Time `json:"start"`
	Days  int       `json:"days"`
	// Clusters is the number of taste clusters.
	Clusters int `json:"clusters"`
	// Zipf and Head make the popularity of items: that of rank r, from 1, is
	// (r + Head)^-Zipf. Zipf 0 makes all equal; Head above 0 flattens the head, where
	// the plain law would give the first item an unreal share.
	Zipf float64 `json:"zipf"`
	Head float64 `json:"head"`
	// Activity is σ of the log-normal activity of users.
	Activity float64 `json:"activity"`
	// Explore is the share of items that a user looks at without regard to taste.
	Explore float64 `json:"explore"`
	// Rules is the number of co-purchase rules. Fewer are planted if clusters
	// are too small for them.
	Rules int `json:"rules"`
	// Funnel has the transition probabilities of sessions.
	Funnel Funnel `json:"funnel"`
	// Season shapes the demand over time.
	Season Season `json:"season"`
	// NewItems is the share of items that appear within the window, NewUsers
	// that of users who sign up within it.
	NewItems float64 `json:"new_items"`
	NewUsers float64 `json:"new_users"`
	// Fraud is the share of users that follow a fraudulent pattern.
	Fraud float64 `json:"fraud"`
	// Anonymous is the share of sessions without login: the behavior log then names
	// the device in the place of the user. Orders always name the user.
	Anonymous float64 `json:"anonymous"`
	// Dirty is the share of rows with a fault, duplicates included.
	Dirty float64 `json:"dirty"`
	// Planted, if not nil, plants identities to be found: see Planted.
	Planted *Planted `json:"planted,omitempty"`
}

// Step has the probabilities of what comes next; they sum to 1.
type Step struct {
	View     float64 `json:"view"`
	Search   float64 `json:"search"`
	Cart     float64 `json:"cart"`     // puts the item at hand into the cart
	Purchase float64 `json:"purchase"` // orders the cart and ends the session
	Exit     float64 `json:"exit"`
}

// Funnel is the Markov chain of a session. From Start only view, search and
// exit make sense (exit is an empty session and not allowed), and only after Cart comes Purchase.
type Funnel struct {
	Start  Step `json:"start"`
	View   Step `json:"view"`
	Search Step `json:"search"`
	Cart   Step `json:"cart"`
	// Cancel is the probability that an order is canceled, with all its lines.
	Cancel float64 `json:"cancel"`
}

// Season has the factors of demand at a time t:
//
//	(1+Growth)^(days/365) × (1 + Yearly cos(2π (day of year - PeakDay)/365.25)) × Weekly[weekday] × Daily[hour]
//
// where days counts from Start and all times are UTC. Factors are relative.
type Season struct {
	Growth  float64     `json:"growth"`   // per year; 0.2 is +20 %
	Yearly  float64     `json:"yearly"`   // amplitude, 0 to 0.95
	PeakDay float64     `json:"peak_day"` // day of the year, 0 to 366
	Weekly  [7]float64  `json:"weekly"`   // from Sunday
	Daily   [24]float64 `json:"daily"`    // from midnight
	// Cluster is the amplitude, 0 to 0.95, of the yearly season of each cluster, whose peaks
	// are spread over the year. It moves demand between clusters.
	Cluster float64 `json:"cluster"`
}

// DefaultConfig returns a shop of the given size whose structure can be found
// again. It wants about 20 events a user and 40 an item for that.
func DefaultConfig(users, items int, events int64, seed uint64) Config {
	return Config{
		Users:    users,
		Items:    items,
		Events:   events,
		Seed:     seed,
		Start:    time.Date(2025, time.March, 1, 0, 0, 0, 0, time.UTC), // fixed: equal configurations, equal bytes
		Days:     365,                                                  // the whole yearly wave
		Clusters: max(1, min(items/40, 64)),                            // about 40 items each in a small shop
		Zipf:     1,                                                    // catalogs are measured between 0.8 and 1.1
		Head:     2,                                                    // the first item of 500 gets 7 % instead of 15 %
		Activity: 1,                                                    // the most active tenth makes 40 % of the sessions
		Explore:  0.1,                                                  // noise that models must stand
		Rules:    max(0, min(items/15, 200)),
		Funnel: Funnel{
			Start:  Step{View: 0.7, Search: 0.3},
			View:   Step{View: 0.56, Search: 0.08, Cart: 0.18, Exit: 0.18},
			Search: Step{View: 0.85, Search: 0.05, Exit: 0.1},
			// Sessions convert at about 25 %, well above real shops' 3 %: order
			// models get data without millions of views.
			Cart:   Step{View: 0.4, Purchase: 0.45, Exit: 0.15},
			Cancel: 0.06,
		},
		Season: Season{
			Growth:  0.2,
			Yearly:  0.2,
			PeakDay: 340, // the weeks before Christmas
			Weekly:  [7]float64{1.25, 0.95, 0.9, 0.9, 0.95, 1, 1.2},
			Daily: [24]float64{
				0.5, 0.3, 0.2, 0.15, 0.15, 0.2, 0.4, 0.6, 0.8, 1, 1.1, 1.2,
				1.3, 1.2, 1.1, 1.1, 1.2, 1.3, 1.5, 1.8, 2, 1.9, 1.4, 0.9,
			},
			Cluster: 0.3,
		},
		NewItems:  0.1,
		NewUsers:  0.1,
		Fraud:     0.005,
		Anonymous: 0.05,
		Dirty:     0.005,
	}
}

// Bounds of a Config.
const (
	maxUsers    = 1 << 30
	maxItems    = 1 << 26 // 40 bytes each in memory
	maxEvents   = 1 << 40
	maxDays     = 36_525
	maxClusters = 4096
)

// Validate returns nil or an error that matches ErrConfig and names the field
// and its bound.
func (c *Config) Validate() error {
	for _, f := range []struct {
		name     string
		value    int64
		low, top int64
	}{
		{"Users", int64(c.Users), 1, maxUsers},
		{"Items", int64(c.Items), 1, maxItems},
		{"Events", c.Events, 1, maxEvents},
		{"Days", int64(c.Days), 1, maxDays},
		{"Clusters", int64(c.Clusters), 1, int64(min(c.Items, maxClusters))},
		{"Rules", int64(c.Rules), 0, int64(c.Items)},
	} {
		if f.value < f.low || f.value > f.top {
			return fmt.Errorf("%w: %s is %d; want %d to %d", ErrConfig, f.name, f.value, f.low, f.top)
		}
	}
	for _, f := range []struct {
		name     string
		value    float64
		low, top float64
	}{
		{"Zipf", c.Zipf, 0, 5},
		{"Head", c.Head, 0, 1e6},
		{"Activity", c.Activity, 0, 3},
		{"Explore", c.Explore, 0, 1},
		{"NewItems", c.NewItems, 0, 0.9},
		{"NewUsers", c.NewUsers, 0, 0.5},
		{"Fraud", c.Fraud, 0, 0.5},
		{"Anonymous", c.Anonymous, 0, 1},
		{"Dirty", c.Dirty, 0, 0.5},
		{"Funnel.Cancel", c.Funnel.Cancel, 0, 1},
		{"Season.Growth", c.Season.Growth, -0.99, 100},
		{"Season.Yearly", c.Season.Yearly, 0, 0.95},
		{"Season.PeakDay", c.Season.PeakDay, 0, 366},
		{"Season.Cluster", c.Season.Cluster, 0, 0.95},
	} {
		if !(f.value >= f.low && f.value <= f.top) {
			return fmt.Errorf("%w: %s is %v; want %v to %v", ErrConfig, f.name, f.value, f.low, f.top)
		}
	}
	if y := c.Start.Year(); y < 1975 || y > 2200 {
		return fmt.Errorf("%w: Start is in the year %d; want 1975 to 2200", ErrConfig, y)
	}
	if err := positive("Season.Weekly", c.Season.Weekly[:]); err != nil {
		return err
	}
	if err := positive("Season.Daily", c.Season.Daily[:]); err != nil {
		return err
	}
	if c.Planted != nil {
		if err := c.Planted.validate(); err != nil {
			return err
		}
	}
	return c.Funnel.validate()
}

func positive(name string, factors []float64) error {
	for i, x := range factors {
		if !(x > 0 && x <= 1e6) {
			return fmt.Errorf("%w: %s[%d] is %v; want above 0, up to 1e6", ErrConfig, name, i, x)
		}
	}
	return nil
}

func (f *Funnel) validate() error {
	for _, row := range []struct {
		name string
		step Step
	}{{"Start", f.Start}, {"View", f.View}, {"Search", f.Search}, {"Cart", f.Cart}} {
		sum := 0.0
		for _, p := range row.step.list() {
			if !(p >= 0 && p <= 1) {
				return fmt.Errorf("%w: Funnel.%s has probability %v; want 0 to 1", ErrConfig, row.name, p)
			}
			sum += p
		}
		if math.Abs(sum-1) > 1e-9 {
			return fmt.Errorf("%w: Funnel.%s sums to %v; want 1", ErrConfig, row.name, sum)
		}
	}
	if f.Start.Cart > 0 || f.Start.Purchase > 0 || f.Start.Exit > 0 {
		return fmt.Errorf("%w: Funnel.Start has Cart, Purchase or Exit above 0; want view and search alone", ErrConfig)
	}
	if f.View.Purchase > 0 || f.Search.Purchase > 0 {
		return fmt.Errorf("%w: Funnel.View or Search has Purchase above 0; want it after Cart alone", ErrConfig)
	}
	return nil
}

// list returns the probabilities in the order of the behaviors, exit last.
func (s *Step) list() [5]float64 {
	return [5]float64{s.View, s.Search, s.Cart, s.Purchase, s.Exit}
}
