package covisit_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/covisit"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func settings(t testing.TB, given map[string]float64) model.Settings {
	s, err := model.NewSettings(covisit.Kind.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
		file, err := train.Run(t.Context(), covisit.Kind, settings(t, nil), train.Split(rows, nil, 3), train.Options{})
		if err != nil {
			return nil, err
		}
		return covisit.Kind.Read(file)
	})
}

const hour = 60 * 60 * 1000

// sessions are events of six users over six items with times, and the matrix that goes with them.
func sessions() (*similarity.Rows, [][]train.Event) {
	events := make([][]train.Event, 6)
	rows := &similarity.Rows{NumItems: 6, Start: []int64{0}}
	for u := range events {
		for i := range 6 {
			if i == u {
				continue
			}
			at := int64(1e12) + int64(i/2)*48*hour + int64(i%2)*hour
			events[u] = append(events[u], train.Event{Item: uint32(i), Time: at})
			rows.Item = append(rows.Item, uint32(i))
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return rows, events
}

// split divides the sessions among n workers.
func split(n int) []*train.Data {
	rows, events := sessions()
	data := train.Split(rows, nil, n)
	for _, d := range data {
		d.Shape.Behaviors = []string{"view"}
		first := d.Shape.FirstUser[d.Worker]
		users := d.Rows.NumUsers()
		d.Events = func(_ context.Context, f func(int, []train.Event) error) error {
			for u := first; u < first+users; u++ {
				if err := f(u, events[u]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return data
}

// TestTime: pairs within an hour come before those of other days; the item that was seen last counts most.
func TestTime(t *testing.T) {
	s := settings(t, map[string]float64{"half-life": 0.5})
	file, err := train.Run(t.Context(), covisit.Kind, s, split(1), train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := covisit.Kind.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	// Items 0 and 1, 2 and 3, 4 and 5 are of one hour; each of 4 users, all of 5.
	got, err := m.Recommend(model.Query{User: -1, Items: []uint32{0, 2}, Times: []int64{1e12, 2e12}, N: 2})
	if err != nil {
		t.Fatal(err)
	}
	near, far := math.Exp2(-1.0/12), math.Exp2(-48.0/12)
	want := []float64{
		(4*near + math.Exp2(-1.0/5)*4*math.Exp2(-49.0/12)) / 5, // 3: beside 2, and 49 hours behind 0
		(math.Exp2(-1.0/5)*4*near + 4*math.Exp2(-47.0/12)) / 5, // 1: beside 0, and 47 hours before 2
	}
	for i, item := range []uint32{3, 1} {
		if got[i].Item != item || math.Abs(got[i].Score-want[i]) > 1e-5 {
			t.Errorf("place %d: got %v, want item %d with %v (far is %v)", i, got[i], item, want[i], far)
		}
	}
}

// TestWorkers: the file does not depend on the number of workers, nor on how users are dealt to them.
func TestWorkers(t *testing.T) {
	var want []byte
	for n := 1; n <= 6; n++ {
		file, err := train.Run(t.Context(), covisit.Kind, settings(t, nil), split(n), train.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = file
		}
		if !bytes.Equal(file, want) {
			t.Errorf("%d workers make another file than one", n)
		}
	}
}

// TestTwin compares with a model that looks at all pairs of users and items, of random matrices with times.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		items, users := rapid.IntRange(1, 12).Draw(rt, "items"), rapid.IntRange(0, 8).Draw(rt, "users")
		rows, times := &similarity.Rows{NumItems: items, Start: []int64{0}}, []int64(nil)
		count, of := make([]float64, items), map[[2]uint32]float64{}
		for range users {
			var own []uint32
			var at []int64
			for i := range items {
				if rapid.Bool().Draw(rt, "has") {
					own, at = append(own, uint32(i)), append(at, rapid.Int64Range(0, 3).Draw(rt, "hour")*hour)
				}
			}
			for a, i := range own {
				count[i]++
				for b, j := range own {
					if i != j && at[a] > 0 && at[b] > 0 {
						of[[2]uint32{i, j}] += math.Exp2(-math.Abs(float64(at[a]-at[b])) / (2 * hour))
					} else if i != j {
						of[[2]uint32{i, j}]++
					}
				}
			}
			rows.Item, times = append(rows.Item, own...), append(times, at...)
			rows.Start = append(rows.Start, int64(len(rows.Item)))
		}
		s := settings(t, map[string]float64{"half-life": 2.0 / 24, "window": 12})
		file, err := train.Run(t.Context(), covisit.Kind, s, train.Split(rows, times, rapid.IntRange(1, 4).Draw(rt, "workers")), train.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		m, err := covisit.Kind.Read(file)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range uint32(items) {
			got, err := m.Recommend(model.Query{User: -1, Items: []uint32{i}, N: items})
			if err != nil {
				rt.Fatal(err)
			}
			for _, x := range got {
				want := of[[2]uint32{i, x.Item}] / math.Sqrt(max(1, count[i])*max(1, count[x.Item]))
				if math.Abs(x.Score-want) > 1e-5 || x.Filled != (want == 0) {
					rt.Fatalf("item %d to %d: got %+v, want %v", i, x.Item, x, want)
				}
			}
		}
	})
}

// FuzzRead: no file makes Read panic, nor a model that it makes.
func FuzzRead(f *testing.F) {
	file, err := train.Run(f.Context(), covisit.Kind, settings(f, nil), split(2), train.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	for at := 0; at < len(file); at += 8 {
		f.Add(append(bytes.Clone(file[:at]), 0xff))
		changed := bytes.Clone(file)
		changed[at] ^= 0x80
		f.Add(changed)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := covisit.Kind.Read(file)
		if err != nil {
			return
		}
		if _, err := m.Recommend(model.Query{User: -1, Items: []uint32{0}, N: 3}); err != nil {
			t.Log(err) // an empty catalog
		}
	})
}

func TestExplain(t *testing.T) {
	file, err := train.Run(t.Context(), covisit.Kind, settings(t, nil), split(2), train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := covisit.Kind.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := m.(modeltest.Explainer).Explain(model.Query{User: -1, Items: []uint32{0, 2}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	var items []uint32
	for _, p := range parts {
		items = append(items, p.Item)
	}
	if d := gocmp.Diff([]uint32{2, 0}, items); d != "" {
		t.Error(fmt.Errorf("contributions of the item of one hour come first (-want +got):\n%s", d))
	}
}
