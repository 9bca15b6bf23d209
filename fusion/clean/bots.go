package clean

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion/record"
)

// Defaults of Bots. docs/cleaning.md shows the logs that they come from: no user of two real ones passes one.
const (
	DefaultBotEvents      = 24 // in a minute; real users have at most 23
	DefaultBotWindow      = time.Minute
	DefaultBotRegular     = 20  // intervals, about a visit
	DefaultBotRegularity  = 0.2 // real users have 0.27 and more
	DefaultBotItems       = 150 // in an hour; real users have at most 102
	DefaultBotItemsWindow = time.Hour
)

// Bots finds users whose events no person makes. All records of such a user are flagged or rejected.
type Bots struct {
	// User, Time and Item are fields; without Item, items are not counted. Records without a user are not judged.
	User string `yaml:"user"`
	Time string `yaml:"time"`
	Item string `yaml:"item"`
	// MaxEvents is how many events a user may have within Window, ends included; 0 switches the test off, nil means the default.
	MaxEvents *int          `yaml:"max_events"`
	Window    time.Duration `yaml:"window"`
	// Regular is the number of intervals in a row that are compared: a user is a bot if their standard deviation is less than Regularity of
	// their mean. Events at one time count as one. 0 switches the test off.
	Regular    *int     `yaml:"regular"`
	Regularity *float64 `yaml:"regularity"`
	// MaxItems is how many different items a user may have within ItemsWindow; 0 switches the test off.
	MaxItems    *int          `yaml:"max_items"`
	ItemsWindow time.Duration `yaml:"items_window"`
	// Action is flag (the default) or reject.
	Action string `yaml:"action"`
	// Field is that of the flag, a truth value; "bot" by default.
	Field string `yaml:"field"`
}

// maxBotThreshold bounds what is remembered of a user.
const maxBotThreshold = 1 << 16

func (*Bots) kind() string      { return "bots" }
func (*Bots) targets() []string { return nil }

func (s *Bots) check() error {
	switch {
	case s.User == "":
		return wrong("user", "is missing; name the field of the user")
	case s.Time == "":
		return wrong("time", "is missing; name the field of the time")
	case s.Action == ActionReject && s.Field != "":
		return wrong("field", "has no meaning with action: reject")
	case s.MaxItems != nil && *s.MaxItems > 0 && s.Item == "":
		return wrong("item", "is missing; name the field that max_items counts")
	case s.Regularity != nil && !(*s.Regularity > 0 && *s.Regularity <= 10):
		return wrong("regularity", "is %g; want more than 0, and 10 at most", *s.Regularity)
	}
	for _, t := range []struct {
		key   string
		value *int
	}{{"max_events", s.MaxEvents}, {"regular", s.Regular}, {"max_items", s.MaxItems}} {
		if t.value != nil && (*t.value < 0 || *t.value > maxBotThreshold) {
			return wrong(t.key, "is %d; want 0 (off) to %d", *t.value, maxBotThreshold)
		}
	}
	for _, w := range []struct {
		key   string
		value time.Duration
	}{{"window", s.Window}, {"items_window", s.ItemsWindow}} {
		if w.value < 0 || w.value%time.Millisecond != 0 {
			return wrong(w.key, "is %s; want whole milliseconds from 1ms", w.value)
		}
	}
	return oneOf("action", orDefault(s.Action, ActionFlag), ActionFlag, ActionReject)
}

// or returns the value, or the default for nil.
func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

func (s *Bots) build(e *env, fields []record.Field) (rule, []record.Field, error) {
	b := &botRule{reject: s.Action == ActionReject, item: -1}
	var err error
	if b.user, err = find(fields, "user", s.User); err != nil {
		return nil, nil, err
	}
	if b.time, err = find(fields, "time", s.Time, record.Time); err != nil {
		return nil, nil, err
	}
	items := 0
	if s.Item != "" {
		if b.item, err = find(fields, "item", s.Item); err != nil {
			return nil, nil, err
		}
		items = or(s.MaxItems, DefaultBotItems)
	}
	window, itemsWindow := s.Window, s.ItemsWindow
	if window == 0 {
		window = DefaultBotWindow
	}
	if itemsWindow == 0 {
		itemsWindow = DefaultBotItemsWindow
	}
	b.judge = newBotJudge(or(s.MaxEvents, DefaultBotEvents), window.Milliseconds(), or(s.Regular, DefaultBotRegular), or(s.Regularity, DefaultBotRegularity),
		items, itemsWindow.Milliseconds())
	b.events = e.sorter("events", e.memory*3/4)
	b.found = e.sorter("bots", e.memory/8)
	b.chosen = e.sorter("chosen", e.memory/8)
	if b.reject {
		return b, fields, nil
	}
	name := s.mark()
	if record.FieldIndex(fields, name) >= 0 {
		return nil, nil, wrong("field", "there is a field %q already; name another", name)
	}
	return b, append(append([]record.Field(nil), fields...), record.Field{Name: name, Type: record.Bool}), nil
}

// mark returns the field that tells bots apart.
func (s *Bots) mark() string { return orDefault(s.Field, "bot") }

// Reasons why a user is a bot.
const (
	botEvents = iota
	botRegular
	botItems
	botReasons
)

var botReasonNames = [botReasons]string{"bot: too many events", "bot: too regular", "bot: too many items"}

// botRule sorts events by user, time and number, judges one user after the other, and chooses the records of bots.
type botRule struct {
	user, time, item int
	reject           bool
	judge            *botJudge

	events  *sorter
	found   *sorter // places of bots among the sorted users, with the reason
	chosen  *sorter // numbers of records, with the reason
	cursor  *sortCursor
	more    bool
	payload []byte
}

// botTail is the size of what stands behind the user in an entry: time, number, and hash of the item.
const botTail = 24

// noTime sorts records without a time behind the others of the user.
const noTime = math.MaxUint64

func (b *botRule) observe(n int64, r *record.Record) error {
	user := r.Values[b.user]
	if user.IsNull() {
		return nil
	}
	p := record.AppendValue(b.payload[:0], user)
	hash := xxhash.Sum64(p)
	when := uint64(noTime)
	if v := r.Values[b.time]; !v.IsNull() {
		when = uint64(v.Millis()) ^ 1<<63
	}
	p = binary.BigEndian.AppendUint64(p, when)
	p = binary.BigEndian.AppendUint64(p, uint64(n))
	item := uint64(0) // none
	if b.item >= 0 && !r.Values[b.item].IsNull() {
		end := len(p)
		p = record.AppendValue(p, r.Values[b.item])
		item = xxhash.Sum64(p[end:])
		p = p[:end]
	}
	b.payload = binary.BigEndian.AppendUint64(p, item)
	return b.events.add(hash, b.payload)
}

// eachUser calls f for the events in order; user counts users from 0.
func (b *botRule) eachUser(ctx context.Context, f func(user uint64, when, number, item uint64) error) error {
	c, err := b.events.cursor()
	if err != nil {
		return err
	}
	var key []byte
	var hash, user uint64
	for n := 0; c.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		end := len(c.payload) - botTail
		if end < 0 {
			return errEntry
		}
		if n > 0 && (hash != c.key || string(key) != string(c.payload[:end])) {
			user++
		}
		hash, key = c.key, append(key[:0], c.payload[:end]...)
		tail := c.payload[end:]
		if err := f(user, binary.BigEndian.Uint64(tail), binary.BigEndian.Uint64(tail[8:]), binary.BigEndian.Uint64(tail[16:])); err != nil {
			return err
		}
	}
	return c.err
}

func (b *botRule) prepare(ctx context.Context, c *counter) error {
	users, known := int64(0), false
	var count [botReasons]int64
	err := b.eachUser(ctx, func(user, when, _, item uint64) error {
		if int64(user) == users {
			b.judge.begin()
			users++
			known = false
		}
		if known || when == noTime {
			return nil
		}
		reason, bot := b.judge.event(int64(when^1<<63), item)
		if !bot {
			return nil
		}
		known = true
		count[reason]++
		return b.found.add(user, []byte{byte(reason)})
	})
	if err != nil {
		return err
	}
	c.statistic("", "", "users", float64(users))
	for i, n := range count {
		c.statistic("", "", botReasonNames[i], float64(n))
	}
	bots, err := b.found.cursor()
	if err != nil {
		return err
	}
	more := bots.next()
	err = b.eachUser(ctx, func(user, _, number, _ uint64) error {
		for more && bots.key < user {
			more = bots.next()
		}
		if !more || bots.key != user {
			return nil
		}
		return b.chosen.add(number, bots.payload)
	})
	if err = firstError(err, bots.err, b.events.remove(), b.found.remove()); err != nil {
		return err
	}
	if b.cursor, err = b.chosen.cursor(); err != nil {
		return err
	}
	b.more = b.cursor.next()
	return b.cursor.err
}

func (b *botRule) apply(n int64, r *record.Record, c *counter) (string, error) {
	bot := b.more && b.cursor.key == uint64(n)
	if bot && b.reject {
		if len(b.cursor.payload) != 1 || b.cursor.payload[0] >= botReasons {
			return "", errEntry
		}
		reason := botReasonNames[b.cursor.payload[0]]
		b.more = b.cursor.next()
		return reason, b.cursor.err
	}
	if bot {
		b.more = b.cursor.next()
		c.changed = true
		c.report.Values++
	}
	if !b.reject {
		r.Values = append(r.Values, record.OfBool(bot))
	}
	return "", b.cursor.err
}

func (b *botRule) remove() error { return removeAll(b.events, b.found, b.chosen) }
