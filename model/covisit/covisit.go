package covisit

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Kind is co-visitation.
var Kind = &train.Kind{
	Name: "covisit",
	Doc:  "items that others had to do with shortly before or after those of the history, the latest of which count most",
	Parameters: []model.Parameter{
		{Name: "events", Doc: "newest events of a user that count", Default: 200, Low: 2, High: 10_000, Whole: true},
		{Name: "window", Doc: "most places between the two events of a pair", Default: 20, Low: 1, High: 1000, Whole: true, Search: [2]float64{2, 50}, Log: true},
		{Name: "half-life", Doc: "days between two events at which a pair counts half", Default: 7, Low: 0.001, High: 100_000, Search: [2]float64{0.05, 365}, Log: true},
		{Name: "balance", Doc: "exponent of the numbers of users of both items: 0 favors popular items, 1 rare ones", Default: 0.5, Low: 0, High: 1, Search: [2]float64{0.2, 0.8}},
		{Name: "k", Doc: "items kept for each item", Default: 50, Low: 1, High: 1000, Whole: true},
		{Name: "memory", Doc: "later items of the history at which an item counts half", Default: 5, Low: 0.1, High: 10_000, Search: [2]float64{1, 100}, Log: true},
	},
	NewDriver: func(train.Shape, model.Settings) (train.Driver, error) { return &driver{}, nil },
	NewWorker: func(d *train.Data, s model.Settings, _ int) (train.Worker, error) { return &worker{d, s}, nil },
	Write:     write,
	Read:      read,
}

// Steps of a training. In the first each worker counts the pairs of its users, for the workers that own their items; in the second each ranks those of its items.
var steps = []string{"pairs", "rank"}

type driver struct{ done int }

// Next implements train.Driver.
func (d *driver) Next([][]byte) (train.Step, bool, error) {
	if d.done == len(steps) {
		return train.Step{}, true, nil
	}
	d.done++
	return train.Step{Name: steps[d.done-1]}, false, nil
}

// Progress implements train.Driver.
func (d *driver) Progress() float64 { return float64(max(0, d.done-1)) / float64(len(steps)) }

type worker struct {
	data     *train.Data
	settings model.Settings
}

// Do implements train.Worker.
func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	if step.Name == steps[0] {
		return nil, w.count(ctx, peers)
	}
	return nil, w.rank(ctx, peers)
}

// one is the count of a pair of events at the same time.
const one = 1 << 20

// visit is an event of one user.
type visit struct {
	item uint32
	time int64
}

// count counts the pairs of the users of this worker.
func (w *worker) count(ctx context.Context, peers train.Peers) error {
	pairs := map[uint64]uint64{} // the lower item above the higher
	own := map[uint64]uint64{}   // of one user
	window, last := w.settings.Whole("window"), w.settings.Whole("events")
	halfLife := w.settings.Number("half-life") * 24 * 60 * 60 * 1000
	err := w.visits(ctx, func(visits []visit) {
		visits = visits[max(0, len(visits)-last):]
		clear(own)
		for n, a := range visits {
			for _, b := range visits[max(0, n-window):n] {
				if a.item == b.item {
					continue
				}
				c := uint64(one)
				if a.time > 0 && b.time > 0 {
					c = uint64(math.Round(one * math.Exp2(-float64(a.time-b.time)/halfLife)))
				}
				key := uint64(min(a.item, b.item))<<32 | uint64(max(a.item, b.item))
				own[key] = max(own[key], c)
			}
		}
		for key, c := range own { // sums of whole numbers: in any order
			if c > 0 {
				pairs[key] += c
			}
		}
	})
	if err != nil {
		return err
	}
	if err := peers.Put("users", usersOf(w.data.Rows)); err != nil {
		return err
	}
	return w.deal(pairs, peers)
}

// visits calls f with the events of each user, oldest first: single ones, or where only the matrix is known its entries by time.
func (w *worker) visits(ctx context.Context, f func([]visit)) error {
	var out []visit
	if w.data.Events != nil {
		canceled := slices.Index(w.data.Shape.Behaviors, "cancel")
		return w.data.Events(ctx, func(_ int, events []train.Event) error {
			out = out[:0]
			for _, e := range events {
				if e.Item != train.NoItem && int(e.Behavior) != canceled {
					out = append(out, visit{e.Item, e.Time})
				}
			}
			f(out)
			return nil
		})
	}
	rows, first := w.data.Rows, w.data.Rows.Start[0]
	for u := range rows.NumUsers() {
		if err := ctx.Err(); err != nil {
			return err
		}
		out = out[:0]
		for k := rows.Start[u]; k < rows.Start[u+1]; k++ {
			v := visit{item: rows.Item[k]}
			if w.data.Times != nil {
				v.time = w.data.Times[k-first]
			}
			out = append(out, v)
		}
		slices.SortStableFunc(out, func(a, b visit) int { return cmp.Compare(a.time, b.time) })
		f(out)
	}
	return nil
}

// usersOf returns the number of users of each item, 4 bytes each.
func usersOf(rows *similarity.Rows) []byte {
	counts := popularity.Counts(rows)
	b := make([]byte, 0, 4*len(counts))
	for _, n := range counts {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// deal puts the counts of pairs for the owners of both their items.
func (w *worker) deal(pairs map[uint64]uint64, peers train.Peers) error {
	keys := make([]uint64, 0, 2*len(pairs))
	for key := range pairs {
		keys = append(keys, key, key<<32|key>>32)
	}
	slices.Sort(keys)
	at := 0
	for owner := range w.data.Shape.Workers() {
		var b []byte
		before := uint64(0)
		_, end := w.data.Shape.ItemsOf(owner)
		for ; at < len(keys) && keys[at]>>32 < uint64(end); at++ {
			key := keys[at]
			low := min(key>>32, key&math.MaxUint32)<<32 | max(key>>32, key&math.MaxUint32)
			b = binary.AppendUvarint(binary.AppendUvarint(b, key-before), pairs[low])
			before = key
		}
		if err := peers.Put(fmt.Sprintf("pairs/%d", owner), b); err != nil {
			return err
		}
	}
	return nil
}

// rank keeps the best partners of the items of this worker.
func (w *worker) rank(ctx context.Context, peers train.Peers) error {
	users := make([]float64, w.data.Shape.Items)
	pairs := map[uint64]uint64{}
	for from := range w.data.Shape.Workers() {
		b, err := peers.Get(ctx, from, "users")
		if err != nil {
			return err
		}
		for i := range users {
			users[i] += float64(binary.LittleEndian.Uint32(b[4*i:]))
		}
		if b, err = peers.Get(ctx, from, fmt.Sprintf("pairs/%d", w.data.Worker)); err != nil {
			return err
		}
		r := model.NewReader(b)
		for key := uint64(0); r.Len() > 0; {
			key += r.Uvarint()
			pairs[key] += r.Uvarint()
		}
		if r.Err() != nil {
			return fmt.Errorf("counts of worker %d: %w", from, r.Err())
		}
	}
	first, end := w.data.Shape.ItemsOf(w.data.Worker)
	lists := make([][]similarity.Neighbor, end-first)
	balance := w.settings.Number("balance")
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		i, j := int(key>>32), uint32(key)
		s := float32(float64(pairs[key]) / one / math.Pow(max(1, users[i])*max(1, users[j]), balance))
		if s > 0 {
			lists[i-first] = append(lists[i-first], similarity.Neighbor{ID: j, Score: s})
		}
	}
	return peers.Put("lists", encode(lists, users[first:end], w.settings.Whole("k")))
}

// encode returns the k best of each list. For each item: its users and the length of its list, 4 bytes each; then the lists, 8 bytes an entry.
func encode(lists [][]similarity.Neighbor, users []float64, k int) []byte {
	var head, entries []byte
	for i, list := range lists {
		slices.SortFunc(list, func(a, b similarity.Neighbor) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
		})
		list = list[:min(k, len(list))]
		head = binary.LittleEndian.AppendUint32(head, uint32(users[i]))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(list)))
		for _, x := range list {
			entries = binary.LittleEndian.AppendUint32(entries, x.ID)
			entries = binary.LittleEndian.AppendUint32(entries, math.Float32bits(x.Score))
		}
	}
	return append(head, entries...)
}

// write writes the file: magic number and version, number of items, number of entries, the bits of memory, number of users, 8 bytes each; the heads of all items, then all entries.
func write(ctx context.Context, shape train.Shape, s model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
	var heads, entries [][]byte
	size := 0
	for worker := range shape.Workers() {
		b, err := get(ctx, worker, "lists")
		if err != nil {
			return err
		}
		first, end := shape.ItemsOf(worker)
		if len(b) < entryBytes*(end-first) {
			return fmt.Errorf("lists of worker %d are damaged", worker)
		}
		heads, entries = append(heads, b[:entryBytes*(end-first)]), append(entries, b[entryBytes*(end-first):])
		size += len(entries[worker]) / entryBytes
	}
	file := model.Append([]byte(magic), uint64(shape.Items), uint64(size), math.Float64bits(s.Number("memory")), uint64(shape.Users))
	for _, b := range slices.Concat([][]byte{file}, heads, entries) {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

const (
	magic      = "kithcv01"
	entryBytes = 8
)

var errFile = errors.New("not a whole file of a model of co-visitation")
