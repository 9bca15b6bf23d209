package markov_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/markov"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func settings(t interface{ Fatal(...any) }, given map[string]string) model.Settings {
	s, err := model.ParseSettings(markov.Kind.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12*max(1, math.Abs(b)) }

// TestPath has the chance of view → cart → buy → cancel where P(cart|view) = 0.6, P(buy|cart) = 0.8 and P(cancel|buy) = 0.2. It is the product of all three,
// 0.6 · 0.8 · 0.2 = 0.096. A text that says 0.12 has left one out: 0.6 · 0.2 skips the step from cart to buy.
func TestPath(t *testing.T) {
	c, err := markov.NewChain([]string{"view", "cart", "buy", "cancel"}, [][]float64{{0, 0.6, 0, 0}, {0, 0, 0.8, 0}, {0, 0, 0, 0.2}, {0, 0, 0, 0}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Path("view", "cart", "buy", "cancel"); err != nil || !near(p, 0.096) || near(p, 0.12) {
		t.Errorf("probability %v, error %v, want 0.096", p, err)
	}
	// The only way to cancel, so three steps ahead it is as likely, and so it is at all.
	ahead, err := c.Ahead("view", 3)
	if err != nil || !near(ahead[3], 0.096) || !near(ahead[4], 1-0.096) {
		t.Errorf("three steps ahead %v, error %v, want 0.096 for cancel, and else the end", ahead, err)
	}
	fates, err := c.Stopping("cancel")
	if err != nil || fates[0].From != "view" || !near(fates[0].Chance[0], 0.096) || !near(fates[0].Steps, 1+0.6+0.6*0.8) {
		t.Errorf("fates %+v, error %v, want 0.096 from view in 2.08 steps", fates, err)
	}
	if _, err := c.Path("view", "pay"); !errors.Is(err, markov.ErrState) {
		t.Errorf("an unknown state gives error %v", err)
	}
}

// TestRuin is the fair game of a gambler, whose chances are known: from i of n the chance to get n is i/n, in i(n-i) steps either way.
func TestRuin(t *testing.T) {
	const n = 6
	var names []string
	p := make([][]float64, n)
	for i := range n {
		names = append(names, strconv.Itoa(i+1))
		p[i] = make([]float64, n)
		if i > 0 {
			p[i][i-1] = 0.5 // from 1 the game ends
		}
		if i+1 < n {
			p[i][i+1] = 0.5
		}
	}
	c, err := markov.NewChain(names, p)
	if err != nil {
		t.Fatal(err)
	}
	fates, err := c.Stopping(strconv.Itoa(n))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range fates {
		k := float64(i + 1)
		if f.From != names[i] || !near(f.Chance[0], k/n) || !near(f.Chance[1], 1-k/n) || !near(f.Steps, k*(n-k)) {
			t.Errorf("from %s: %+v, want chance %v in %v steps", names[i], f, k/n, k*(n-k))
		}
	}
}

func TestNewChainRefuses(t *testing.T) {
	for name, p := range map[string][][]float64{
		"above 1": {{0.6, 0.6}, {0, 0}}, "negative": {{-0.1, 0}, {0, 0}}, "not a number": {{math.NaN(), 0}, {0, 0}}, "short": {{0}, {0, 0}}, "one row": {{0, 0}},
	} {
		if _, err := markov.NewChain([]string{"a", "b"}, p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := markov.NewChain([]string{"a", "a"}, [][]float64{{0, 0}, {0, 0}}); err == nil {
		t.Error("a state is there twice, but there is no error")
	}
	c, err := markov.NewChain([]string{"a", "b"}, [][]float64{{0, 1}, {1, 0}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stopping(); err == nil || !strings.Contains(err.Error(), "a") {
		t.Errorf("a chain that never ends gives error %v", err)
	}
}

// TestChainIsBruteForce: powers are repeated steps, and fates are where the chain is after a great many of them.
func TestChainIsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "states")
		var names []string
		p := make([][]float64, n)
		for i := range n {
			names = append(names, fmt.Sprint("s", i))
			for range n {
				p[i] = append(p[i], float64(rapid.IntRange(0, 9).Draw(t, "p"))/float64(10*n)) // at least a tenth ends
			}
		}
		c, err := markov.NewChain(names, p)
		if err != nil {
			t.Fatal(err)
		}
		stop := rapid.IntRange(0, n-1).Draw(t, "stop")
		steps := rapid.IntRange(0, 6).Draw(t, "steps")
		got, err := c.Ahead(names[0], steps)
		if err != nil {
			t.Fatal(err)
		}
		step := func(at []float64, absorbing int) []float64 {
			next := make([]float64, n+1)
			next[n] = at[n]
			for i := range n {
				rest := at[i]
				for j := range n {
					if i != absorbing {
						next[j] += at[i] * p[i][j]
						rest -= at[i] * p[i][j]
					}
				}
				if i == absorbing {
					next[i] += at[i]
				} else {
					next[n] += rest
				}
			}
			return next
		}
		at := make([]float64, n+1)
		at[0] = 1
		for range steps {
			at = step(at, -1)
		}
		for j := range at {
			if !near(got[j], at[j]) {
				t.Fatalf("%d steps ahead %v, want %v", steps, got, at)
			}
		}
		fates, err := c.Stopping(names[stop])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fates {
			at := make([]float64, n+1)
			at[slices.Index(names, f.From)] = 1
			var expected float64
			for range 500 {
				expected += 1 - at[stop] - at[n]
				at = step(at, stop)
			}
			if math.Abs(f.Chance[0]-at[stop]) > 1e-9 || math.Abs(f.Chance[1]-at[n]) > 1e-9 || math.Abs(f.Steps-expected) > 1e-9 {
				t.Fatalf("%+v, want %v, %v and %v steps", f, at[stop], at[n], expected)
			}
		}
	})
}

var names = []string{"view", "cart", "purchase"}

// shop draws events of users.
func shop(t *rapid.T, items int) (users [][]train.Event) {
	for range rapid.IntRange(0, 8).Draw(t, "users") {
		var events []train.Event
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			e := train.Event{
				Item: uint32(rapid.IntRange(0, items).Draw(t, "item")), Behavior: uint8(rapid.IntRange(0, 2).Draw(t, "behavior")),
				Time: int64(rapid.IntRange(1, 400).Draw(t, "minute")) * 60_000, Basket: uint64(rapid.IntRange(0, 2).Draw(t, "basket")), Value: 1,
			}
			if int(e.Item) == items {
				e.Item = train.NoItem
			}
			events = append(events, e)
		}
		slices.SortStableFunc(events, func(a, b train.Event) int { return int(a.Time - b.Time) })
		users = append(users, events)
	}
	return users
}

// trainOn trains on events and returns the file.
func trainOn(users [][]train.Event, items int, s model.Settings, workers int) ([]byte, error) {
	rows := &similarity.Rows{NumItems: items, Start: make([]int64, len(users)+1)}
	data := train.Split(rows, nil, workers)
	for _, d := range data {
		d.Shape.Behaviors = names
		first, end := d.Shape.FirstUser[d.Worker], d.Shape.FirstUser[d.Worker+1]
		d.Events = func(_ context.Context, f func(int, []train.Event) error) error {
			for u := first; u < end; u++ {
				if err := f(u, users[u]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return train.Run(context.Background(), markov.Kind, s, data, train.Options{})
}

// twin divides events into sessions and counts sequences in maps: an obvious form of what the package does.
type twin struct {
	counts map[string]map[int]float64
	units  int // symbols that may be next
}

func (w *twin) add(sequence []int, order int) {
	last := len(sequence) - 1
	for m := 0; m <= min(order, last); m++ {
		key := fmt.Sprint(sequence[last-m : last])
		if w.counts[key] == nil {
			w.counts[key] = map[int]float64{}
		}
		w.counts[key][sequence[last]]++
	}
}

// probability is Witten-Bell smoothing as it is written down.
func (w *twin) probability(context []int, next int) float64 {
	lower := 1 / float64(w.units)
	if len(context) > 0 {
		lower = w.probability(context[1:], next)
	}
	seen := w.counts[fmt.Sprint(context)]
	if len(seen) == 0 {
		return lower
	}
	var total float64
	for _, n := range seen {
		total += n
	}
	kinds := float64(len(seen))
	return (seen[next] + kinds*lower) / (total + kinds)
}

func sessionsOf(events []train.Event, how string) (out [][]train.Event) {
	by := map[uint64][]train.Event{}
	for i, e := range events {
		switch {
		case how == "basket":
			by[e.Basket] = append(by[e.Basket], e)
		case i == 0 || how == "gap" && e.Time-events[i-1].Time > 30*60_000:
			out = append(out, []train.Event{e})
		default:
			out[len(out)-1] = append(out[len(out)-1], e)
		}
	}
	for _, s := range by {
		out = append(out, s)
	}
	return out
}

func last(x []int, n int) []int { return x[max(0, len(x)-n):] }

// TestTrainedIsTwin: the probabilities are those of the twin and sum to 1, and the file is the same with any number of workers.
func TestTrainedIsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.IntRange(1, 6).Draw(t, "items")
		users := shop(t, items)
		order := rapid.IntRange(1, 3).Draw(t, "order")
		how := rapid.SampledFrom([]string{"basket", "gap", "user"}).Draw(t, "session")
		recent := rapid.IntRange(1, 3).Draw(t, "recent")
		s := settings(t, map[string]string{"order": strconv.Itoa(order), "session": how, "recent": strconv.Itoa(recent), "decay": "0.5"})
		file, err := trainOn(users, items, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{3, 5} {
			again, err := trainOn(users, items, s, workers)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(file, again) {
				t.Fatalf("%d workers make another file", workers)
			}
		}
		m, err := markov.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		const begin, end = 3, 4
		behaviors, ofItems := twin{map[string]map[int]float64{}, 4}, twin{map[string]map[int]float64{}, items}
		sequences := func(session []train.Event, f func(w *twin, sequence []int)) {
			b, x := []int{begin}, []int{}
			for _, e := range session {
				b = append(b, int(e.Behavior))
				f(&behaviors, b)
				if e.Item != train.NoItem && (len(x) == 0 || x[len(x)-1] != int(e.Item)) {
					x = append(x, int(e.Item))
					f(&ofItems, x)
				}
			}
			f(&behaviors, append(b, end))
		}
		for _, events := range users {
			for _, session := range sessionsOf(events, how) {
				sequences(session, func(w *twin, sequence []int) { w.add(sequence, order) })
			}
		}
		for _, events := range append(users, nil) {
			b, x := []int{begin}, []int{}
			if len(events) > 0 {
				of := sessionsOf(events, how)
				at := slices.IndexFunc(of, func(s []train.Event) bool {
					return how != "basket" && s[len(s)-1] == events[len(events)-1] || s[0].Basket == events[len(events)-1].Basket && how == "basket"
				})
				if how != "basket" {
					at = len(of) - 1
				}
				sequences(of[at], func(w *twin, sequence []int) {
					if w == &ofItems {
						x = slices.Clone(sequence)
					} else if sequence[len(sequence)-1] != end {
						b = slices.Clone(sequence)
					}
				})
			}
			outcomes, err := m.NextBehaviors(events)
			if err != nil {
				t.Fatal(err)
			}
			var sum float64
			for _, o := range outcomes {
				symbol := end
				if o.Behavior != markov.End {
					symbol = slices.Index(names, o.Behavior)
				}
				if want := behaviors.probability(last(b, order), symbol); !near(o.Probability, want) {
					t.Fatalf("after %v %s has probability %v, want %v", b, o.Behavior, o.Probability, want)
				}
				sum += o.Probability
			}
			if !near(sum, 1) {
				t.Fatalf("probabilities of behaviors sum to %v: %v", sum, outcomes)
			}
			answer, err := m.NextItems(events, items)
			if err != nil {
				t.Fatal(err)
			}
			if len(answer) == 0 || answer[0].Filled {
				continue
			}
			// The mixture over the last items, with weights that halve.
			mixed := func(item int) (p float64) {
				var total float64
				for j, w := 0, 1.0; j < min(recent, len(x)); j, w = j+1, w/2 {
					total += w
					p += w * ofItems.probability(last(x[:len(x)-j], order), item)
				}
				return p / total
			}
			sum = 0
			for _, a := range answer {
				want := mixed(int(a.Item))
				if !near(a.Score, want) {
					t.Fatalf("after %v item %d has probability %v, want %v", x, a.Item, a.Score, want)
				}
				sum += a.Score
			}
			sum += mixed(x[len(x)-1]) // left out
			first, err := m.NextItems(events, 2)
			if err != nil || !slices.Equal(first, answer[:min(2, len(answer))]) {
				t.Fatalf("the first two of %v are %v, error %v", answer, first, err)
			}
			if !near(sum, 1) || len(answer) != items-1 {
				t.Fatalf("probabilities of %d items sum to %v", len(answer), sum)
			}
		}
		c := m.Chain()
		for i, from := range c.States()[:3] {
			seen := behaviors.counts[fmt.Sprint([]int{i})]
			var total float64
			for _, n := range seen {
				total += n
			}
			for j, to := range c.States()[:3] {
				want := 0.0
				if total > 0 {
					want = seen[j] / total
				}
				if p, err := c.Path(from, to); err != nil || !near(p, want) {
					t.Fatalf("%s after %s has probability %v, want %v", to, from, p, want)
				}
			}
		}
	})
}

func TestModel(t *testing.T) {
	modeltest.RunImpersonal(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
		file, err := train.Run(t.Context(), markov.Kind, settings(t, nil), train.Split(rows, nil, 2), train.Options{})
		if err != nil {
			return nil, err
		}
		return markov.Read(file)
	})
}

// TestOrderMatters: users go through a ring of items, each from another place. The next of the ring is the answer, whatever the ids are; with order 2 it is right where rings of
// both directions are mixed, and the item before says which.
func TestOrderMatters(t *testing.T) {
	const items = 12
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	var times []int64
	for u := range 2 * items {
		way := 1 - 2*(u%2)
		at := map[uint32]int64{}
		for k := range 5 {
			at[uint32((u/2+way*k+items)*5%items)] = int64(1000 + k)
		}
		for id := range uint32(items) {
			if at[id] > 0 {
				rows.Item, times = append(rows.Item, id), append(times, at[id])
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	for workers := 1; workers <= 5; workers += 2 {
		file, err := train.Run(t.Context(), markov.Kind, settings(t, map[string]string{"recent": "1"}), train.Split(rows, times, workers), train.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := markov.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		for u := range 2 * items {
			way := 1 - 2*(u%2)
			q := model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], Times: times[rows.Start[u]:rows.Start[u+1]], N: 3}
			answer, err := m.Recommend(q)
			if err != nil {
				t.Fatal(err)
			}
			if want := uint32((u/2 + way*5 + items) * 5 % items); len(answer) != 3 || answer[0].Item != want || answer[0].Filled {
				t.Errorf("%d workers, user %d: %+v, want item %d first", workers, u, answer, want)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	users := [][]train.Event{{{Item: 0, Value: 1}, {Item: 1, Behavior: 7}}}
	if _, err := trainOn(users, 2, settings(t, nil), 1); err == nil {
		t.Error("an event is of a behavior that is not there, but there is no error")
	}
	if _, err := trainOn(nil, 2, settings(t, map[string]string{"behavior": "click"}), 1); err == nil || !strings.Contains(err.Error(), "purchase") {
		t.Errorf("error %v, want one that names the behaviors there are", err)
	}
	file, err := trainOn(nil, 2, settings(t, nil), 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := markov.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.NextBehaviors([]train.Event{{Behavior: 3}}); !errors.Is(err, model.ErrQuery) {
		t.Errorf("error %v, want one matching ErrQuery", err)
	}
	if _, err := m.NextItems(nil, -1); !errors.Is(err, model.ErrQuery) {
		t.Errorf("error %v, want one matching ErrQuery", err)
	}
}

func FuzzRead(f *testing.F) {
	users := [][]train.Event{{{Item: 0}, {Item: 1, Behavior: 1}, {Item: 2, Behavior: 2}}, {{Item: 1}, {Item: 2, Behavior: 1}}, {{Item: 0}, {Item: 1, Behavior: 1}, {Item: 0}}}
	for _, order := range []string{"1", "3"} {
		file, err := trainOn(users, 3, settings(f, map[string]string{"order": order}), 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		for at := 8; at < len(file); at += 13 {
			damaged := slices.Clone(file)
			damaged[at] ^= 0x83
			f.Add(damaged)
		}
		f.Add(file[:len(file)-4])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := markov.Read(file)
		if err != nil {
			if !errors.Is(err, markov.ErrCorrupt) {
				t.Fatalf("error %v, want one matching ErrCorrupt", err)
			}
			return
		}
		var events []train.Event
		for i := range m.Behaviors() {
			events = append(events, train.Event{Item: uint32(i), Behavior: uint8(i)})
		}
		outcomes, err := m.NextBehaviors(events)
		var sum float64
		for _, o := range outcomes {
			sum += o.Probability
		}
		if err != nil || math.Abs(sum-1) > 1e-9 {
			t.Fatalf("behaviors %v, error %v", outcomes, err)
		}
		if _, err := m.NextItems(events, 5); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Chain().Ahead(markov.Start, 3); err != nil {
			t.Fatal(err)
		}
		_, _ = m.Chain().Stopping(m.Behaviors()[0]) // a chain may never end
	})
}
