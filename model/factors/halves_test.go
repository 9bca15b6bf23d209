package factors

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// keeper is a worker that tells what it keeps for others behind each step.
type keeper struct {
	train.Worker
	kept map[string]bool
	told func(step string, kept []string)
}

type keeperPeers struct {
	train.Peers
	kept map[string]bool
}

func (p keeperPeers) Put(name string, b []byte) error {
	p.kept[name] = true
	return p.Peers.Put(name, b)
}

func (p keeperPeers) Drop(name string) {
	delete(p.kept, name)
	p.Peers.Drop(name)
}

func (k *keeper) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	said, err := k.Worker.Do(ctx, step, keeperPeers{peers, k.kept})
	k.told(step.Name, slices.Sorted(maps.Keys(k.kept)))
	return said, err
}

// TestOneGeneration: what one half of an iteration has put is there in the next half, and behind it only what that has put.
func TestOneGeneration(t *testing.T) {
	for kind, want := range map[*train.Kind]map[string][]string{
		ALS: {
			stepDeal:  {"columns-0", putUsers, putUsersGram},
			stepItems: {putItems, putItemsGram, putUsersGram},
			stepUsers: {putItemsGram, putUsers, putUsersGram},
			stepEnd:   {putItemCounts, putItems, putItemsGram, putReport},
		},
		MF: {
			stepDeal:  {"columns-0"},
			stepUsers: {putUsers},
			stepItems: {putItems},
			stepEnd:   {putItemCounts, putItems, putReport},
		},
		SVDPP: {
			stepDeal:  {"columns-0"},
			stepUsers: {putPulls, putUsers},
			stepItems: {putImplicit, putItems},
			stepEnd:   {putItemCounts, putImplicit, putItems, putReport},
		},
	} {
		halves := 0
		k := *kind
		k.NewWorker = func(data *train.Data, s model.Settings, threads int) (train.Worker, error) {
			w, err := kind.NewWorker(data, s, threads)
			return &keeper{w, map[string]bool{}, func(step string, kept []string) {
				if halves++; halves < 4 && step != stepDeal {
					kept = slices.DeleteFunc(kept, func(name string) bool { return name == "columns-0" }) // until others have got it
				}
				if !slices.Equal(kept, want[step]) {
					t.Errorf("%s: keeps %q behind step %s, want %q", k.Name, kept, step, want[step])
				}
			}}, err
		}
		if _, err := modeltest.Train(t.Context(), &k, map[string]float64{"factors": 2, "iterations": 4}, ratings(20, 10), 1, 1); err != nil {
			t.Fatal(err)
		}
		if halves != 10 && halves != 11 {
			t.Errorf("%s: %d steps, want those of 4 iterations", k.Name, halves)
		}
	}
}

// TestSparseRatings: workers without users, fewer items than workers, and users and items without ratings make the model that the rest makes.
func TestSparseRatings(t *testing.T) {
	for _, k := range ratingKinds {
		given := map[string]float64{"factors": 3, "iterations": 3}
		for name, rows := range map[string]*similarity.Rows{
			"three users of two items, one without": {NumItems: 2, Start: []int64{0, 2, 2, 3}, Item: []uint32{0, 1, 1}, Weight: []float32{5, 2, 3}},
			"an item without ratings":               {NumItems: 3, Start: []int64{0, 1, 2}, Item: []uint32{0, 2}, Weight: []float32{1, 4}},
			"nobody":                                {NumItems: 3, Start: []int64{0}},
			"nothing":                               {Start: []int64{0, 0}},
		} {
			m, seven := ratingModel(t, k, train.Split(rows, nil, 1), given), ratingModel(t, k, train.Split(rows, nil, 7), given)
			if !slices.Equal(m.items, seven.items) || !slices.Equal(m.implicit, seven.implicit) || !slices.Equal(m.counts, seven.counts) || m.settings != seven.settings {
				t.Errorf("%s of %s: 7 workers make another model than one", k.Name, name)
			}
			got := make([]float64, rows.NumItems)
			all := make([]uint32, rows.NumItems)
			for i := range all {
				all[i] = uint32(i)
			}
			if err := m.Rate(model.Query{User: -1}, all, got); err != nil {
				t.Errorf("%s of %s: %v", k.Name, name, err)
			}
			for i, r := range got {
				if r < 0 || r > 5 || rows.NumUsers() > 0 && len(rows.Item) > 0 && r < 1 {
					t.Errorf("%s of %s: predicts %v for item %d", k.Name, name, r, i)
				}
			}
		}
		// Users and items that nobody has rated, but seen, where all are of workers with others.
		rows := ratings(14, 9)
		data := withEvents(train.Split(rows, nil, 5), func(user int, item uint32) bool { return user%3 == 0 || item == 4 })
		m := ratingModel(t, k, data, given)
		if m.counts[4] != 0 || m.counts[3] == 0 || slices.ContainsFunc(m.items[4*m.width():][:3], func(x float32) bool { return x != 0 }) {
			t.Errorf("%s: item 4 has %d ratings and factors %v, want none", k.Name, m.counts[4], m.items[4*m.width():][:3])
		}
	}
}
