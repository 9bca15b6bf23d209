package train

import (
	"cmp"
	"context"
	"slices"
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
