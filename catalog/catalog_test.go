package catalog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/catalog"
)

func text(s string) catalog.Value { return catalog.Value{Type: catalog.Text, Text: s} }

func full() catalog.Record {
	return catalog.Record{
		Key: "p1", Version: 7, Places: []byte(`{"source":"shop"}`),
		Attributes: []catalog.Attribute{
			{Name: "new", Value: catalog.Value{Type: catalog.Bool, Bool: true}},
			{Name: "price", Value: catalog.Value{Type: catalog.Number, Number: 9.5}},
			{Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: -5}},
			{Name: "tags", Value: catalog.Value{Type: catalog.Texts, Texts: []string{"a", ""}}},
			{Name: "title", Value: text("Größe")},
		},
	}
}

var genValue = rapid.Custom(func(t *rapid.T) (v catalog.Value) {
	switch v.Type = catalog.Type(rapid.IntRange(1, 5).Draw(t, "type")); v.Type {
	case catalog.Text:
		v.Text = rapid.StringN(0, 5, 20).Draw(t, "text")
	case catalog.Number:
		v.Number = rapid.Float64Range(-1e9, 1e9).Draw(t, "number")
	case catalog.Bool:
		v.Bool = rapid.Bool().Draw(t, "truth")
	case catalog.Time:
		v.Millis = rapid.Int64Range(-62135596800000, 253402300799999).Draw(t, "time")
	case catalog.Texts:
		v.Texts = rapid.SliceOfN(rapid.StringN(0, 5, 20), 0, 3).Draw(t, "texts")
		if v.Texts == nil {
			v.Texts = []string{}
		}
	}
	return v
})

var genRecord = rapid.Custom(func(t *rapid.T) (r catalog.Record) {
	r.Key = rapid.SampledFrom([]string{"a", "b", "ü"}).Draw(t, "key")
	r.Version = rapid.Int64Range(0, 2).Draw(t, "version")
	if r.Deleted = rapid.IntRange(0, 3).Draw(t, "deleted") == 0; r.Deleted {
		return r
	}
	for _, name := range []string{"a", "b", "c"} {
		if rapid.Bool().Draw(t, "has "+name) {
			r.Attributes = append(r.Attributes, catalog.Attribute{Name: name, Value: genValue.Draw(t, "value")})
		}
	}
	if rapid.Bool().Draw(t, "has places") {
		r.Places = []byte("here")
	}
	return r
})

func TestRoundTrip(t *testing.T) {
	check := func(t interface {
		Fatalf(string, ...any)
	}, r catalog.Record,
	) {
		if err := r.Check(); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		got, rest, err := catalog.Decode(append(r.Append(nil), "more"...))
		if err != nil || string(rest) != "more" {
			t.Fatalf("%+v: rest %q, error %v", r, rest, err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}
	check(t, full())
	rapid.Check(t, func(t *rapid.T) { check(t, genRecord.Draw(t, "record")) })
}

// TestNewer: the record that stays is the same in whatever order they come, and equal ones change nothing.
func TestNewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(genRecord, 1, 6).Draw(t, "records")
		for i := range records {
			records[i].Key = "k"
		}
		stays := func(order []int) catalog.Record {
			best := records[order[0]]
			for _, i := range order[1:] {
				if catalog.Newer(&records[i], &best) {
					best = records[i]
				}
			}
			return best
		}
		order := make([]int, len(records))
		for i := range order {
			order[i] = i
		}
		want := stays(order)
		got := stays(rapid.Permutation(order).Draw(t, "order"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the order counts: %s", diff)
		}
		for i := range records {
			if r := records[i]; catalog.Newer(&r, &records[i]) {
				t.Fatalf("%+v is newer than itself", r)
			}
			if records[i].Version > want.Version {
				t.Fatalf("version %d stays, there is %d", want.Version, records[i].Version)
			}
		}
	})
}

func TestDeletionWinsATie(t *testing.T) {
	put, gone := full(), catalog.Record{Key: "p1", Version: 7, Deleted: true}
	if !catalog.Newer(&gone, &put) || catalog.Newer(&put, &gone) {
		t.Error("of one version a deletion must stay")
	}
}

func TestCheck(t *testing.T) {
	change := func(f func(*catalog.Record)) catalog.Record {
		r := full()
		f(&r)
		return r
	}
	first := func(v catalog.Value) catalog.Record {
		return change(func(r *catalog.Record) { r.Attributes[0].Value = v })
	}
	for _, c := range []struct {
		name, want string
		record     catalog.Record
	}{
		{"no key", "no key", change(func(r *catalog.Record) { r.Key = "" })},
		{"long key", "257 bytes; want at most 256", change(func(r *catalog.Record) { r.Key = strings.Repeat("x", 257) })},
		{"NUL", "NUL", change(func(r *catalog.Record) { r.Key = "a\x00b" })},
		{"negative version", `"p1": its version is -1`, change(func(r *catalog.Record) { r.Version = -1 })},
		{"deleted with attributes", "deleted", change(func(r *catalog.Record) { r.Deleted = true })},
		{"twice", `attribute "price" comes after "price"`, change(func(r *catalog.Record) { r.Attributes[0].Name = "price" })},
		{"no name", "name of attribute", change(func(r *catalog.Record) { r.Attributes[0].Name = "" })},
		{"NaN", "finite", first(catalog.Value{Type: catalog.Number, Number: math.NaN()})},
		{"two values", "more than", first(catalog.Value{Type: catalog.Number, Text: "x"})},
		{"time", "9999", first(catalog.Value{Type: catalog.Time, Millis: 1 << 50})},
		{"no type", "type 0", first(catalog.Value{})},
		{"bad text", "UTF-8", first(text("\xff"))},
		{"bad texts", "UTF-8", first(catalog.Value{Type: catalog.Texts, Texts: []string{"\xff"}})},
		{"large", "want at most 65536", first(text(strings.Repeat("x", 64<<10)))},
		{"many attributes", "201 attributes; want at most 200", change(func(r *catalog.Record) {
			r.Attributes = nil
			for i := range 201 {
				r.Attributes = append(r.Attributes, catalog.Attribute{Name: fmt.Sprintf("a%03d", i), Value: text("")})
			}
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.record.Check()
			if !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}

// FuzzDecode: what Decode takes is within the bounds, and has no other encoding.
func FuzzDecode(f *testing.F) {
	r := full()
	f.Add(r.Append(nil))
	gone := catalog.Record{Key: "p", Version: 1 << 40, Deleted: true}
	f.Add(gone.Append(nil))
	f.Add([]byte{1, 'a', 0, 0, 200, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := catalog.Decode(b)
		if err != nil {
			if !errors.Is(err, catalog.ErrCorrupt) {
				t.Fatalf("%v does not match ErrCorrupt", err)
			}
			return
		}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		if again := r.Append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("%x encodes to %x", b[:len(b)-len(rest)], again)
		}
	})
}
