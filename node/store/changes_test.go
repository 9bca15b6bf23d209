package store

import (
	"bytes"
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/catalog"
)

func putProducts(t *testing.T, s *Store, index uint64, version int64, keys ...string) {
	t.Helper()
	var records []catalog.Record
	for _, key := range keys {
		records = append(records, catalog.Record{Key: key, Version: version})
	}
	if _, err := s.Apply(index, EncodeRecords(nil, catalog.Product, records)); err != nil {
		t.Fatal(err)
	}
}

// TestProductChanges follows a store from every place, over more changes than it remembers, and over a restart and a restored snapshot.
func TestProductChanges(t *testing.T) {
	s := openMem(t)
	changed := s.ProductsChanged()
	putProducts(t, s, 3, 1, "a", "b", "a") // the second a is no change
	select {
	case <-changed:
	default:
		t.Error("a change woke nobody")
	}
	putProducts(t, s, 5, 2, "b")
	want := []ChangedProduct{{"a", Change{3, 0}}, {"b", Change{3, 1}}, {"b", Change{5, 0}}}
	for i, after := range []Change{LastOf(0), {3, 0}, {3, 1}, {5, 0}, LastOf(5), LastOf(9)} {
		got, applied, known, err := s.ProductChanges(after, 10)
		if err != nil || !known || applied != 5 {
			t.Fatalf("behind %v: applied %d, known %v, error %v", after, applied, known, err)
		}
		if diff := gocmp.Diff(append([]ChangedProduct{}, want[min(i, 3):]...), append([]ChangedProduct{}, got...)); diff != "" {
			t.Errorf("behind %v, -want +got:\n%s", after, diff)
		}
	}
	if got, _, _, _ := s.ProductChanges(LastOf(0), 2); len(got) != 2 || got[1] != want[1] {
		t.Errorf("the first 2: %v", got)
	}
	if _, _, known, _ := s.ProductChanges(Change{}, 1); known {
		t.Error("it knows the changes from before it was opened")
	}

	var keys []string
	for i := range keptChanges - 1 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	putProducts(t, s, 7, 1, keys...)
	if _, _, known, _ := s.ProductChanges(Change{3, 0}, 1); known {
		t.Errorf("it knows of more than %d changes", keptChanges)
	}
	got, _, known, err := s.ProductChanges(Change{3, 1}, keptChanges+1)
	if err != nil || !known || len(got) != keptChanges || got[0] != want[2] || got[keptChanges-1] != (ChangedProduct{keys[len(keys)-1], Change{7, keptChanges - 2}}) {
		t.Errorf("%d changes, known %v, error %v, want the last %d", len(got), known, err, keptChanges)
	}

	var stream bytes.Buffer
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WriteTo(t.Context(), &stream); err != nil {
		t.Fatal(err)
	}
	p.Release()
	changed = s.ProductsChanged()
	if err := s.Restore(&stream); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("a restored store woke nobody")
	}
	if _, applied, known, _ := s.ProductChanges(Change{5, 0}, 1); known || applied != 7 {
		t.Errorf("a restored store knows what was before: %v, applied %d", known, applied)
	}
	if got, _, known, _ := s.ProductChanges(LastOf(7), 1); !known || len(got) > 0 {
		t.Errorf("a restored store: %v behind its state, known %v", got, known)
	}
}
