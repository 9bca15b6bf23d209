package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// eventTable is the events of files in memory, as models learn from them: users and items by number, items of most users first.
type eventTable struct {
	users, items, behaviors []string
	start                   []int // of the events of each user
	events                  []train.Event
	rows                    similarity.Rows
}

// tableEvent is an event on the way into a table.
type tableEvent struct {
	user uint32
	id   uint64 // hash of that of the event
	train.Event
}

// numbering gives numbers to keys, in the order in which they come.
type numbering struct {
	of   map[string]uint32
	keys []string
}

func (n *numbering) add(key string) uint32 {
	i, ok := n.of[key]
	if !ok {
		key = strings.Clone(key) // of a batch that need not live on
		i = uint32(len(n.keys))
		n.of[key], n.keys = i, append(n.keys, key)
	}
	return i
}

// readEvents reads sources. Events of one order, which the field order of the context names, are a basket, and so are all others of a user; of two
// events of a user with the same id the second is left out. Memory: 56 bytes for each event, and the keys.
func readEvents(ctx context.Context, ms []fusion.Mapping, dead *fusion.DeadLetterWriter) (*eventTable, error) {
	users, items, behaviors := numbering{of: map[string]uint32{}}, numbering{of: map[string]uint32{}}, numbering{of: map[string]uint32{}}
	var all []tableEvent
	for _, m := range ms {
		if !m.Kind.HasEvents() {
			continue
		}
		_, err := fusion.Events(ctx, m, dead, 0, func(events []fusion.Event) error {
			for i := range events {
				e := &events[i]
				if e.Feedback() {
					continue
				}
				x := tableEvent{user: users.add(e.User), id: xxhash.Sum64String(e.ID), Event: train.Event{Item: items.add(e.Item), Value: float32(e.Value), Time: e.Time}}
				b := behaviors.add(string(e.Behavior))
				if x.Behavior = uint8(b); b > 255 {
					return errors.New("the files have more than 256 behaviors; translate them in a mapping")
				}
				if order := e.Context[view.ContextOrder]; order != "" {
					x.Basket = xxhash.Sum64String(order)
				}
				all = append(all, x)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the files have no events")
	}
	t := &eventTable{behaviors: behaviors.keys}
	userOf, itemOf := t.rank(&users, &items, all)
	for i := range all {
		all[i].user, all[i].Item = userOf[all[i].user], itemOf[all[i].Item]
	}
	slices.SortStableFunc(all, func(a, b tableEvent) int { return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.Time, b.Time)) })
	t.fill(all)
	return t, nil
}

// rank orders the keys: users by key, items by the number of users that have them and then by key. It returns the new number of each.
func (t *eventTable) rank(users, items *numbering, all []tableEvent) (userOf, itemOf []uint32) {
	pairs := make([]uint64, len(all))
	for i, e := range all {
		pairs[i] = uint64(e.user)<<32 | uint64(e.Item)
	}
	slices.Sort(pairs)
	counts := make([]int64, len(items.keys))
	for _, p := range slices.Compact(pairs) {
		counts[uint32(p)]++
	}
	sorted := func(n *numbering, weight func(i uint32) int64) (keys []string, of []uint32) {
		order := make([]uint32, len(n.keys))
		for i := range order {
			order[i] = uint32(i)
		}
		slices.SortFunc(order, func(a, b uint32) int {
			return cmp.Or(cmp.Compare(weight(b), weight(a)), strings.Compare(n.keys[a], n.keys[b]))
		})
		of = make([]uint32, len(order))
		for place, i := range order {
			of[i] = uint32(place)
			keys = append(keys, n.keys[i])
		}
		return keys, of
	}
	t.users, userOf = sorted(users, func(uint32) int64 { return 0 })
	t.items, itemOf = sorted(items, func(i uint32) int64 { return counts[i] })
	return userOf, itemOf
}

// fill takes the events by user and time.
func (t *eventTable) fill(all []tableEvent) {
	t.start, t.rows = []int{0}, similarity.Rows{NumItems: len(t.items), Start: []int64{0}}
	seen := map[uint64]bool{}
	var row []uint32
	for i := 0; i < len(all); {
		clear(seen)
		row = row[:0]
		for user := all[i].user; i < len(all) && all[i].user == user; i++ {
			e := &all[i]
			if seen[e.id] {
				continue
			}
			seen[e.id] = true
			row = append(row, e.Item)
			t.events = append(t.events, e.Event)
		}
		slices.Sort(row)
		t.rows.Item = append(t.rows.Item, slices.Compact(row)...)
		t.rows.Start = append(t.rows.Start, int64(len(t.rows.Item)))
		t.start = append(t.start, len(t.events))
	}
}

// of returns the events of a user, oldest first.
func (t *eventTable) of(user int) []train.Event { return t.events[t.start[user]:t.start[user+1]] }

// train trains a kind of model on the events.
func (t *eventTable) train(ctx context.Context, k *train.Kind, s model.Settings, threads int) ([]byte, error) {
	data := train.Split(&t.rows, nil, 1)
	data[0].Shape.Behaviors = t.behaviors
	data[0].Events = func(ctx context.Context, f func(int, []train.Event) error) error {
		for u := range t.users {
			if err := ctx.Err(); u%1024 == 0 && err != nil {
				return err
			}
			if err := f(u, t.of(u)); err != nil {
				return err
			}
		}
		return nil
	}
	return train.Run(ctx, k, s, data, train.Options{Workers: 1, Threads: threads})
}

// find returns the number of a key.
func find(keys []string, what, key string) (int, error) {
	if i := slices.Index(keys, key); i >= 0 {
		return i, nil
	}
	return 0, usagef("%s %q is not in the files, which have %s", what, key, plural(len(keys), what, what+"s"))
}

// kindFlags are flags for the parameters of a kind of model.
type kindFlags struct {
	kind   *train.Kind
	values map[string]pflag.Value // by parameter
}

// parameterText is the value of a flag that package model checks.
type parameterText string

// String implements pflag.Value.
func (p *parameterText) String() string { return string(*p) }

// Set implements pflag.Value.
func (p *parameterText) Set(s string) error {
	*p = parameterText(s)
	return nil
}

// Type implements pflag.Value; help shows it.
func (p *parameterText) Type() string { return "number" }

// register adds a flag for each parameter that names has, which is the flag it gets.
func (k *kindFlags) register(cmd *cobra.Command, kind *train.Kind, names map[string]string) {
	k.kind, k.values = kind, map[string]pflag.Value{}
	for _, p := range kind.Parameters {
		name, ok := names[p.Name]
		if !ok {
			continue
		}
		doc := p.Doc
		if len(p.Choices) > 0 {
			k.values[p.Name] = &choice{p.Choices[int(p.Default)], p.Choices}
			if len(p.Choices) > shownChoices {
				doc += ": " + alternatives(p.Choices)
			}
		} else {
			n := parameterText(strconv.FormatFloat(p.Default, 'f', -1, 64))
			k.values[p.Name] = &n
		}
		cmd.Flags().Var(k.values[p.Name], name, doc)
	}
}

// settings returns the values of the flags.
func (k *kindFlags) settings() (model.Settings, error) {
	given := map[string]string{}
	for name, value := range k.values {
		given[name] = value.String()
	}
	s, err := model.ParseSettings(k.kind.Parameters, given)
	if err != nil {
		return s, &usageError{err}
	}
	return s, nil
}
