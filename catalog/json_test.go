package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/catalog"
)

func TestJSON(t *testing.T) {
	r := full()
	line, err := catalog.FormatJSON(&r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"key":"p1","version":7,"attributes":{"new":true,"price":9.5,"since":{"time":"1969-12-31T23:59:59.995Z"},"tags":["a",""],"title":"Größe"},"places":{"source":"shop"}}`
	if string(line) != want {
		t.Errorf("got %s\nwant %s", line, want)
	}
	back, err := catalog.ParseJSON(line)
	if diff := cmp.Diff(r, back); err != nil || diff != "" {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
	for _, c := range [][2]string{
		{`{"version":1}`, "want a key and a version"},
		{`{"key":"k"}`, "want a key and a version"},
		{`{"key":"k","version":1,"color":"red"}`, "color"},
		{`{"key":"k","version":1,"attributes":{"a":{"tim":"x"}}}`, "want a text"},
		{`{"key":"k","version":1,"attributes":{"a":{"time":"yesterday"}}}`, "yesterday"},
		{`{"key":"k","version":1,"attributes":{"a":[1]}}`, "want a text"},
		{`{"key":"k","version":1,"attributes":{"a":[null]}}`, "want a text"},
		{`{"key":"k","version":1,"attributes":{"a":1e999}}`, "want a text"},
		{`{"key":"k","version":1.5}`, "1.5"},
		{`{"key":"k","version":1} x`, "more than one"},
		{`{"key":"","version":1}`, "no key"},
	} {
		if _, err := catalog.ParseJSON([]byte(c[0])); !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: got %v, want ErrInvalid with %q", c[0], err, c[1])
		}
	}
	if r, err := catalog.ParseJSON([]byte(`{"key":"k","version":1,"attributes":{"a":null},"places":null}`)); err != nil || len(r.Attributes) > 0 || r.Places != nil {
		t.Errorf("null is %+v, error %v; want it left out", r, err)
	}
}

// FuzzParseJSON: what is taken is within the bounds and reads back from what it is written as.
func FuzzParseJSON(f *testing.F) {
	r := full()
	line, err := catalog.FormatJSON(&r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte(`{"key":"k","version":1,"attributes":{"a":null,"b":[],"c":-0.0}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := catalog.ParseJSON(b)
		if err != nil {
			if !errors.Is(err, catalog.ErrInvalid) {
				t.Fatalf("%v does not match ErrInvalid", err)
			}
			return
		}
		line, err := catalog.FormatJSON(&r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := catalog.ParseJSON(line)
		r.Places, back.Places = nil, nil // white space in them does not count
		if diff := cmp.Diff(r, back); err != nil || diff != "" {
			t.Fatalf("%s: error %v, %s", line, err, diff)
		}
	})
}
