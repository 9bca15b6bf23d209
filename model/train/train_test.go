package train_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// counting is a kind that counts the users of each item: each worker counts for all, each owner adds up its items.
var counting = &train.Kind{
	Name: "counting",
	NewDriver: func(train.Shape, model.Settings) (train.Driver, error) {
		return &countDriver{steps: []string{"count", "add"}}, nil
	},
	NewWorker: func(d *train.Data, _ model.Settings, _ int) (train.Worker, error) { return countWorker{d}, nil },
	Write: func(ctx context.Context, shape train.Shape, _ model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
		for worker := range shape.Workers() {
			b, err := get(ctx, worker, "sums")
			if err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	},
}

type countDriver struct{ steps []string }

func (d *countDriver) Progress() float64 { return 0 }
func (d *countDriver) Next(said [][]byte) (train.Step, bool, error) {
	for i, s := range said {
		if string(s) != fmt.Sprint(i) {
			return train.Step{}, false, fmt.Errorf("worker %d says %q", i, s)
		}
	}
	if len(d.steps) == 0 {
		return train.Step{}, true, nil
	}
	next := train.Step{Name: d.steps[0]}
	d.steps = d.steps[1:]
	return next, false, nil
}

type countWorker struct{ *train.Data }

func (w countWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	said := fmt.Append(nil, w.Worker)
	if step.Name == "count" {
		counts := make([]byte, 4*w.Shape.Items)
		for u := range w.Rows.NumUsers() {
			for _, id := range w.Rows.Item[w.Rows.Start[u]:w.Rows.Start[u+1]] {
				at := counts[4*id:]
				binary.LittleEndian.PutUint32(at, binary.LittleEndian.Uint32(at)+1)
			}
		}
		return said, peers.Put("counts", counts)
	}
	first, end := w.Shape.ItemsOf(w.Worker)
	sums := make([]uint32, end-first)
	for worker := range w.Shape.Workers() {
		b, err := peers.Get(ctx, worker, "counts")
		if err != nil {
			return nil, err
		}
		for i := range sums {
			sums[i] += binary.LittleEndian.Uint32(b[4*(first+i):])
		}
	}
	var out []byte
	for _, n := range sums {
		out = binary.LittleEndian.AppendUint32(out, n)
	}
	return said, peers.Put("sums", out)
}

func TestRun(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		rows := &similarity.Rows{NumItems: rapid.IntRange(0, 20).Draw(t, "items"), Start: []int64{0}}
		want := make([]uint32, rows.NumItems)
		for range rapid.IntRange(0, 20).Draw(t, "users") {
			for id := range rows.NumItems {
				if rapid.Bool().Draw(t, "has") {
					rows.Item = append(rows.Item, uint32(id))
					want[id]++
				}
			}
			rows.Start = append(rows.Start, int64(len(rows.Item)))
		}
		data := train.Split(rows, nil, rapid.IntRange(1, 5).Draw(t, "workers"))
		file, err := train.Run(ctx, counting, model.Settings{}, data, train.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range want {
			if got := binary.LittleEndian.Uint32(file[4*id:]); got != n {
				t.Fatalf("item %d has %d users, want %d", id, got, n)
			}
		}
		shape := data[0].Shape
		for w := range data {
			first, end := shape.ItemsOf(w)
			for id := first; id < end; id++ {
				if got := shape.OwnerOf(id); got != w {
					t.Fatalf("item %d belongs to %d, want %d", id, got, w)
				}
			}
		}
	})
}

func TestRunEnds(t *testing.T) {
	wrong := errors.New("wrong")
	for name, change := range map[string]func(*train.Kind){
		"driver": func(k *train.Kind) {
			k.NewDriver = func(train.Shape, model.Settings) (train.Driver, error) { return nil, wrong }
		},
		"worker": func(k *train.Kind) {
			k.NewWorker = func(*train.Data, model.Settings, int) (train.Worker, error) { return nil, wrong }
		},
		"needs events": func(k *train.Kind) { k.NeedsEvents = true },
	} {
		k := *counting
		change(&k)
		rows := &similarity.Rows{NumItems: 1, Start: []int64{0}}
		if _, err := train.Run(t.Context(), &k, model.Settings{}, train.Split(rows, nil, 2), train.Options{}); err == nil || !strings.Contains(err.Error(), "counting") {
			t.Errorf("%s: error %v, want one that names the kind", name, err)
		}
	}
}

func TestRatings(t *testing.T) {
	nan := float32(math.NaN())
	rows := &similarity.Rows{NumItems: 4, Start: []int64{0, 1, 3, 4}, Item: []uint32{3, 0, 2, 1}, Weight: []float32{8, 7, 6, 5}}
	d := train.Split(rows, nil, 2)[1] // the users 1 and 2
	same := func(name string, want ...float32) {
		t.Helper()
		got, err := d.Ratings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a, b float32) bool { return a == b || a != a && b != b }) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	same("weights", 7, 6, 5)
	d.Events = func(_ context.Context, f func(user int, events []train.Event) error) error {
		return errors.Join(
			f(1, []train.Event{{Item: 2, Behavior: 1, Value: 1}, {Item: 2, Behavior: 1, Value: 4}, {Item: 2, Value: 9}, {Item: 0, Value: 9}, {Item: train.NoItem, Behavior: 1, Value: 3}}),
			f(2, []train.Event{{Item: 1, Behavior: 1, Value: -2}, {Item: 3, Behavior: 1, Value: 5}}),
		)
	}
	d.Shape.Behaviors = []string{"purchase"}
	same("no ratings", nan, nan, nan)
	d.Shape.Behaviors = []string{"purchase", train.Rating}
	same("events", nan, 4, -2)
	d.Events, rows.Weight = nil, nil
	d = train.Split(rows, nil, 2)[1]
	same("no weights", 1, 1, 1)
}

// TestStepsAreApart: what is put or dropped in a step counts from the next step on, whoever is faster.
func TestStepsAreApart(t *testing.T) {
	k := *counting
	k.NewDriver = func(train.Shape, model.Settings) (train.Driver, error) {
		return &countDriver{steps: []string{"1", "2", "3", "4"}}, nil
	}
	k.NewWorker = func(d *train.Data, _ model.Settings, _ int) (train.Worker, error) { return apartWorker{d}, nil }
	k.Write = func(context.Context, train.Shape, model.Settings, func(context.Context, int, string) ([]byte, error), io.Writer) error {
		return nil
	}
	rows := &similarity.Rows{NumItems: 1, Start: []int64{0, 0, 0}}
	if _, err := train.Run(t.Context(), &k, model.Settings{}, train.Split(rows, nil, 3), train.Options{}); err != nil {
		t.Error(err)
	}
}

type apartWorker struct{ *train.Data }

func (w apartWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	if step.Name < "3" {
		if err := peers.Put("step", []byte(step.Name)); err != nil {
			return nil, err
		}
	}
	if step.Name == "3" {
		peers.Drop("step")
	}
	want := map[string]string{"2": "1", "3": "2"}[step.Name]
	for other := range w.Shape.Workers() {
		if b, err := peers.Get(ctx, other, "step"); string(b) != want || (err == nil) != (want != "") {
			return nil, fmt.Errorf("in step %s worker %d gets %q of %d: %w, want %q", step.Name, w.Worker, b, other, err, want)
		}
	}
	return fmt.Append(nil, w.Worker), nil
}

// TestShared: what workers share in a step is made once for all who are told no error, and anew in the next step.
func TestShared(t *testing.T) {
	k := *counting
	k.NewDriver = func(train.Shape, model.Settings) (train.Driver, error) {
		return &countDriver{steps: []string{"1", "2", "3"}}, nil
	}
	var made, failed atomic.Int64
	k.NewWorker = func(d *train.Data, _ model.Settings, _ int) (train.Worker, error) {
		return sharingWorker{d, &made, &failed}, nil
	}
	k.Write = func(context.Context, train.Shape, model.Settings, func(context.Context, int, string) ([]byte, error), io.Writer) error {
		return nil
	}
	rows := &similarity.Rows{NumItems: 1, Start: []int64{0, 0, 0}}
	if _, err := train.Run(t.Context(), &k, model.Settings{}, train.Split(rows, nil, 4), train.Options{Threads: 1}); err != nil {
		t.Error(err)
	}
	if made.Load() != 3 || failed.Load() != 3*4 {
		t.Errorf("made %d times in 3 steps, and failed %d times, want 3 and once for each of 4 workers", made.Load(), failed.Load())
	}
}

type sharingWorker struct {
	*train.Data
	made, failed *atomic.Int64
}

func (w sharingWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	wrong := errors.New("wrong")
	if _, err := peers.Share(ctx, "wrong", func() (any, error) { w.failed.Add(1); return nil, wrong }); !errors.Is(err, wrong) {
		return nil, fmt.Errorf("error %w, want that of who makes it", err)
	}
	got, err := peers.Share(ctx, "step", func() (any, error) { w.made.Add(1); return step.Name, nil })
	if err != nil || got != step.Name {
		return nil, fmt.Errorf("in step %s: got %v, error %w", step.Name, got, err)
	}
	return fmt.Append(nil, w.Worker), nil
}
