package markov

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
)

// ErrCorrupt is matched by the error of a file that is not a whole model.
var ErrCorrupt = errors.New("corrupt file of Markov chains")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Outcome is what may come next, with its probability.
type Outcome struct {
	// Behavior is a name, or End.
	Behavior    string
	Probability float64
}

// Predictor is what a model of chains can tell beside recommendations. It is safe for concurrent use.
type Predictor interface {
	train.Model
	// Behaviors returns the names that the behaviors of events count.
	Behaviors() []string
	// NextBehaviors returns what the session goes on with that the last of events is of, oldest first: all behaviors and End, most probable first. Of no events it tells how sessions
	// begin. It returns an error matching model.ErrQuery for a behavior that is not of the model.
	NextBehaviors(events []train.Event) ([]Outcome, error)
	// NextItems returns the n most probable next items of that session; it leaves none out but the last, which cannot follow itself.
	NextItems(events []train.Event, n int) ([]model.Scored, error)
	// Chain returns the chain of behaviors, with Start as a state.
	Chain() *Chain
}

var _ Predictor = (*Model)(nil)

// Model is chains, in a file in memory. It is immutable and safe for concurrent use.
type Model struct {
	reader
	users, recent int
	decay         float64
	ofBehaviors   []table // of the orders from 0
	ofItems       []table // of the orders from 1
	counts        []byte  // of order 0, by item
	total, kinds  float64 // the sum of counts, and how many are not 0
	popular       []uint32
	chain         *Chain
}

// Read makes a model of a file, which it refers to. It returns an error matching ErrCorrupt for anything but a whole one. Cost: that of reading the file. Memory: 4 bytes for each item.
func Read(b []byte) (*Model, error) {
	r := model.NewReader(b)
	r.Magic(magic)
	r.Version(version)
	order, session, recent, behaviors := r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32()
	items, users, decay, gap := r.Uint64(), r.Uint64(), r.Float64(), r.Uint64()
	if order < 1 || order > maxOrder || int(session) >= len(sessions) || recent < 1 || recent > 100 || behaviors < 1 || behaviors > 256 ||
		items > uint64(len(b))/4 || users > math.MaxInt32 || !(decay >= 0 && decay <= 1) || gap > math.MaxInt64/2 {
		r.Fail("order %d, session %d, recent %d, %d behaviors, %d items, %d users, decay %v, gap %d", order, session, recent, behaviors, items, users, decay, gap)
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, r.Err())
	}
	m := &Model{decay: decay, users: int(users), recent: int(recent)}
	m.order, m.session, m.items, m.gap = int(order), int(session), int(items), int64(gap)
	for range behaviors {
		skipped := r.Uint8()
		name := string(r.Take(uint64(r.Uint8()), 1))
		if name == "" || name == Start || name == End || slices.Contains(m.behaviors, name) || skipped > 1 {
			return nil, corrupt("behavior %q", name)
		}
		m.behaviors, m.skipped = append(m.behaviors, name), append(m.skipped, skipped == 1)
	}
	m.counts = r.Take(items, 4)
	var err error
	if m.ofBehaviors, err = readTables(r, 0, m.order, len(m.behaviors)+2); err != nil {
		return nil, err
	}
	if m.ofItems, err = readTables(r, 1, m.order, m.items); err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	for i := range m.ofBehaviors {
		if err := checkNext(&m.ofBehaviors[i], start(len(m.behaviors))); err != nil {
			return nil, err
		}
	}
	m.count()
	if m.chain, err = m.makeChain(); err != nil {
		return nil, corrupt("%v", err)
	}
	return m, nil
}

// readTables reads those of orders, to is the last.
func readTables(r *model.Reader, from, to, alphabet int) (out []table, err error) {
	for m := from; m <= to; m++ {
		t, err := readTable(r, m, alphabet)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// checkNext returns an error if a symbol comes next that cannot.
func checkNext(t *table, never uint32) error {
	for k := range len(t.rows) / 8 {
		if next, _ := t.gram(k); next == never {
			return corrupt("a start comes after something")
		}
	}
	return nil
}

// count makes the order of popularity: that of how often each item is in sequences.
func (m *Model) count() {
	all := make([]int64, m.items)
	for i := range all {
		all[i] = int64(word(m.counts, i))
		if m.total += float64(all[i]); all[i] > 0 {
			m.kinds++
		}
	}
	m.popular = popularity.Order(all)
}

// makeChain makes the chain of relative frequencies. What was never seen is followed by the end.
func (m *Model) makeChain() (*Chain, error) {
	n := len(m.behaviors)
	names := append(slices.Clone(m.behaviors), Start)
	p := make([][]float64, n+1)
	for i := range p {
		p[i] = make([]float64, n+1)
		begin, stop := m.ofBehaviors[1].find([]uint32{uint32(i)})
		total := m.ofBehaviors[1].sum(begin, stop)
		for k := begin; k < stop; k++ {
			if next, c := m.ofBehaviors[1].gram(k); int(next) < n {
				p[i][next] = float64(c) / total
			}
		}
	}
	return NewChain(names, p)
}

// Behaviors implements Predictor. The caller must not change it.
func (m *Model) Behaviors() []string { return m.behaviors }

// Chain implements Predictor.
func (m *Model) Chain() *Chain { return m.chain }

// lastSession returns the session of the last event.
func (m *Model) lastSession(events []train.Event) (last []train.Event) {
	if len(events) == 0 {
		return nil
	}
	basket := events[len(events)-1].Basket
	if m.session == perBasket {
		for _, e := range events {
			if e.Basket == basket {
				last = append(last, e)
			}
		}
		return last
	}
	from := len(events) - 1
	for from > 0 && m.joined(&events[from-1], &events[from]) {
		from--
	}
	return events[from:]
}

// NextBehaviors implements Predictor. Cost: O(behaviors).
func (m *Model) NextBehaviors(events []train.Event) ([]Outcome, error) {
	n := len(m.behaviors)
	sequence := []uint32{start(n)}
	for _, e := range m.lastSession(events) {
		if int(e.Behavior) >= n {
			return nil, fmt.Errorf("%w: behavior %d of %d", model.ErrQuery, e.Behavior, n)
		}
		sequence = append(sequence, uint32(e.Behavior))
	}
	a := next(m.ofBehaviors, sequence)
	p := make([]float64, n+2)
	for _, x := range a.parts {
		for k := x.begin; k < x.end; k++ {
			s, c := x.table.gram(k)
			p[s] += float64(c) * x.each
		}
	}
	var out []Outcome
	for i, name := range append(slices.Clone(m.behaviors), End) {
		at := i
		if i == n {
			at = int(end(n))
		}
		out = append(out, Outcome{name, p[at] + a.uniform/float64(n+1)})
	}
	slices.SortStableFunc(out, func(a, b Outcome) int { return cmp.Compare(b.Probability, a.Probability) })
	return out, nil
}

// NextItems implements Predictor.
func (m *Model) NextItems(events []train.Event, n int) ([]model.Scored, error) {
	if n < 0 {
		return nil, fmt.Errorf("%w: N is %d, want 0 or more", model.ErrQuery, n)
	}
	var sequence []uint32
	session := m.lastSession(events)
	for i := range session {
		sequence, _ = m.next(sequence, &session[i])
	}
	var excluded []uint32
	if len(sequence) > 0 {
		excluded = sequence[len(sequence)-1:]
	}
	return m.rank(sequence, n, excluded), nil
}

// Recommend returns the most probable next items of a history, in the order of its times and then of its items. Its score is a probability. Items are filled up from popularity where nothing is known of
// what comes after any of the last items. Cost: O(N + what ever came after the last items).
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := q.Check(m.items, m.users); err != nil {
		return nil, err
	}
	order := make([]int, len(q.Items))
	for i := range order {
		order[i] = i
	}
	if q.Times != nil {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(q.Times[a], q.Times[b]) })
	}
	sequence := make([]uint32, len(order))
	for i, k := range order {
		sequence[i] = q.Items[k]
	}
	return m.rank(sequence, q.N, q.Excluded()), nil
}

// rank returns the n most probable next items of a sequence but those that are excluded, ascending.
func (m *Model) rank(sequence []uint32, n int, excluded []uint32) []model.Scored {
	var total float64
	for j, w := 0, 1.0; j < min(m.recent, len(sequence)); j, w = j+1, w*m.decay {
		total += w
	}
	scores := map[uint32]float64{}
	rest := 0.0 // what the distribution without context has
	known := false
	for j, w := 0, 1.0; j < min(m.recent, len(sequence)); j, w = j+1, w*m.decay {
		share := w / total
		a := next(m.ofItems, sequence[:len(sequence)-j])
		for _, x := range a.parts {
			known = known || share > 0
			for k := x.begin; k < x.end; k++ {
				item, c := x.table.gram(k)
				scores[item] += share * x.each * float64(c)
			}
		}
		rest += share * a.uniform
	}
	if !known {
		return model.Fill(nil, n, m.popular, excluded)
	}
	n = min(n, m.items)
	out := make([]model.Scored, 0, len(scores)+n)
	for item, x := range scores {
		if _, ok := slices.BinarySearch(excluded, item); !ok {
			out = append(out, model.Scored{Item: item, Score: x + rest*m.plain(item)})
		}
	}
	// Of all others the most popular are the most probable.
	left := n
	for _, item := range m.popular {
		if left == 0 {
			break
		}
		if _, ok := scores[item]; ok {
			continue
		}
		if _, ok := slices.BinarySearch(excluded, item); !ok {
			out = append(out, model.Scored{Item: item, Score: rest * m.plain(item)})
			left--
		}
	}
	slices.SortFunc(out, model.Scored.Compare)
	return out[:min(n, len(out))]
}

// plain returns the probability of an item without context.
func (m *Model) plain(item uint32) float64 {
	if m.kinds == 0 {
		return 1 / float64(m.items)
	}
	return (float64(word(m.counts, int(item))) + m.kinds/float64(m.items)) / (m.total + m.kinds)
}
