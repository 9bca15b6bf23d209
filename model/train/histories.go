package train

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
)

// Histories calls f with the events of each user of this worker, oldest first, as Events does, and users are numbered as there. Where only the matrix is known it
// makes them of it: each entry is one event, of behavior 0, in basket 0, in the order of times and then of items. The events belong to f until it
// returns. Cost: O(entries log(entries of a user)).
func (d *Data) Histories(ctx context.Context, f func(user int, events []Event) error) error {
	if d.Events != nil {
		return d.Events(ctx, f)
	}
	var events []Event
	for u := range d.Rows.NumUsers() {
		if err := ctx.Err(); u%1024 == 0 && err != nil {
			return err
		}
		events = events[:0]
		for at := d.Rows.Start[u]; at < d.Rows.Start[u+1]; at++ {
			e := Event{Item: d.Rows.Item[at], Value: 1}
			if d.Rows.Weight != nil {
				e.Value = d.Rows.Weight[at]
			}
			if d.Times != nil {
				e.Time = d.Times[at-d.Rows.Start[0]]
			}
			events = append(events, e)
		}
		slices.SortFunc(events, func(a, b Event) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Item, b.Item)) })
		if err := f(d.Shape.FirstUser[d.Worker]+u, events); err != nil {
			return err
		}
	}
	return nil
}

// Rating is the name of the behavior whose values are ratings.
const Rating = "rating"

// Ratings returns what the user of each entry of Rows, from Rows.Start[0] on, has rated the item: the value of the newest event of behavior rating, NaN for none, as model.AsRating has it. Where only the matrix
// is known its weights are ratings, 1 without any. Cost: that of Events.
func (d *Data) Ratings(ctx context.Context) ([]float32, error) {
	rows := d.Rows
	base := rows.Start[0]
	out := make([]float32, rows.Start[rows.NumUsers()]-base)
	if d.Events == nil {
		for i := range out {
			out[i] = 1
		}
		if rows.Weight != nil {
			copy(out, rows.Weight[base:])
		}
		return out, nil
	}
	for i := range out {
		out[i] = float32(math.NaN())
	}
	behavior := slices.Index(d.Shape.Behaviors, Rating)
	if behavior < 0 {
		return out, nil
	}
	err := d.Events(ctx, func(user int, events []Event) error {
		u := user - d.Shape.FirstUser[d.Worker]
		row := rows.Item[rows.Start[u]:rows.Start[u+1]]
		for _, e := range events {
			if at, ok := slices.BinarySearch(row, e.Item); ok && int(e.Behavior) == behavior {
				out[rows.Start[u]-base+int64(at)] = model.AsRating(float64(e.Value))
			}
		}
		return nil
	})
	return out, err
}
