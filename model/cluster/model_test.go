package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/cluster"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// withOrders makes one order of each row, and, of long ones, two.
func withOrders(data []*train.Data) []*train.Data {
	for _, d := range data {
		d.Events = func(_ context.Context, f func(user int, events []train.Event) error) error {
			for u := range d.Rows.NumUsers() {
				var events []train.Event
				row := d.Rows.Item[d.Rows.Start[u]:d.Rows.Start[u+1]]
				for i, id := range row {
					events = append(events, train.Event{Item: id, Basket: uint64(2 * i / max(6, len(row)))})
				}
				events = append(events, train.Event{Item: train.NoItem, Basket: 9})
				if err := f(u, events); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return data
}

func trained(rows *similarity.Rows, workers int, values map[string]string) (*cluster.Model, error) {
	s, err := model.ParseSettings(cluster.Kind.Parameters, values)
	if err != nil {
		return nil, err
	}
	file, err := train.Run(context.Background(), cluster.Kind, s, withOrders(train.Split(rows, nil, workers)), train.Options{Threads: 2 * workers})
	if err != nil {
		return nil, err
	}
	return cluster.Read(file)
}

func TestModel(t *testing.T) {
	for _, of := range []string{"users", "items", "orders"} {
		t.Run(of, func(t *testing.T) {
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				return trained(rows, 2, map[string]string{"of": of, "k": "4", "rank": "8", "restarts": "3"})
			})
		})
	}
}

// TestFindsTastes: the four tastes are the groups, whatever is grouped, also where their number is left open, and their own items set them apart.
func TestFindsTastes(t *testing.T) {
	rows, _ := modeltest.Blocks()
	const tastes = 4
	for _, of := range []string{"users", "items", "orders"} {
		values := map[string]string{"of": of, "k": "0", "k-max": "16", "rank": "8", "restarts": "3"}
		if of == "orders" {
			values["k"] = "4" // halves of rows are even nearer to each other in smaller groups
		}
		m, err := trained(rows, 1, values)
		if err != nil {
			t.Fatal(err)
		}
		groups := m.Clusters()
		if len(groups) != tastes {
			trials, best := m.Trials()
			t.Fatalf("%s: %d groups, want %d; trial %d of %+v", of, len(groups), tastes, best, trials)
		}
		want := map[string]int64{"users": 30, "items": 12, "orders": 60}[of]
		for c, g := range groups {
			if g.Size != want || math.Abs(g.Share-0.25) > 1e-9 || !(g.Spread < 0.9) || !(g.Silhouette > 0.4) {
				t.Errorf("%s: group %d is %+v, want size %d, a quarter of all, and dense", of, c, g, want)
			}
			for i, mark := range g.Marks {
				own := (mark.Item-g.Marks[0].Item)%tastes == 0
				if !own && i < 12 || of != "items" && own && (mark.Z < 2 || math.Abs(mark.Lift-4) > 1e-9) {
					t.Errorf("%s: group %d has mark %d %+v", of, c, i, mark)
				}
			}
		}
		for u := range rows.NumUsers() {
			q := model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]]}
			group, distance, err := m.Assign(q)
			if err != nil || group < 0 || !(distance < 0.8) {
				t.Fatalf("%s: user %d is in group %d at %v, error %v", of, u, group, distance, err)
			}
			if first := groups[group].Marks[0].Item; int(first)%tastes != u%tastes {
				t.Errorf("%s: user %d is in a group of item %d", of, u, first)
			}
		}
		if of == "items" != (m.GroupOf(5) >= 0) {
			t.Errorf("%s: item 5 is in group %d", of, m.GroupOf(5))
		}
	}
}

// sample is a matrix of overlapping tastes, with weights.
func sample(users, items int) *similarity.Rows {
	r := &similarity.Rows{NumItems: items, Start: []int64{0}, Weight: []float32{}}
	x, _ := gaussians(7, users*items, 1, 3, 1)
	for u := range users {
		for i := range items {
			if v := float64(x[u*items+i]); math.Mod(math.Abs(v)*10, 10) < 2+4*math.Cos(float64((u*7+i)%9)) {
				r.Item, r.Weight = append(r.Item, uint32(i)), append(r.Weight, float32(1+(u+i)%5))
			}
		}
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	return r
}

// TestWorkers: one and three workers have the same losses but for rounding, and the same answers.
func TestWorkers(t *testing.T) {
	rows := sample(300, 60)
	for _, values := range []map[string]string{
		{"of": "users", "k": "9"},
		{"of": "users", "k": "9", "bounds": "none"},
		{"of": "users", "k": "9", "batch": "64", "iterations": "20"},
		{"of": "items", "k": "6"},
		{"of": "orders", "k": "9"},
		{"of": "users", "k": "0", "k-max": "12"},
	} {
		values["rank"] = "10"
		one, err := trained(rows, 1, values)
		if err != nil {
			t.Fatal(err)
		}
		three, err := trained(rows, 3, values)
		if err != nil {
			t.Fatal(err)
		}
		trials, best := one.Trials()
		others, otherBest := three.Trials()
		if best != otherBest || len(trials) != len(others) {
			t.Fatalf("%v: trial %d of %d, want %d of %d", values, otherBest, len(others), best, len(trials))
		}
		for i, a := range trials {
			b := others[i]
			if a.K != b.K || len(a.Loss) != len(b.Loss) {
				t.Fatalf("%v: losses %v with three workers, %v with one", values, b.Loss, a.Loss)
			}
			for j, x := range a.Loss {
				if math.Abs(x-b.Loss[j]) > 1e-4*x {
					t.Errorf("%v: losses %v with three workers, %v with one", values, b.Loss, a.Loss)
				}
			}
		}
		for u := range rows.NumUsers() {
			q := model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], Weights: rows.Weight[rows.Start[u]:rows.Start[u+1]], N: 10, WithSeen: true}
			a, err := one.Recommend(q)
			if err != nil {
				t.Fatal(err)
			}
			b, err := three.Recommend(q)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(a, b, func(a, b model.Scored) bool { return a.Item == b.Item && math.Abs(a.Score-b.Score) < 1e-5 }) {
				t.Fatalf("%v: user %d: %v with three workers, %v with one", values, u, b, a)
			}
		}
	}
}

// TestShortLists: items beyond the kept list of their group still have it.
func TestShortLists(t *testing.T) {
	rows, _ := modeltest.Blocks()
	m, err := trained(rows, 2, map[string]string{"of": "items", "k": "4", "rank": "8", "restarts": "3", "list": "2"})
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint32(rows.NumItems) {
		if got, want := m.GroupOf(id), m.GroupOf(id%4); got != want || got < 0 {
			t.Errorf("item %d is in group %d, want %d", id, got, want)
		}
	}
}

func TestOrdersNeedEvents(t *testing.T) {
	s, err := model.ParseSettings(cluster.Kind.Parameters, map[string]string{"of": "orders"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Run(t.Context(), cluster.Kind, s, train.Split(sample(5, 5), nil, 1), train.Options{}); err == nil {
		t.Error("orders without events: no error")
	}
}

func small(t testing.TB, of string) []byte {
	s, err := model.ParseSettings(cluster.Kind.Parameters, map[string]string{"of": of, "k": "3", "rank": "2", "list": "5"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := train.Run(t.Context(), cluster.Kind, s, withOrders(train.Split(sample(20, 8), nil, 1)), train.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestReadDamaged: a file that is cut short, or has more than it should, is an error.
func TestReadDamaged(t *testing.T) {
	file := small(t, "users")
	for n := range file {
		if _, err := cluster.Read(file[:n]); !errors.Is(err, cluster.ErrFile) {
			t.Fatalf("%d of %d bytes: error %v, want one matching ErrFile", n, len(file), err)
		}
	}
	if _, err := cluster.Read(append(slices.Clone(file), 0)); !errors.Is(err, cluster.ErrFile) {
		t.Errorf("one byte too many: error %v, want one matching ErrFile", err)
	}
}

// FuzzRead: no file makes Read panic, nor a model that was read from one.
func FuzzRead(f *testing.F) {
	for _, of := range []string{"users", "items", "orders"} {
		f.Add(small(f, of))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := cluster.Read(file)
		if err != nil {
			return
		}
		m.Clusters()
		for _, q := range []model.Query{{User: -1, N: 5}, {User: -1, Items: []uint32{0, 1}, N: 5}, {User: 0, Items: []uint32{2}, N: 3, WithSeen: true}} {
			if _, err := m.Recommend(q); err != nil && !errors.Is(err, model.ErrQuery) {
				t.Errorf("Recommend: %v", err)
			}
		}
	})
}

func ExampleKMeans() {
	points := []float32{0, 0, 0, 1, 9, 9, 9, 8}
	r, err := cluster.KMeans(context.Background(), points, 2, []int{2}, cluster.DefaultOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Counts, r.Assign[0] == r.Assign[1], r.Assign[1] == r.Assign[2])
	// Output: [2 2] true false
}
