package fusion

import (
	"context"
	"errors"
	"io"
)

// DefaultBatch is the number of events that Events hands over at once if it is
// not told: enough to make the call cheap, little beside the memory of a node.
const DefaultBatch = 1000

// Events reads one source and calls yield with its events in their order, up
// to batch at a time (0 means DefaultBatch). The events belong to yield; the
// strings of one call share memory. An error of yield ends the reading and is
// returned.
//
// Refused rows go to dead, which may be nil, and are counted in the report; an
// error of dead ends the reading. Every event has an ID: that of the source's
// column, as it is, or one made of the name of the source, the file in it if there are several, the line, and the
// fields of user, item, behavior, value and time. Reading the file again makes
// the same ids; changing a row makes another. Made ids ascend with the lines.
//
// The report is valid in case of an error, too: the rows kept before the
// damage of a file have been handed over. A source without a good row is an
// error that matches ErrNoValidRow.
//
// While a service that is followed has no rows (source.ErrIdle), yield gets what there is, perhaps nothing.
//
// Context ctx is looked at once for each batch. Memory is constant.
func Events(ctx context.Context, m Mapping, dead *DeadLetterWriter, batch int, yield func([]Event) error) (Report, error) {
	rows, err := openRows(ctx, m, dead)
	if err != nil {
		return rows.report, err
	}
	if batch <= 0 {
		batch = DefaultBatch
	}
	var b eventBatch
	flush := func() error {
		if err := ctx.Err(); err != nil || len(b.events) == 0 {
			return err
		}
		return yield(b.take(rows.at.context))
	}
	rows.idle = func() error {
		if len(b.events) > 0 {
			return flush()
		}
		return yield(nil)
	}
	err = func() error {
		for {
			switch err := rows.next(ctx); {
			case err == io.EOF: //nolint:errorlint // a wrapped one is damage
				return flush()
			case err != nil:
				return errors.Join(err, flush())
			}
			b.add(rows)
			if len(b.events) >= batch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}()
	if err = errors.Join(err, rows.close()); err != nil {
		return rows.report, err
	}
	return rows.finish()
}

// eventBatch collects events. Their strings are made at once, as parts of one.
type eventBatch struct {
	events []Event // so far without strings
	text   []byte  // user, item, id and context of the first event, of the second, ...
	ends   []int   // of each of them in text
}

func (b *eventBatch) add(r *rowReader) {
	b.events = append(b.events, Event{Behavior: r.behavior, Value: r.value, Time: r.time})
	b.string(r.user)
	b.string(r.item)
	if len(r.id) > 0 {
		b.string(r.id)
	} else {
		b.text = r.appendID(b.text)
		b.ends = append(b.ends, len(b.text))
	}
	for _, c := range r.at.context {
		b.string(r.rec.Fields[c.at])
	}
}

func (b *eventBatch) string(s []byte) {
	b.text = append(b.text, s...)
	b.ends = append(b.ends, len(b.text))
}

// take returns the events and starts a new batch.
func (b *eventBatch) take(context []contextColumn) []Event {
	text, start, next := string(b.text), 0, 0
	cut := func() string {
		s := text[start:b.ends[next]]
		start, next = b.ends[next], next+1
		return s
	}
	for i := range b.events {
		e := &b.events[i]
		e.User, e.Item, e.ID = cut(), cut(), cut()
		for _, c := range context {
			if s := cut(); s != "" {
				if e.Context == nil {
					e.Context = make(map[string]string, len(context))
				}
				e.Context[c.key] = s
			}
		}
	}
	out := b.events
	b.events = make([]Event, 0, len(out))
	b.text, b.ends = b.text[:0], b.ends[:0]
	return out
}
