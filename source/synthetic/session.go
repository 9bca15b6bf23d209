package synthetic

import "math"

type behavior uint8

const (
	view behavior = iota
	search
	cart
	purchase
	cancel
	exit
)

// behaviors is the number of those that make events.
const behaviors = int(exit)

var behaviorNames = [behaviors]string{"view", "search", "cart", "purchase", "cancel"}

// action is one event of a session.
type action struct {
	time     int64 // seconds of the window
	item     uint32
	behavior behavior
	quantity uint8
	line     uint8 // of the order, from 1
}

// session is one visit with the order and the cancellation that follow from it.
type session struct {
	number  uint64
	order   uint64 // 0 for none
	user    int
	device  int // -1 if logged in
	fraud   fraud
	actions []action // by ascending time
	browsed int      // actions before the order
	next    int      // first action that is not written yet

	basket []action
}

// Bounds of a session.
const (
	maxActions = 200 // before the order
	maxLines   = 20  // of an order
)

// planner makes sessions. All of a session is a function of the configuration,
// its number, and its start.
type planner struct {
	cfg       *Config
	catalog   *catalog
	customers *customers
	clock     *clock
	pace      float64 // factor on pauses and delays, at most 1
}

// visit is the state of a session in the making.
type visit struct {
	*planner
	*session
	r    random
	u    user
	k    int     // the cluster that it is about
	day  int     // of the window
	from int64   // start
	now  float64 // seconds since
}

// plan replaces s by the session of a number that starts at a second of the
// window. It has at least one event before the order.
func (p *planner) plan(s *session, domain, number uint64, start int64) {
	*s = session{number: number, device: -1, actions: s.actions[:0], basket: s.basket[:0]}
	v := visit{planner: p, session: s, r: newRandom(p.cfg.Seed, domain, number), from: start, day: int(start / daySeconds)}
	v.u = p.customers.drawAt(v.day, &v.r)
	s.user, s.fraud = v.u.number, v.u.fraud
	if v.r.float() < p.cfg.Anonymous {
		s.device = v.r.intN(v.u.devices)
	}
	v.k = v.topic()
	switch s.fraud {
	case clicker:
		v.burst()
		s.browsed = len(s.actions)
	case canceler:
		v.fill()
		s.browsed = len(s.actions)
		v.buy(0.9)
	default:
		bought := v.walk()
		s.browsed = len(s.actions)
		if bought {
			v.buy(p.cfg.Funnel.Cancel)
		}
	}
}

// topic draws one of the user's clusters by weight and season.
func (v *visit) topic() int {
	var weights [3]float64
	sum := 0.0
	for i, w := range v.u.weights {
		if w > 0 {
			k := v.u.clusters[i]
			weights[i] = mul(w, v.clock.wave(v.cfg.Season.Cluster, v.catalog.clusters[k].peak, v.day))
			sum += weights[i]
		}
	}
	x := mul(v.r.float(), sum)
	for i, w := range weights {
		if x < w {
			return v.u.clusters[i]
		}
		x -= w
	}
	return v.u.clusters[0]
}

// draw draws an item: of the session's cluster by popularity and style, or, to
// explore, of all by popularity.
func (v *visit) draw() uint32 {
	k, taste := v.k, true
	if v.r.float() < v.cfg.Explore {
		k, taste = v.catalog.topics.draw(&v.r), false
	}
	cl := &v.catalog.clusters[k]
	for range 64 {
		number := cl.members[cl.draw.draw(&v.r)]
		it := &v.catalog.items[number]
		if int(it.day) > v.day {
			continue
		}
		style := it.style()
		if !taste || style == v.u.favorite[0] || style == v.u.favorite[1] || v.r.float() < othersAccepted {
			return number
		}
	}
	return cl.members[0]
}

// add appends an event after a pause.
func (v *visit) add(b behavior, item uint32, pause float64) {
	v.now += pause
	v.actions = append(v.actions, action{time: v.second(v.now), item: item, behavior: b, quantity: 1})
}

func (v *visit) second(after float64) int64 { return v.from + int64(mul(after, v.pace)) }

// put puts an item into the basket and reports whether it is new there.
func (v *visit) put(item uint32, quantity uint8) bool {
	for i := range v.basket {
		if v.basket[i].item == item {
			v.basket[i].quantity = min(v.basket[i].quantity+quantity, 99)
			return false
		}
	}
	v.basket = append(v.basket, action{item: item, quantity: quantity})
	return true
}

// walk walks the funnel and reports whether it ends with an order.
func (v *visit) walk() bool {
	f := &v.cfg.Funnel
	step := &f.Start
	at := exit
	var item uint32
	for len(v.actions) < maxActions {
		before := at
		at = step.next(&v.r)
		switch at {
		case view:
			if before != search { // a search leads to the item that it found
				item = v.draw()
			}
			v.add(view, item, v.r.exponential(40))
			step = &f.View
		case search:
			item = v.draw()
			v.add(search, item, v.r.exponential(25))
			step = &f.Search
		case cart:
			v.addToCart(item)
			step = &f.Cart
		default:
			return at == purchase
		}
	}
	return false
}

// next draws the next behavior, or exit.
func (s *Step) next(r *random) behavior {
	x := r.float()
	for b, p := range [...]float64{s.View, s.Search, s.Cart, s.Purchase} {
		if x < p {
			return behavior(b)
		}
		x -= p
	}
	return exit
}

// addToCart puts an item into the cart and, if it is an antecedent that was
// not there before, with the probability of the rule the consequent too.
func (v *visit) addToCart(item uint32) {
	v.add(cart, item, v.r.exponential(15))
	if !v.put(item, 1) {
		return
	}
	n, ok := v.catalog.ruleOf[int(item)]
	if !ok || v.r.float() >= v.catalog.rules[n].confidence {
		return
	}
	other := uint32(v.catalog.rules[n].consequent)
	for i := range v.basket {
		if v.basket[i].item == other {
			return
		}
	}
	v.add(view, other, v.r.exponential(20))
	v.add(cart, other, v.r.exponential(15))
	v.put(other, 1)
}

// burst is the session of a clicker.
func (v *visit) burst() {
	targets := [2]uint32{v.draw(), v.draw()}
	for range v.r.between(15, 40) {
		v.add(view, targets[v.r.intN(2)], float64(v.r.between(1, 2)))
	}
}

// fill is the session of a canceler: straight into the cart, in large quantities.
func (v *visit) fill() {
	for range v.r.between(2, 5) {
		item := v.draw()
		v.add(view, item, float64(v.r.between(2, 6)))
		v.add(cart, item, float64(v.r.between(1, 3)))
		v.put(item, uint8(v.r.between(3, 10)))
	}
}

// buy orders the basket and, with a probability, cancels all of it between ten
// minutes and two days later.
func (v *visit) buy(canceled float64) {
	v.basket = v.basket[:min(len(v.basket), maxLines)]
	v.now += 20 + v.r.exponential(60)
	v.addLines(purchase, v.now)
	if v.r.float() < canceled {
		v.addLines(cancel, v.now+math.Floor(600+mul(v.r.float(), 2*daySeconds-600)))
	}
}

func (v *visit) addLines(b behavior, after float64) {
	t := v.second(after)
	for i, line := range v.basket {
		v.actions = append(v.actions, action{time: t, item: line.item, behavior: b, quantity: line.quantity, line: uint8(i + 1)})
	}
}

// cut shortens the session to at most n > 0 events by leaving out the order.
func (s *session) cut(n int64) {
	if int64(len(s.actions)) > n {
		s.actions = s.actions[:min(int64(s.browsed), n)]
	}
}

// ordered returns the lines of the order.
func (s *session) ordered() []action {
	lines := s.actions[min(s.browsed, len(s.actions)):]
	for i := range lines {
		if lines[i].behavior == cancel {
			return lines[:i]
		}
	}
	return lines
}
