package wire

import (
	"github.com/kith-io/kith/fusion"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// EventToProto converts one event. The context map is shared.
func EventToProto(e *fusion.Event) *kithv1.Event {
	value := e.Value
	return &kithv1.Event{
		Id: e.ID, User: e.User, Item: e.Item, Behavior: string(e.Behavior),
		Value: &value, TimeUnixMs: e.Time, Context: e.Context,
	}
}

// EventFromProto converts one event; a missing value is 1. It does not validate. The context map is shared.
func EventFromProto(m *kithv1.Event) fusion.Event {
	value := 1.0
	if m.Value != nil {
		value = *m.Value
	}
	return fusion.Event{
		ID: m.Id, User: m.User, Item: m.Item, Behavior: fusion.Behavior(m.Behavior),
		Value: value, Time: m.TimeUnixMs, Context: m.Context,
	}
}

// EventsToProto converts a slice of events.
func EventsToProto(events []fusion.Event) []*kithv1.Event {
	out := make([]*kithv1.Event, len(events))
	for i := range events {
		out[i] = EventToProto(&events[i])
	}
	return out
}

// EventsFromProto converts a slice of messages; nil messages become events that Validate refuses.
func EventsFromProto(messages []*kithv1.Event) []fusion.Event {
	out := make([]fusion.Event, len(messages))
	for i, m := range messages {
		if m != nil {
			out[i] = EventFromProto(m)
		}
	}
	return out
}
