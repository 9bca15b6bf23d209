package sasrec

import (
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neural/neuraltest"
	"github.com/kith-io/kith/similarity"
)

const ring = 24

// walks returns users who walk on a ring of items, six steps from wherever they begin, half of them forwards and half backwards, and the times of the steps.
func walks() (rows *similarity.Rows, times []int64) {
	const users, steps = 96, 6
	rows = &similarity.Rows{NumItems: ring, Start: []int64{0}}
	for u := range users {
		for id := range ring {
			step := (id + ring*u - u/2*7) % ring
			if step >= steps {
				continue
			}
			if u%2 == 1 {
				step = steps - step
			}
			rows.Item, times = append(rows.Item, uint32(id)), append(times, int64(1000+step))
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return rows, times
}

// TestNextFollowsFromTimes: of the same items, the times of a query say which way a walk goes on.
func TestNextFollowsFromTimes(t *testing.T) {
	rows, times := walks()
	for _, given := range []map[string]string{
		{"loss": "softmax", "iterations": "30", "factors": "16", "rate": "0.01", "batch": "64", "length": "8", "dropout": "0"},
		{"loss": "bce", "negatives": "4", "iterations": "30", "factors": "16", "rate": "0.01", "batch": "64", "length": "8", "dropout": "0"},
	} {
		m, err := Kind.Read(neuraltest.Train(t, Kind, given, rows, times, 1, 2))
		if err != nil {
			t.Fatal(err)
		}
		for first := uint32(1); first < ring-3; first++ {
			for _, way := range []struct {
				times []int64
				want  uint32
			}{{[]int64{1, 2, 3}, first + 3}, {[]int64{3, 2, 1}, first - 1}} {
				q := model.Query{User: -1, Items: []uint32{first, first + 1, first + 2}, Times: way.times, N: 1}
				answer, err := m.Recommend(q)
				if err != nil {
					t.Fatal(err)
				}
				if len(answer) != 1 || answer[0].Item != way.want {
					t.Errorf("%s: after %v at %v comes %v, want %d", given["loss"], q.Items, q.Times, answer, way.want)
				}
			}
		}
	}
}
