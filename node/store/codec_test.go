package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(genEvent, 0, 20).Draw(t, "events")
		prefix := []byte("prefix")
		b := EncodeBatch(prefix, want)
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("EncodeBatch does not append")
		}
		got, err := DecodeBatch(b[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
			t.Fatalf("-want +got:\n%s", cmp.Diff(want, got))
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	e := event("u", "1", "i", 5)
	e.Context = map[string]string{"a": "b", "c": ""}
	f.Add(EncodeBatch(nil, nil))
	f.Add(EncodeBatch(nil, []fusion.Event{e, e, event("v", "2", "j", 6)}))
	f.Add([]byte{batchVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := DecodeBatch(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not match ErrCorrupt", err)
			}
			return
		}
		for i := range events {
			if err := Check(&events[i]); err != nil {
				t.Fatalf("event %d is invalid: %v", i, err)
			}
		}
		again, err := DecodeBatch(EncodeBatch(nil, events))
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(again, events) && len(events) > 0 {
			t.Fatalf("second round: %s", cmp.Diff(events, again))
		}
	})
}

func FuzzDecodeEventValue(f *testing.F) {
	e := event("u", "1", "i", 5)
	f.Add(appendEventValue(nil, 7, &e))
	e.Context = map[string]string{"a": "b", "c": ""}
	f.Add(appendEventValue(nil, 1<<60, &e))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e fusion.Event
		index, err := decodeEventValue(b, &e)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not match ErrCorrupt", err)
			}
			return
		}
		var e2 fusion.Event
		index2, err := decodeEventValue(appendEventValue(nil, index, &e), &e2)
		if err != nil || index2 != index || e2.Item != e.Item || e2.Behavior != e.Behavior || e2.Time != e.Time || !cmp.Equal(e2.Context, e.Context) {
			t.Fatalf("second round: %d %+v, %v; first %d %+v", index2, e2, err, index, e)
		}
	})
}
