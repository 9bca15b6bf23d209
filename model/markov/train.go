package markov

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// Kind is the kind of model of this package.
var Kind = &train.Kind{
	Name: "markov",
	Doc:  "Markov chains: the next behavior of a session, and the next item",
	Parameters: []model.Parameter{
		{Name: "order", Doc: "how many of the last steps the next one depends on, at most", Default: 2, Low: 1, High: maxOrder, Whole: true, Search: [2]float64{1, maxOrder}},
		{Name: "session", Doc: "what divides the events of a user: baskets, pauses, or nothing", Default: perGap, Choices: sessions},
		{Name: "gap", Doc: "minutes of a pause between two sessions, where session is gap", Default: 30, Low: 1, High: 1e6},
		{Name: "behavior", Doc: "the items of which behavior are a sequence", Choices: []string{"any", "purchase", "cart", "view", "click", "rating", "search"}},
		{Name: "recent", Doc: "how many of the last items an answer goes on from", Default: 5, Low: 1, High: 100, Whole: true, Search: [2]float64{1, 20}, Log: true},
		{Name: "decay", Doc: "weight of an item before the last, and of one before that its square, and so on", Default: 0.7, Low: 0, High: 1, Search: [2]float64{0.1, 1}},
	},
	NewDriver: func(shape train.Shape, s model.Settings) (train.Driver, error) {
		_, err := newReader(&shape, s)
		return &driver{}, err
	},
	NewWorker: func(data *train.Data, s model.Settings, _ int) (train.Worker, error) {
		r, err := newReader(&data.Shape, s)
		return &worker{data, r}, err
	},
	Write: write,
	Read:  func(file []byte) (train.Model, error) { return Read(file) },
}

// sessions are the ways to divide events.
var sessions = []string{"basket", "gap", "user"}

// The places of sessions.
const (
	perBasket = iota
	perGap
)

// reader makes sequences of events.
type reader struct {
	items, order int
	behaviors    []string
	session      int
	gap          int64 // in milliseconds
	// skipped tells of each behavior that its items are not of the sequence.
	skipped []bool
}

// unnamed is the behavior of the entries of a matrix.
const unnamed = "event"

func newReader(shape *train.Shape, s model.Settings) (*reader, error) {
	r := &reader{
		items: shape.Items, order: s.Whole("order"), behaviors: shape.Behaviors,
		session: s.Whole("session"), gap: int64(s.Number("gap") * 60_000),
	}
	want := s.Choice("behavior")
	if len(r.behaviors) == 0 {
		r.behaviors = []string{unnamed}
	}
	if want != "any" && !slices.Contains(r.behaviors, want) {
		return nil, fmt.Errorf("no event is of behavior %q, only of %q; name one of them by the setting behavior, or any", want, r.behaviors)
	}
	for _, name := range r.behaviors {
		if name == Start || name == End {
			return nil, fmt.Errorf("behavior %q has the name of a state of a chain", name)
		}
		r.skipped = append(r.skipped, want != "any" && name != want || name == "cancel" || name == "impression")
	}
	return r, nil
}

// The symbols of the start and the end of a session come after those of the behaviors.
func start(behaviors int) uint32 { return uint32(behaviors) }
func end(behaviors int) uint32   { return uint32(behaviors) + 1 }

// split divides the events of a user. Those of one basket are together, whatever came between them. It changes the order of events.
func (r *reader) split(events []train.Event, f func(session []train.Event) error) error {
	if r.session == perBasket {
		slices.SortStableFunc(events, func(a, b train.Event) int { return cmp.Compare(a.Basket, b.Basket) })
	}
	for len(events) > 0 {
		n := 1
		for n < len(events) && r.joined(&events[n-1], &events[n]) {
			n++
		}
		if err := f(events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// joined tells whether two events, one after the other, are of one session.
func (r *reader) joined(a, b *train.Event) bool {
	switch r.session {
	case perBasket:
		return a.Basket == b.Basket
	case perGap:
		return a.Time == 0 || b.Time == 0 || b.Time-a.Time <= r.gap
	}
	return true
}

// driver goes through the steps: in count each worker counts its sequences, in add each adds up those that it owns.
type driver struct{ done int }

var steps = []string{"count", "add"}

func (d *driver) Progress() float64 { return float64(d.done) / float64(len(steps)) }

func (d *driver) Next([][]byte) (train.Step, bool, error) {
	if d.done == len(steps) {
		return train.Step{}, true, nil
	}
	d.done++
	return train.Step{Name: steps[d.done-1]}, false, nil
}

type worker struct {
	data *train.Data
	*reader
}

func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case "count":
		return nil, w.count(ctx, peers)
	case "add":
		return nil, w.add(ctx, peers)
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

func ownerName(worker int) string { return "owner." + strconv.Itoa(worker) }

func (w *worker) count(ctx context.Context, peers train.Peers) error {
	var behaviors, items tally
	var events []train.Event
	err := w.data.Histories(ctx, func(_ int, all []train.Event) error {
		events = append(events[:0], all...)
		return w.split(events, func(session []train.Event) error {
			if err := w.countBehaviors(&behaviors, session); err != nil {
				return err
			}
			return w.countItems(&items, session)
		})
	})
	if err != nil {
		return err
	}
	for m := range maxOrder + 1 {
		if err := behaviors.settle(m); err != nil {
			return err
		}
		if err := items.settle(m); err != nil {
			return err
		}
	}
	if err := peers.Put("behaviors", behaviors.encode(w.order, func(int, gram) bool { return true })); err != nil {
		return err
	}
	for owner := range w.data.Shape.Workers() {
		// The last item before the next, or of order 0 this, says whose it is.
		b := items.encode(w.order, func(m int, g gram) bool {
			id := g.context[0]
			if m == 0 {
				id = g.next
			}
			return w.data.Shape.OwnerOf(int(id)) == owner
		})
		if err := peers.Put(ownerName(owner), b); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) countBehaviors(t *tally, session []train.Event) error {
	n := len(w.behaviors)
	sequence := []uint32{start(n)}
	for _, e := range session {
		if int(e.Behavior) >= n {
			return fmt.Errorf("an event is of behavior %d of %d", e.Behavior, n)
		}
		if sequence = append(sequence, uint32(e.Behavior)); len(sequence) > maxOrder+1 {
			sequence = sequence[1:]
		}
		if err := t.add(sequence, w.order); err != nil {
			return err
		}
	}
	return t.add(append(sequence, end(n)), w.order)
}

// next tells whether an event goes on with a sequence of items, and what it is then.
func (r *reader) next(sequence []uint32, e *train.Event) ([]uint32, bool) {
	if int64(e.Item) >= int64(r.items) || int(e.Behavior) >= len(r.skipped) || r.skipped[e.Behavior] || len(sequence) > 0 && sequence[len(sequence)-1] == e.Item {
		return sequence, false
	}
	return append(sequence, e.Item), true
}

func (w *worker) countItems(t *tally, session []train.Event) error {
	var sequence []uint32
	var last int64
	for i := range session {
		e := &session[i]
		if w.data.Events == nil && e.Time == last { // of a matrix: in no order
			sequence = sequence[:0]
		}
		last = e.Time
		longer, ok := w.next(sequence, e)
		if !ok {
			continue
		}
		sequence = longer
		if err := t.add(sequence, w.order); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) add(ctx context.Context, peers train.Peers) error {
	var sum tally
	for from := range w.data.Shape.Workers() {
		b, err := peers.Get(ctx, from, ownerName(w.data.Worker))
		if err == nil {
			err = sum.decode(b, w.order)
		}
		if err != nil {
			return fmt.Errorf("sequences of worker %d: %w", from, err)
		}
	}
	for m := range sum.grams {
		if err := sum.settle(m); err != nil {
			return err
		}
	}
	return peers.Put("items", sum.encode(w.order, func(int, gram) bool { return true }))
}

// The file has, little-endian:
//
//	8  magic "kithmark"
//	4  version, 1
//	4  order, then session, recent, behaviors: 4 each
//	8  items, users, decay as float64, gap in milliseconds: 8 each
//	   for each behavior: whether its items are left out, the length of its name, 1 each, and the name
//	   for each item: how often it is in sequences, 4
//	   tables of behaviors of the orders from 0, whose symbols are behaviors, start and end; then those of items from 1
const (
	magic   = "kithmark"
	version = 1
)

func write(ctx context.Context, shape train.Shape, s model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	r, err := newReader(&shape, s)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	out := []byte(magic)
	for _, x := range []int{version, r.order, r.session, s.Whole("recent"), len(r.behaviors)} {
		out = le.AppendUint32(out, uint32(x))
	}
	for _, x := range []uint64{uint64(r.items), uint64(shape.Users), math.Float64bits(s.Number("decay")), uint64(r.gap)} {
		out = le.AppendUint64(out, x)
	}
	for i, name := range r.behaviors {
		skipped := byte(0)
		if r.skipped[i] {
			skipped = 1
		}
		if len(name) == 0 || len(name) > math.MaxUint8 {
			return fmt.Errorf("behavior %q, want a name of 1 to %d bytes", name, math.MaxUint8)
		}
		out = append(append(out, skipped, byte(len(name))), name...)
	}
	var behaviors, items tally
	for from := range shape.Workers() {
		for name, sum := range map[string]*tally{"behaviors": &behaviors, "items": &items} {
			b, err := get(ctx, from, name)
			if err == nil {
				err = sum.decode(b, r.order)
			}
			if err != nil {
				return fmt.Errorf("%s of worker %d: %w", name, from, err)
			}
		}
	}
	for m := range r.order + 1 {
		if err := errors.Join(behaviors.settle(m), items.settle(m)); err != nil { // items are in order already
			return err
		}
	}
	counts := make([]uint32, r.items)
	for _, g := range items.grams[0] {
		counts[g.next] = g.count
	}
	for _, n := range counts {
		out = le.AppendUint32(out, n)
	}
	for m := range r.order + 1 {
		out = appendTable(out, m, behaviors.grams[m])
	}
	for m := 1; m <= r.order; m++ {
		out = appendTable(out, m, items.grams[m])
	}
	_, err = w.Write(out)
	return err
}
