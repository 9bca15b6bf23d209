package rules

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
	Name: "rules",
	Doc:  "association rules: who has a and b often has c",
	Parameters: []model.Parameter{
		{Name: "min-support", Doc: "share of the transactions that a set must be in; from 1 on, the number of them", Default: 0.001, Low: 1e-9, High: 1 << 31, Search: [2]float64{1e-4, 0.05}, Log: true},
		{Name: "min-confidence", Doc: "least share of the transactions with the left side of a rule that have the right one", Default: 0.05, Low: 0, High: 1},
		{Name: "min-lift", Doc: "least lift of a rule; below 1 the left side speaks against the right one", Default: 1, Low: 0, High: 1e9},
		{Name: "max-length", Doc: "largest number of items of a set, both sides of a rule together", Default: 3, Low: 2, High: 64, Whole: true, Search: [2]float64{2, 4}},
		{Name: "max-itemsets", Doc: "largest number of frequent sets; more are an error", Default: 2e6, Low: 1, High: 1e8, Whole: true},
		{Name: "behavior", Doc: "what makes a transaction; auto is purchase where there are any, and else all", Choices: behaviors},
		{Name: "from", Doc: "behavior of the left side: same as the right one, or another, as in viewed and then bought", Choices: slices.Concat([]string{"same"}, behaviors[1:])},
		{Name: "per", Doc: "whether a transaction is a basket, what a user does without a pause of 30 minutes, or all of a user", Choices: []string{"basket", "visit", "user"}},
		{Name: "score", Doc: "score of an item of an answer: the sum of the confidence of all rules that lead to it, or the most", Choices: []string{"sum", "most"}},
	},
	NewDriver: func(shape train.Shape, s model.Settings) (train.Driver, error) {
		if _, err := newPick(&shape, s); err != nil {
			return nil, err
		}
		return &driver{support: s.Number("min-support"), most: s.Whole("max-itemsets")}, nil
	},
	NewWorker: func(data *train.Data, s model.Settings, threads int) (train.Worker, error) {
		p, err := newPick(&data.Shape, s)
		return &worker{data: data, pick: p, maxLength: s.Whole("max-length"), most: s.Whole("max-itemsets"), threads: threads}, err
	},
	Write: write,
	Read:  func(file []byte) (train.Model, error) { return Read(file) },
}

// behaviors are those that settings may name.
var behaviors = []string{"auto", "any", "purchase", "cart", "view", "click", "rating", "search"}

// pick says which events are items of transactions.
type pick struct {
	sides
	// side tells of each behavior the side that it is on, or none.
	side []uint32
	per  string
}

// visitGap is the longest pause within a visit, in milliseconds: the usual half an hour.
const visitGap = 30 * 60_000

func newPick(shape *train.Shape, s model.Settings) (*pick, error) {
	p := &pick{sides: sides{1, shape.Items}, per: s.Choice("per")}
	behavior, from := s.Choice("behavior"), s.Choice("from")
	if behavior == "auto" {
		behavior = "any"
		if slices.Contains(shape.Behaviors, "purchase") {
			behavior = "purchase"
		}
	}
	if from == behavior {
		from = "same"
	}
	if from != "same" {
		p.n = 2
	}
	if len(shape.Behaviors) == 0 { // of a matrix
		if behavior != "any" || from != "same" {
			return nil, fmt.Errorf("behavior is %s and from is %s, but these data name no behaviors; want auto and same", behavior, from)
		}
		p.side = []uint32{0}
		return p, nil
	}
	for _, name := range []string{behavior, from} {
		if name != "any" && name != "same" && !slices.Contains(shape.Behaviors, name) {
			return nil, fmt.Errorf("no event is of behavior %q, only of %q; name one of them by the settings behavior and from", name, shape.Behaviors)
		}
	}
	for _, name := range shape.Behaviors {
		side := none
		switch {
		case name == behavior, behavior == "any" && (from == "same" || name != from) && counts(name):
			side = uint32(p.n - 1)
		case name == from, from == "any" && counts(name):
			side = 0
		}
		p.side = append(p.side, side)
	}
	return p, nil
}

// counts reports whether a behavior says that a user wants an item.
func counts(behavior string) bool { return behavior != "cancel" && behavior != "impression" }

// transactions calls f with each, ascending and unique items. They are only valid until f returns.
func (p *pick) transactions(ctx context.Context, data *train.Data, f func(items []uint32) error) error {
	type entry struct {
		basket uint64
		item   uint32
	}
	var entries []entry
	var items []uint32
	return data.Histories(ctx, func(_ int, events []train.Event) error {
		entries = entries[:0]
		var visit uint64
		for i, e := range events {
			if i > 0 && e.Time-events[i-1].Time > visitGap {
				visit++
			}
			if int(e.Behavior) >= len(p.side) {
				return fmt.Errorf("an event is of behavior %d of %d", e.Behavior, len(p.side))
			}
			side := p.side[e.Behavior]
			if side == none || int64(e.Item) >= int64(p.items) || e.Value < 0 {
				continue
			}
			x := entry{e.Basket, side*uint32(p.items) + e.Item}
			switch p.per {
			case "visit":
				x.basket = visit
			case "user":
				x.basket = 0
			}
			entries = append(entries, x)
		}
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.basket, b.basket), cmp.Compare(a.item, b.item)) })
		entries = slices.Compact(entries)
		for i := 0; i < len(entries); {
			items = items[:0]
			basket := entries[i].basket
			for ; i < len(entries) && entries[i].basket == basket; i++ {
				items = append(items, entries[i].item)
			}
			if err := f(items); err != nil {
				return err
			}
		}
		return nil
	})
}

// driver goes through the steps of parallel FP-growth.
type driver struct {
	support float64
	most    int
	done    int
	n       int64
}

// steps of a training. In count each worker counts its transactions and their items. In add each adds up the counts of its range of items. In deal, whose input is the
// least count, each puts for every group what it has of it. In mine each finds the sets of its group.
var steps = []string{"count", "add", "deal", "mine"}

func (d *driver) Progress() float64 { return float64(d.done) / float64(len(steps)) }

func (d *driver) Next(said [][]byte) (train.Step, bool, error) {
	var sum int64
	for i, b := range said {
		if len(b) == 0 {
			continue
		}
		n, size := binary.Uvarint(b)
		if size != len(b) || n > math.MaxInt64/uint64(len(said)) {
			return train.Step{}, false, fmt.Errorf("worker %d said %x, want a number", i, b)
		}
		sum += int64(n)
	}
	switch d.done {
	case 1:
		if d.n = sum; sum > math.MaxUint32 {
			return train.Step{}, false, fmt.Errorf("%d transactions, want up to %d", sum, uint32(math.MaxUint32))
		}
	case len(steps):
		if sum > int64(d.most) {
			return train.Step{}, false, tooMany(d.most)
		}
		return train.Step{}, true, nil
	}
	step := train.Step{Name: steps[d.done]}
	if step.Name == "deal" {
		step.Input = binary.AppendUvarint(binary.AppendUvarint(nil, uint64(d.n)), uint64(leastCount(d.support, d.n)))
	}
	d.done++
	return step, false, nil
}

// worker has the transactions of its users.
type worker struct {
	data *train.Data
	*pick
	maxLength, most, threads int
	// From deal on: the frequent items by rank, and the least count.
	frequent []uint32
	least    uint32
}

// columns is the number of counts: of each item on each side, and of its users.
func (p *pick) columns() int { return (p.n + 1) * p.items }

// share returns the range of counts that a worker adds up.
func (p *pick) share(worker, of int) (first, end int) {
	return worker * p.columns() / of, (worker + 1) * p.columns() / of
}

func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case "count":
		return w.count(ctx, peers)
	case "add":
		return nil, w.add(ctx, peers)
	case "deal":
		return nil, w.deal(ctx, step.Input, peers)
	case "mine":
		return w.mine(ctx, peers)
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

func (w *worker) count(ctx context.Context, peers train.Peers) ([]byte, error) {
	counts := make([]uint32, w.columns())
	var n uint64
	err := w.transactions(ctx, w.data, func(items []uint32) error {
		n++
		for _, id := range items {
			counts[id]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows := w.data.Rows
	for _, id := range rows.Item[rows.Start[0]:rows.Start[rows.NumUsers()]] {
		counts[w.n*w.items+int(id)]++
	}
	return binary.AppendUvarint(nil, n), peers.Put("counts", model.Bytes(counts))
}

func (w *worker) add(ctx context.Context, peers train.Peers) error {
	first, end := w.share(w.data.Worker, w.data.Shape.Workers())
	sums := make([]uint64, end-first)
	for from := range w.data.Shape.Workers() {
		b, err := peers.Get(ctx, from, "counts")
		if err != nil {
			return err
		}
		if len(b) != 4*w.columns() {
			return fmt.Errorf("worker %d put %d bytes of counts, want %d", from, len(b), 4*w.columns())
		}
		for i := range sums {
			sums[i] += uint64(binary.LittleEndian.Uint32(b[4*(first+i):]))
		}
	}
	out := make([]uint32, len(sums))
	for i, n := range sums {
		if out[i] = uint32(n); n > math.MaxUint32 {
			return fmt.Errorf("an item is in %d transactions, want up to %d", n, uint32(math.MaxUint32))
		}
	}
	return peers.Put("sums", model.Bytes(out))
}

type getter = func(ctx context.Context, worker int, name string) ([]byte, error)

// sums returns all counts.
func (p *pick) sums(ctx context.Context, workers int, get getter) ([]uint32, error) {
	out := make([]uint32, 0, p.columns())
	for from := range workers {
		b, err := get(ctx, from, "sums")
		if err != nil {
			return nil, err
		}
		out = append(out, model.View[uint32](b)...)
	}
	if len(out) != p.columns() {
		return nil, fmt.Errorf("workers have %d counts, want %d", len(out), p.columns())
	}
	return out, nil
}

// group is the worker that owns the sets whose least frequent item is of a rank. Neighboring ranks, which are about equally much work, go to different ones.
func group(rank uint32, workers int) int { return int(rank) % workers }

func groupName(g int) string { return "group." + strconv.Itoa(g) }

func (w *worker) deal(ctx context.Context, input []byte, peers train.Peers) error {
	_, least, err := readTotals(input)
	if err == nil {
		err = peers.Put("totals", input)
	}
	if err != nil {
		return err
	}
	peers.Drop("counts")
	workers := w.data.Shape.Workers()
	counts, err := w.sums(ctx, workers, peers.Get)
	if err != nil {
		return err
	}
	var ranks []uint32
	w.least = least
	w.frequent, ranks = rank(counts[:w.n*w.items], w.least)
	groups := make([]paths, workers)
	given := make([]bool, workers)
	var path []uint32
	err = w.transactions(ctx, w.data, func(items []uint32) error {
		path = ranked(path[:0], items, ranks)
		clear(given)
		for i := len(path) - 1; i >= 0; i-- {
			if g := group(path[i], workers); !given[g] {
				groups[g].add(path[:i+1], 1)
				given[g] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for g := range groups {
		if err := peers.Put(groupName(g), groups[g].sorted().encode()); err != nil {
			return err
		}
		groups[g] = paths{}
	}
	return nil
}

func (w *worker) mine(ctx context.Context, peers train.Peers) ([]byte, error) {
	workers := w.data.Shape.Workers()
	all := &paths{}
	for from := range workers {
		b, err := peers.Get(ctx, from, groupName(w.data.Worker))
		if err == nil {
			err = all.decode(b, uint32(len(w.frequent)))
		}
		if err != nil {
			return nil, fmt.Errorf("transactions of worker %d: %w", from, err)
		}
	}
	if workers > 1 {
		all = all.sorted()
	}
	m := &miner{least: w.least, maxLength: w.maxLength, most: w.most}
	if w.n == 2 {
		for _, id := range w.frequent {
			m.lone = append(m.lone, w.lone(id))
		}
	}
	lists, err := m.mine(ctx, all, len(w.frequent), func(r uint32) bool { return group(r, workers) == w.data.Worker }, w.threads)
	if err != nil {
		return nil, err
	}
	// One list after the other; the first set of each has no parent.
	var out []byte
	for _, list := range lists {
		for _, x := range list {
			out = model.Append(out, x.parent, x.rank, x.count)
		}
	}
	return binary.AppendUvarint(nil, uint64(m.sets.Load())), peers.Put("sets", out)
}

// encode writes sorted paths: of each the number of ranks in common with that before it, that of the others, these, and the times.
func (p *paths) encode() []byte {
	var out []byte
	var before []uint32
	for i, times := range p.times {
		path := p.at(i)
		common := 0
		for common < min(len(path), len(before)) && path[common] == before[common] {
			common++
		}
		out = binary.AppendUvarint(out, uint64(common))
		out = binary.AppendUvarint(out, uint64(len(path)-common))
		last := uint32(0)
		if common > 0 {
			last = path[common-1]
		}
		for _, r := range path[common:] {
			out = binary.AppendUvarint(out, uint64(r-last))
			last = r
		}
		out = binary.AppendUvarint(out, uint64(times))
		before = path
	}
	return out
}

var errPaths = errors.New("transactions are damaged")

// decode appends what encode wrote, of ranks below limit.
func (p *paths) decode(b []byte, limit uint32) error {
	next := model.NewReader(b)
	var path []uint32
	for next.Len() > 0 {
		common, more := next.Uvarint(), next.Uvarint()
		if common > uint64(len(path)) || more > uint64(next.Len()) {
			return errPaths
		}
		path = path[:common]
		for range more {
			delta := next.Uvarint()
			r := delta
			if len(path) > 0 {
				if r += uint64(path[len(path)-1]); delta == 0 {
					return errPaths
				}
			}
			if delta >= uint64(limit) || r >= uint64(limit) {
				return errPaths
			}
			path = append(path, uint32(r))
		}
		times := next.Uvarint()
		if times == 0 || times > math.MaxUint32 {
			return errPaths
		}
		p.add(path, uint32(times))
	}
	return nil
}

// write makes the rules of the sets of all workers, and the file of them.
func write(ctx context.Context, shape train.Shape, s model.Settings, get getter, w io.Writer) error {
	p, err := newPick(&shape, s)
	if err != nil {
		return err
	}
	workers := shape.Workers()
	counts, err := p.sums(ctx, workers, get)
	if err != nil {
		return err
	}
	b, err := get(ctx, 0, "totals")
	if err != nil {
		return err
	}
	transactions, least, err := readTotals(b)
	if err != nil {
		return err
	}
	items, _ := rank(counts[:p.n*p.items], least)
	// The sets of a group are in lists, of which each begins with a set of one item; those of all groups come in the order of that item.
	lists := make([][]found, len(items))
	for from := range workers {
		b, err := get(ctx, from, "sets")
		if err != nil {
			return err
		}
		var list *[]found
		for r := model.NewReader(b); r.Len() >= 12; {
			x := found{r.Uint32(), r.Uint32(), r.Uint32()}
			if x.rank >= uint32(len(items)) || list == nil && x.parent != none || x.parent != none && x.parent >= uint32(len(*list)) {
				return fmt.Errorf("the itemsets of worker %d are damaged", from)
			}
			if x.parent == none {
				list = &lists[x.rank]
			}
			*list = append(*list, x)
		}
	}
	sets := newItemsets(items, lists)
	found, err := sets.rules(transactions, Limits{s.Number("min-confidence"), s.Number("min-lift")}, p.sides)
	if err != nil {
		return err
	}
	f := &file{
		transactions: transactions, itemsets: uint64(sets.Len()), users: uint64(shape.Users), most: s.Choice("score") == "most",
		left: counts[:p.items], right: counts[(p.n-1)*p.items : p.n*p.items], owners: counts[p.n*p.items:],
		rules: found,
	}
	_, err = w.Write(f.encode())
	return err
}

// readTotals reads the input of step deal.
func readTotals(b []byte) (transactions uint64, least uint32, err error) {
	r := model.NewReader(b)
	n, x := r.Uvarint(), r.Uvarint()
	if r.Err() != nil || x > math.MaxUint32 {
		return 0, 0, fmt.Errorf("input %x of step deal, want the transactions and the least count", b)
	}
	return n, uint32(x), nil
}
