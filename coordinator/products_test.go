package coordinator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
)

// TestProductsSayWhatTheyLack looks at a node that follows two partitions, at each state that it can be in.
func TestProductsSayWhatTheyLack(t *testing.T) {
	now := time.Unix(1000, 0)
	x := newProducts(shelfBytes, func() time.Time { return now })
	check := func(what string, partial, stale, wait bool) {
		t.Helper()
		if p, s, w, _ := x.look(2); p != partial || s != stale || w != wait {
			t.Errorf("%s: partial %v, stale %v, wait %v; want %v, %v, %v", what, p, s, w, partial, stale, wait)
		}
	}
	check("nothing is known", true, true, true)
	x.change(0, func(f *followed) { f.loaded, f.heard, f.at = true, now, store.LastOf(5) })
	check("one partition is known", true, true, true)
	x.change(1, func(f *followed) { f.loaded = true })
	check("the other by a replica that does not lead", false, true, false)
	x.change(1, func(f *followed) { f.heard, f.at = now, store.LastOf(9) })
	check("both", false, false, false)
	x.expect(0, 6)
	check("a change was acknowledged", false, true, true)
	x.expect(0, 4) // an earlier one
	x.change(0, func(f *followed) { f.at = store.LastOf(6) })
	check("it has come", false, false, false)
	now = now.Add(lagTime + 1)
	check("no leader was heard for long", false, true, false)
	x.expect(0, 7)
	check("nor is it waited for", false, true, false)
}

// TestAwaitProducts: an answer waits for what was acknowledged here, for a part of its time, and not at all with stale.
func TestAwaitProducts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := routerOver(t, fakePeers{}, "a")
		heard := func(index uint64) {
			r.products.change(0, func(f *followed) { f.loaded, f.heard, f.at = true, r.now(), store.LastOf(index) })
		}
		heard(1)
		r.products.expect(0, 2)
		if partial, stale, err := r.awaitProducts(t.Context(), true); partial || !stale || err != nil {
			t.Errorf("stale: partial %v, stale %v, error %v", partial, stale, err)
		}
		type outcome struct {
			partial, stale bool
			err            error
		}
		done := make(chan outcome, 1)
		go func() {
			var o outcome
			o.partial, o.stale, o.err = r.awaitProducts(t.Context(), false)
			done <- o
		}()
		synctest.Wait()
		if len(done) > 0 {
			t.Fatalf("it did not wait: %+v", <-done)
		}
		heard(2)
		if o := <-done; o != (outcome{}) {
			t.Errorf("after it came: %+v", o)
		}
		full := newProducts(1, r.now)
		full.shelf.Put(&catalog.Record{Key: "p", Attributes: []catalog.Attribute{{Name: "brand", Value: catalog.Value{Type: catalog.Text, Text: "b"}}}})
		known := r.products
		r.products = full
		heard(2)
		if partial, stale, err := r.awaitProducts(t.Context(), false); !partial || stale || err != nil {
			t.Errorf("a product did not fit: partial %v, stale %v, error %v", partial, stale, err)
		}
		r.products = known

		r.products.expect(0, 3)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if partial, stale, err := r.awaitProducts(ctx, false); partial || !stale || err != nil || ctx.Err() != nil {
			t.Errorf("what never comes: partial %v, stale %v, error %v, and the time of the caller: %v", partial, stale, err, ctx.Err())
		}
	})
}

// TestNewArrivalsWithAllConditions: the condition that a list of new products adds is not counted to those of the caller.
func TestNewArrivalsWithAllConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := routerOver(t, fakePeers{}, "a")
		r.products.change(0, func(f *followed) { f.loaded, f.heard = true, r.now() })
		q := Listing{N: 1}
		for range shelf.MaxConditions {
			q.Filter.Conditions = append(q.Filter.Conditions, shelf.Condition{Attribute: "price", Op: shelf.Range, Max: 1})
		}
		if _, err := r.NewArrivals(t.Context(), q); err != nil {
			t.Error(err)
		}
		q.Filter.Conditions = append(q.Filter.Conditions, q.Filter.Conditions[0])
		if _, err := r.NewArrivals(t.Context(), q); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("one more condition than there may be: %v", err)
		}
	})
}
