package fusion

import (
	"fmt"
	"slices"

	"github.com/kith-io/kith/fusion/record"
)

// EventMaker makes events of records of kinds events and orders. It is safe for concurrent use.
type EventMaker struct {
	kind                                  Kind
	user, item, behavior, value, time, id int // -1 where there is none
	context                               []contextColumn
}

// NewEventMaker returns a maker for records of a kind with these fields, as Records has them. Fields that mean something have their types
// and those that are needed are there; otherwise the error matches ErrMapping.
func NewEventMaker(k Kind, fields []record.Field) (*EventMaker, error) {
	if k == "" {
		k = EventRows
	}
	if !k.HasEvents() {
		return nil, fmt.Errorf("%w: rows of %s are no events", ErrMapping, k)
	}
	behavior, value := "behavior", "value"
	if k == OrderRows {
		behavior, value = "status", "quantity"
	}
	m := &EventMaker{kind: k}
	parts := map[string]*int{"user": &m.user, "item": &m.item, behavior: &m.behavior, value: &m.value, "time": &m.time, "id": &m.id}
	for name, dst := range parts {
		*dst = record.FieldIndex(fields, name)
		means, _ := meaningOf(k, name)
		if *dst < 0 && means.needed {
			return nil, fmt.Errorf("%w: a record of %s lacks the field %s", ErrMapping, k, name)
		}
		if *dst >= 0 && fields[*dst].Type != means.typ {
			return nil, fmt.Errorf("%w: %s of %s is a %s, and must be a %s", ErrMapping, name, k, fields[*dst].Type, means.typ)
		}
	}
	for i, f := range fields {
		if parts[f.Name] == nil {
			m.context = append(m.context, contextColumn{f.Name, i})
		}
	}
	slices.SortFunc(m.context, func(a, b contextColumn) int { return compareStrings(a.key, b.key) })
	return m, nil
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Event returns the event of a record, or an error that matches one of the reasons to refuse events. All fields without a meaning for
// events, those of an order and a price among them, go into its context. An order without a status is a purchase; one with a negative
// quantity takes that quantity back.
func (m *EventMaker) Event(values []record.Value) (Event, error) {
	value := func(at int) record.Value {
		if at < 0 {
			return record.Value{}
		}
		return values[at]
	}
	e := Event{
		User: value(m.user).Text(), Item: value(m.item).Text(), Behavior: Behavior(value(m.behavior).Text()), Value: 1,
		Time: value(m.time).Millis(), ID: value(m.id).Text(),
	}
	v := value(m.value)
	if !v.IsNull() {
		e.Value = v.Number()
	}
	if m.kind == OrderRows {
		switch e.Behavior {
		case "":
			e.Behavior = Purchase
		case Purchase, Cancel:
		default:
			return e, fmt.Errorf("%w: %.40q is neither purchase nor cancel; translate it with values of the field status, or leave the row out with where", errBadStatus, string(e.Behavior))
		}
		if e.Value < 0 {
			e.Behavior, e.Value = Cancel, -e.Value
		}
	} else if e.Behavior == Rating && v.IsNull() {
		return e, fmt.Errorf("%w: a rating without value", ErrBadValue)
	}
	for _, c := range m.context {
		if v := values[c.at]; !v.IsNull() {
			if e.Context == nil {
				e.Context = make(map[string]string, len(m.context))
			}
			e.Context[c.key] = v.String()
		}
	}
	return e, e.Validate()
}

var errBadStatus error = &refusal{"bad_status", "unknown status"}
