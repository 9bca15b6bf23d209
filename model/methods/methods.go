// Package methods has the methods that every model version answers by, item-knn, user-knn, hybrid and popularity, as kinds of package train.
//
// A build makes neighbor lists by machinery of its own, which takes a larger catalog than a training does. These kinds make the same lists, of whatever part of the data a training has at hand: a
// ranker learns from what they say of entries that they do not know. What they make is used within the training and not kept, so that the files have no magic number.
package methods

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Kinds returns the kinds, by the names that queries have. They make the neighbor lists that a build makes by o, and have no settings.
//
// Cost: that of similarity.Build, divided among the workers by items. A process holds the entries of all users once, and the file of user-knn and hybrid has them.
func Kinds(o similarity.Options) []*train.Kind {
	return []*train.Kind{
		kindOf("item-knn", method{o, true, false}), kindOf("user-knn", method{o, false, true}),
		kindOf("hybrid", method{o, true, true}), kindOf("popularity", method{o, false, false}),
	}
}

// method is what a kind needs besides the users of each item: lists of items, or the rows of users.
type method struct {
	o           similarity.Options
	lists, rows bool
}

func kindOf(name string, m method) *train.Kind {
	return &train.Kind{
		Name: name, Doc: "what is always there",
		NewDriver: func(shape train.Shape, _ model.Settings) (train.Driver, error) {
			return linear.NewDriver(shape, linear.Limits{}, stepPut, stepLists), nil
		},
		NewWorker: func(d *train.Data, _ model.Settings, threads int) (train.Worker, error) {
			return &worker{linear.NewShard(d, threads, false), m}, nil
		},
		Write: m.write,
		Read: func(file []byte) (train.Model, error) {
			made, err := m.read(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return made, nil
		},
	}
}

// Steps behind linear.StepCount.
const (
	stepPut   = "put"   // workers weigh their rows, and put them for others
	stepLists = "lists" // each makes the lists of its items
)

// Names under which workers put.
const (
	putSums   = "sums"   // of the weights of each item, for measures that need them
	putCounts = "counts" // users of each item; of the first worker
	putLists  = "lists"
	putRows   = "rows"
)

type worker struct {
	linear.Shard
	method
}

// Do implements train.Worker.
func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case linear.StepCount:
		var err error
		if w.lists && w.o.Measure.NeedsSums() {
			var b []byte
			for _, s := range similarity.SumsOf(w.Data.Rows) {
				b = model.Append(b, s.High, s.Low)
			}
			err = peers.Put(putSums, b)
		}
		return w.Count(), err
	case stepPut:
		if err := w.TakePlan(step.Input); err != nil {
			return nil, err
		}
		return nil, w.put(ctx, peers)
	case stepLists:
		if !w.lists {
			return nil, nil
		}
		w.DropParts(peers)
		lists, err := w.Lists(ctx, peers, w.o)
		if err != nil {
			return nil, err
		}
		return nil, peers.Put(putLists, similarity.AppendLists(nil, lists))
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

func (w *worker) put(ctx context.Context, peers train.Peers) error {
	if w.Data.Worker == 0 {
		b := binary.AppendUvarint(nil, uint64(w.Data.Shape.Users))
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(w.Data.Shape.Items)), uint64(w.Data.Shape.Workers()))
		for _, n := range w.Plan.Counts {
			b = binary.AppendUvarint(b, n)
		}
		if err := peers.Put(putCounts, b); err != nil {
			return err
		}
	}
	if w.rows {
		if err := peers.Put(putRows, linear.AppendRows(nil, w.Data.Rows)); err != nil {
			return err
		}
	}
	if !w.lists {
		return nil
	}
	var sums []similarity.Sum
	if w.o.Measure.NeedsSums() {
		peers.Drop(putSums)
		sums = make([]similarity.Sum, w.Data.Shape.Items)
		for from := range w.Data.Shape.Workers() {
			b, err := peers.Get(ctx, from, putSums)
			if err != nil {
				return err
			}
			r := model.NewReader(b)
			for i := range sums {
				sums[i].Merge(similarity.Sum{High: r.Uint64(), Low: r.Uint64()})
			}
			if err := r.End(); err != nil {
				return fmt.Errorf("sums of worker %d: %w", from, err)
			}
		}
	}
	weigher, err := similarity.NewWeigher(w.o.Measure, w.Data.Shape.Items, sums)
	if err != nil {
		return err
	}
	return w.PutParts(peers, weigher.Rows(w.Data.Rows))
}

// write writes, as uvarints, the number of users, of items and of workers and the users of each item, and then of each worker what of its lists and its rows the method needs, the length of either first.
func (m method) write(ctx context.Context, shape train.Shape, _ model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	b, err := get(ctx, 0, putCounts)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	for from := range shape.Workers() {
		for _, name := range m.puts() {
			if b, err = get(ctx, from, name); err != nil {
				return err
			}
			if _, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// puts are the names of what all workers put for the file.
func (m method) puts() (names []string) {
	if m.lists {
		names = append(names, putLists)
	}
	if m.rows {
		names = append(names, putRows)
	}
	return names
}

// read reads what write wrote.
func (m method) read(file []byte) (train.Model, error) {
	r := model.NewReader(file)
	users, items, workers := r.Uvarint(), r.Uvarint(), r.Uvarint()
	if users > math.MaxUint32 || items > uint64(r.Len()) {
		r.Fail("%d users and %d items in %d bytes", users, items, r.Len())
		return nil, r.Err()
	}
	counts := make([]int64, items)
	for i := range counts {
		counts[i] = int64(r.Uvarint())
	}
	lists := &similarity.Lists{Start: []int64{0}}
	rows := &similarity.Rows{NumItems: int(items), Start: []int64{0}}
	for w := uint64(0); w < workers && r.Err() == nil; w++ {
		for _, name := range m.puts() {
			b := r.Take(r.Uvarint(), 1)
			if r.Err() != nil {
				break
			}
			var err error
			if name == putRows {
				err = linear.ReadRows(b, rows)
			} else {
				err = appendLists(lists, b, items)
			}
			if err != nil {
				return nil, fmt.Errorf("%s of worker %d: %w", name, w, err)
			}
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if m.lists && uint64(lists.Len()) != items || m.rows && uint64(rows.NumUsers()) != users {
		return nil, fmt.Errorf("lists of %d items and rows of %d users, want %d and %d", lists.Len(), rows.NumUsers(), items, users)
	}
	popular := popularity.Of(int(users), counts)
	if !m.rows && !m.lists {
		return popular, nil
	}
	byItems := neighborhood.ItemKNNOf(lists, int(users), popular, m.o.Measure)
	if !m.rows {
		return byItems, nil
	}
	byUsers, err := neighborhood.NewUserKNN(rows, popular, m.o)
	if err != nil || !m.lists {
		return byUsers, err
	}
	return neighborhood.NewHybridKNN(byItems, byUsers), nil
}

// appendLists appends encoded lists of the next items, of so many.
func appendLists(lists *similarity.Lists, b []byte, items uint64) error {
	next, err := similarity.DecodeLists(b)
	if err != nil {
		return err
	}
	if next.Len() > 0 && int(next.Lo) != lists.Len() || slices.ContainsFunc(next.Entries, func(n similarity.Neighbor) bool { return uint64(n.ID) >= items }) {
		return errors.New("lists of other items")
	}
	at := int64(len(lists.Entries))
	for _, end := range next.Start[1:] {
		lists.Start = append(lists.Start, at+end)
	}
	lists.Entries = append(lists.Entries, next.Entries...)
	return nil
}
