package synthetic

import (
	"context"
	"errors"
	"io"
	"math"
)

// Summary says what was generated.
type Summary struct {
	// Sessions counts all, those of fraudulent users included.
	Sessions int64 `json:"sessions"`
	// Events is the number of good rows in the events and orders files, which
	// is what was asked for; Behaviors says of what kind they are.
	Events    int64            `json:"events"`
	Behaviors map[string]int64 `json:"behaviors"`
	// Orders counts orders, Canceled those of them that were canceled, Lines
	// the lines of all orders.
	Orders   int64 `json:"orders"`
	Canceled int64 `json:"canceled"`
	Lines    int64 `json:"lines"`
	// Anonymous counts the events that name a device.
	Anonymous int64 `json:"anonymous"`
	// FraudUsers and FraudOrders count those listed with a pattern in the truth files;
	// FraudEvents counts all events of these users.
	FraudUsers  int64 `json:"fraud_users"`
	FraudOrders int64 `json:"fraud_orders"`
	FraudEvents int64 `json:"fraud_events"`
	// Dirty counts faults by file and kind. Rows of kind "blanks" are good rows
	// with blanks around their keys; all other kinds are rows on top of Events.
	Dirty map[string]map[string]int64 `json:"dirty"`
	// Files lists the files in the order in which they were finished; the
	// truth file, which holds this list, stands only in the one that is returned.
	Files []File `json:"files"`
}

// File is one of the files that were written.
type File struct {
	Name  string `json:"name"`
	Rows  int64  `json:"rows"` // without the header; 0 where there are none
	Bytes int64  `json:"bytes"`
}

// Names of the files.
const (
	ProductsFile    = "products.csv"
	UsersFile       = "users.csv"
	IdentitiesFile  = "identities.csv"
	EventsFile      = "events.csv"
	OrdersFile      = "orders.csv"
	MappingFile     = "map.yaml"
	TruthFile       = "truth.json"
	TruthItemsFile  = "truth_items.csv"
	TruthUsersFile  = "truth_users.csv"
	TruthOrdersFile = "truth_orders.csv"

	// PlantedFiles has these.
	FusionFile          = "fuse.yaml"
	AccountsFile        = "accounts.csv"
	SightingsFile       = "sightings.csv"
	SupplierFile        = "supplier.csv"
	MarketplaceFile     = "marketplace.csv"
	SKUMapFile          = "sku_map.csv"
	TruthAccountsFile   = "truth_accounts.csv"
	TruthKeysFile       = "truth_keys.csv"
	TruthSKUsFile       = "truth_skus.csv"
	TruthAttributesFile = "truth_attributes.csv"
)

// maxOpen bounds the sessions that wait in memory, at about a kilobyte each.
const maxOpen = 1 << 16

// trials is the number of sessions made, and thrown away, to know their mean length.
const trials = 2000

// generator is the state of one run of Generate.
type generator struct {
	cfg       *Config
	catalog   *catalog
	customers *customers
	clock     *clock
	calendar  calendar
	planner   planner
	create    func(name string) (io.WriteCloser, error)
	progress  func(done, total int64)
	summary   Summary

	queue     queue
	starts    random
	over      float64 // share of the demand that is over
	remaining int64   // events that are not planned yet
	planned   float64 // events of the trials and of the sessions so far
	sessions  float64 // as many sessions

	people *people // nil if none are planted

	events, orders, truth *table
	written               int64 // events
	behaviors             [behaviors]int64
	dirt                  [2][faults]int64 // of events, of orders
}

// Generate makes the shop of cfg. It calls create for each file, writes it front to back, and
// closes it; at most three are open at a time. progress, if not nil, is called now and then,
// on the caller's goroutine, with the number of events written and of all.
//
// It returns an error that matches ErrConfig, the error of create, of a file,
// or of ctx. All files that were created are closed then, but they are not complete.
//
// Memory: about 40 bytes an item, 200 bytes a day, and under 64 MB of open
// sessions, whatever the numbers of users and events. It is one goroutine's work.
func Generate(ctx context.Context, cfg Config, create func(name string) (io.WriteCloser, error), progress func(done, total int64)) (*Summary, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	g := newGenerator(&cfg)
	g.create, g.progress = create, progress
	for _, step := range []func(context.Context) error{g.writeProducts, g.writeUsers, g.writePlanted, g.writeLog, g.writeMapping, g.writeTruth} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &g.summary, nil
}

func newGenerator(cfg *Config) *generator {
	g := &generator{cfg: cfg, catalog: newCatalog(cfg), clock: newClock(cfg), remaining: cfg.Events}
	g.calendar = calendar{start: g.clock.start, day: -1}
	g.customers = newCustomers(cfg, g.catalog)
	if cfg.Planted != nil {
		g.people = newPeople(cfg, g.customers)
	}
	g.starts = newRandom(cfg.Seed, domainClock, 0)
	g.planner = planner{cfg: cfg, catalog: g.catalog, customers: g.customers, clock: g.clock, pace: 1}
	g.try(maxOpen)
	return g
}

// try makes sessions all over the window to learn how long they are, and sets
// the pace so that about maxOpen of them are open at once, at most.
func (g *generator) try(maxOpen float64) {
	var s session
	seconds := 0.0
	for i := range trials {
		start := g.clock.at((float64(i) + 0.5) / trials)
		g.planner.plan(&s, domainTrial, uint64(i), start)
		g.planned += float64(len(s.actions))
		seconds += float64(s.actions[len(s.actions)-1].time - start)
	}
	g.sessions = trials
	// Little's law, at the busiest hour.
	busiest := 0.0
	for i := 1; i < len(g.clock.hours); i++ {
		busiest = max(busiest, g.clock.hours[i]-g.clock.hours[i-1])
	}
	perSecond := mul(float64(g.cfg.Events)/(g.planned/trials), busiest) / hourSeconds
	if open := mul(perSecond, seconds/trials); open > maxOpen {
		g.planner.pace = maxOpen / open
	}
}

// writeLog writes the events and the orders, by ascending time.
func (g *generator) writeLog(ctx context.Context) (err error) {
	g.events = g.open(EventsFile, "event,time,session,user,item,behavior")
	g.orders = g.open(OrdersFile, "event,order,line,time,user,item,quantity,price,status")
	g.truth = g.open(TruthOrdersFile, "order,user,fraud")
	defer func() {
		for _, t := range []*table{g.events, g.orders, g.truth} {
			err = errors.Join(err, g.close(t))
		}
	}()
	start := g.nextStart()
	for {
		switch {
		case g.remaining > 0 && (len(g.queue.open) == 0 || start <= g.queue.open[0].due()):
			g.begin(start)
			start = g.nextStart()
		case len(g.queue.open) > 0:
			s := g.queue.open[0]
			g.write(s, &s.actions[s.next])
			g.queue.advance()
			if g.written%(1<<14) == 0 {
				g.progress(g.written, g.cfg.Events)
				if err := errors.Join(ctx.Err(), g.events.err, g.orders.err, g.truth.err); err != nil {
					return err
				}
			}
		default:
			g.progress(g.written, g.cfg.Events)
			g.finishCounts()
			return nil
		}
	}
}

// nextStart draws when the next session starts, in seconds of the window. With n sessions to
// come, that is the smallest of n uniform draws on what is left of the demand. As n follows from
// the events to come, their number is met exactly and the window is filled.
func (g *generator) nextStart() int64 {
	n := math.Ceil(float64(g.remaining) / (g.planned / g.sessions))
	step := 1 - exponentialOf(logarithm(g.starts.open())/max(n, 1))
	g.over = min(g.over+mul(1-g.over, step), math.Nextafter(1, 0))
	return g.clock.at(g.over)
}

// begin plans a session and puts it into the queue.
func (g *generator) begin(start int64) {
	g.summary.Sessions++
	s := g.queue.take()
	g.planner.plan(s, domainSession, uint64(g.summary.Sessions), start)
	g.planned += float64(len(s.actions))
	g.sessions++
	s.cut(g.remaining)
	g.remaining -= int64(len(s.actions))
	if lines := s.ordered(); len(lines) > 0 {
		g.summary.Orders++
		g.summary.Lines += int64(len(lines))
		s.order = uint64(g.summary.Orders)
		if s.actions[len(s.actions)-1].behavior == cancel {
			g.summary.Canceled++
		}
		g.countRules(lines)
	}
	if s.fraud != honest {
		g.summary.FraudEvents += int64(len(s.actions))
		if s.order > 0 {
			g.summary.FraudOrders++
			g.truth.text("O")
			g.truth.integer(int64(s.order))
			g.truth.comma()
			g.truth.buf = g.customers.appendUser(g.truth.buf, s.user)
			g.truth.comma()
			g.truth.text(fraudNames[s.fraud])
			g.truth.end()
		}
	}
	g.queue.push(s)
}

// countRules counts the orders with the antecedents of rules, and those with
// the consequents too.
func (g *generator) countRules(lines []action) {
	for i := range lines {
		n, ok := g.catalog.ruleOf[int(lines[i].item)]
		if !ok {
			continue
		}
		r := &g.catalog.rules[n]
		r.orders++
		for j := range lines {
			if int(lines[j].item) == r.consequent {
				r.both++
				break
			}
		}
	}
}

// write writes an event and, now and then, a faulty row on top.
func (g *generator) write(s *session, a *action) {
	g.written++
	g.behaviors[a.behavior]++
	t, faults, dirt := g.events, eventFaults, &g.dirt[0]
	if a.behavior >= purchase {
		t, faults, dirt = g.orders, orderFaults, &g.dirt[1]
	} else if s.device >= 0 {
		g.summary.Anonymous++
	}
	r := newRandom(g.cfg.Seed, domainDirt, uint64(g.written))
	if r.float() >= g.cfg.Dirty {
		g.row(t, s, a, clean, &r)
		return
	}
	f := faults[r.intN(len(faults))]
	dirt[f]++
	switch f {
	case blanks:
		g.row(t, s, a, blanks, &r)
	case duplicate:
		g.row(t, s, a, clean, &r)
		g.row(t, s, a, clean, &r)
	default:
		g.row(t, s, a, clean, &r)
		g.row(t, s, a, f, &r)
	}
}

func (g *generator) row(t *table, s *session, a *action, f fault, r *random) {
	if t == g.orders {
		g.orderRow(s, a, f, r)
	} else {
		g.eventRow(s, a, f, r)
	}
	t.end()
}

// eventRow appends event,time,session,user,item,behavior.
func (g *generator) eventRow(s *session, a *action, f fault, r *random) {
	t := g.events
	t.text("E")
	t.integer(g.written)
	t.comma()
	g.time(t, a, f, r)
	t.comma()
	t.text("S")
	t.integer(int64(s.number))
	if f == shortRow {
		return
	}
	t.comma()
	g.user(t, s, f, s.device >= 0)
	t.comma()
	g.item(t, a, f)
	t.comma()
	if f == badBehavior {
		t.text(badBehaviors[r.intN(len(badBehaviors))])
	} else {
		t.text(behaviorNames[a.behavior])
	}
}

// orderRow appends event,order,line,time,user,item,quantity,price,status.
func (g *generator) orderRow(s *session, a *action, f fault, r *random) {
	t := g.orders
	t.text("E")
	t.integer(g.written)
	t.comma()
	t.text("O")
	t.integer(int64(s.order))
	t.comma()
	t.integer(int64(a.line))
	t.comma()
	g.time(t, a, f, r)
	if f == shortRow {
		return
	}
	t.comma()
	g.user(t, s, f, false)
	t.comma()
	g.item(t, a, f)
	t.comma()
	if f == badNumber {
		t.text(badNumbers[r.intN(len(badNumbers))])
	} else {
		t.integer(int64(a.quantity))
	}
	t.comma()
	t.price(g.catalog.items[a.item].price)
	t.comma()
	if f == badBehavior {
		t.text(badBehaviors[r.intN(len(badBehaviors))])
	} else {
		t.text(behaviorNames[a.behavior])
	}
}

func (g *generator) time(t *table, a *action, f fault, r *random) {
	if f == badTime {
		t.text(badTimes[r.intN(len(badTimes))])
		return
	}
	t.buf = g.calendar.append(t.buf, a.time)
}

func (g *generator) user(t *table, s *session, f fault, device bool) {
	if f == missingUser {
		return
	}
	if f == blanks {
		t.text("  ")
	}
	if device {
		t.buf = g.customers.appendDevice(t.buf, s.user, s.device)
	} else if g.people != nil && mix(s.number)%3 == 0 && g.people.of(s.user).second {
		t.buf = g.people.appendSecond(t.buf, s.user)
	} else {
		t.buf = g.customers.appendUser(t.buf, s.user)
	}
	if f == blanks {
		t.text(" ")
	}
}

func (g *generator) item(t *table, a *action, f fault) {
	if f == missingItem {
		return
	}
	if f == blanks {
		t.text(" ")
	}
	t.buf = g.catalog.appendItem(t.buf, int(a.item))
	if f == blanks {
		t.text("\t")
	}
}

// finishCounts moves the counters into the summary.
func (g *generator) finishCounts() {
	g.summary.Events = g.written
	g.summary.Behaviors = map[string]int64{}
	for b, n := range g.behaviors {
		g.summary.Behaviors[behaviorNames[b]] = n
	}
	g.summary.Dirty = map[string]map[string]int64{}
	for i, name := range []string{EventsFile, OrdersFile} {
		kinds := map[string]int64{}
		for f, n := range g.dirt[i] {
			if n > 0 {
				kinds[faultNames[f]] = n
			}
		}
		g.summary.Dirty[name] = kinds
	}
}
