package experiment_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/experiment"
)

var key = experiment.Key([]byte("a secret"))

func TestAnswerID(t *testing.T) {
	name := rapid.StringMatching(`[a-z][a-z0-9_-]{0,63}`)
	rapid.Check(t, func(t *rapid.T) {
		want := experiment.Answer{
			Unit: experiment.Unit(key, rapid.String().Draw(t, "unit")), Time: rapid.Int64Range(0, 1<<48).Draw(t, "time"),
			Version: rapid.Uint64().Draw(t, "version"), Scene: name.Draw(t, "scene"), Items: rapid.SliceOfN(rapid.Uint16(), 0, 60).Draw(t, "items"),
		}
		if rapid.Bool().Draw(t, "in an experiment") {
			want.Experiment, want.Variant = name.Draw(t, "experiment"), name.Draw(t, "variant")
		}
		id := want.ID(key)
		if len(id) > experiment.MaxIDBytes {
			t.Fatalf("an id of %d bytes, want at most %d", len(id), experiment.MaxIDBytes)
		}
		got, err := experiment.Open(key, id)
		if err != nil {
			t.Fatalf("Open(%s): %v", id, err)
		}
		want.More = len(want.Items) > experiment.MaxItems
		want.Items = want.Items[:min(len(want.Items), experiment.MaxItems)]
		if len(want.Items) == 0 {
			want.Items = nil
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}

		at := rapid.IntRange(0, len(id)-1).Draw(t, "changed byte")
		other := rapid.SampledFrom([]byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_!")).Draw(t, "to")
		changed := []byte(id)
		changed[at] = other
		// The last character has bits that stand for nothing.
		if _, err := experiment.Open(key, string(changed)); at < len(id)-1 && !bytes.Equal(changed, []byte(id)) && !errors.Is(err, experiment.ErrAnswer) {
			t.Fatalf("byte %d of %s changed to %c: error %v, want one that matches ErrAnswer", at, id, other, err)
		}
		if _, err := experiment.Open(experiment.Key([]byte("another")), id); !errors.Is(err, experiment.ErrAnswer) {
			t.Fatalf("with another key: %v", err)
		}
	})
}

func TestAnswerHas(t *testing.T) {
	var items []uint16
	for i := range 10 {
		items = append(items, experiment.Item(fmt.Sprint("i", i)))
	}
	all, some := experiment.Answer{Items: items}, experiment.Answer{Items: items, More: true}
	if !all.Has("i7") || all.Has("x") || !some.Has("x") {
		t.Errorf("Has: i7 %t, x %t, x of an id that lacks items %t; want true, false, true", all.Has("i7"), all.Has("x"), some.Has("x"))
	}
}

func FuzzOpen(f *testing.F) {
	a := experiment.Answer{Unit: 1, Time: 2, Version: 3, Scene: "home", Experiment: "e", Variant: "v", Items: []uint16{1, 2}}
	f.Add(a.ID(key))
	f.Add("")
	f.Add(strings.Repeat("A", 600))
	f.Fuzz(func(t *testing.T, id string) {
		got, err := experiment.Open(key, id)
		if err != nil && !errors.Is(err, experiment.ErrAnswer) {
			t.Fatalf("error %v, want one that matches ErrAnswer", err)
		}
		if err == nil && len(got.Scene) > 255 {
			t.Fatalf("%+v", got)
		}
	})
}

func BenchmarkAnswerID(b *testing.B) {
	a := experiment.Answer{Unit: 1, Time: 1_796_130_000_000, Version: 42, Scene: "home", Experiment: "home-2026-12", Variant: "control", Items: make([]uint16, 10)}
	b.ReportAllocs()
	for b.Loop() {
		if a.ID(key) == "" {
			b.Fatal("no id")
		}
	}
}

// TestIDHasOneSpelling: what a decoder of base64 takes beside it is another id.
func TestIDHasOneSpelling(t *testing.T) {
	a := experiment.Answer{Unit: experiment.Unit(key, "u"), Time: 1, Scene: "home", Items: []uint16{1, 2, 3}}
	id := a.ID(key)
	if _, err := experiment.Open(key, id); err != nil {
		t.Fatal(err)
	}
	last := id[:len(id)-1]
	others := []string{id + "\n", "\r" + id, id + "=", last}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if other := last + string(c); other != id {
			others = append(others, other)
		}
	}
	for _, other := range others {
		if _, err := experiment.Open(key, other); !errors.Is(err, experiment.ErrAnswer) {
			t.Errorf("%q is taken for %q", other, id)
		}
	}
}
