package identity_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/record"
)

func claim(source string, v record.Value, time int64) identity.Claim {
	return identity.Claim{Value: v, Place: record.Place{Source: source, Line: 1}, Time: time, Timed: time > 0}
}

func TestSettle(t *testing.T) {
	text, number := record.OfText, record.OfNumber
	three := []identity.Claim{claim("web", text("Sony"), 3), claim("shop", text("SONY Corp"), 1), claim("erp", text("Sony"), 2)}
	tests := []struct {
		rule     identity.Rule
		claims   []identity.Claim
		want     record.Value
		from     string
		agreeing int
		conflict bool
	}{
		{identity.Rule{Method: identity.Trust, Order: []string{"shop", "erp"}}, three, text("SONY Corp"), "shop", 1, true},
		{identity.Rule{Method: identity.Trust, Order: []string{"other", "erp"}}, three, text("Sony"), "erp", 2, true},
		{identity.Rule{Method: identity.Trust}, three, text("Sony"), "web", 2, true}, // nobody is trusted: the newest
		{identity.Rule{Method: identity.Newest}, three, text("Sony"), "web", 2, true},
		{identity.Rule{Method: identity.Newest}, []identity.Claim{claim("a", number(1), 0), claim("b", number(2), 1)}, number(2), "b", 1, true},
		{identity.Rule{Method: identity.Majority, Order: []string{"erp"}}, three, text("Sony"), "erp", 2, true},
		{identity.Rule{Method: identity.Longest}, three, text("SONY Corp"), "shop", 1, true},
		{identity.Rule{Method: identity.Longest}, []identity.Claim{claim("a", text("東京都"), 0), claim("b", text("Rome"), 0)}, text("Rome"), "b", 1, true},
		{identity.Rule{Method: identity.Max}, []identity.Claim{claim("a", number(1), 0), claim("b", number(10), 0)}, number(10), "b", 1, true},
		{identity.Rule{Method: identity.Min}, []identity.Claim{claim("a", number(1), 0), claim("b", number(10), 0)}, number(1), "a", 1, true},
		{identity.Rule{Method: identity.Max}, []identity.Claim{claim("a", text("b"), 0), claim("b", text("a"), 0)}, text("b"), "a", 1, true},
		{identity.Rule{Method: identity.Max}, []identity.Claim{claim("a", record.Value{}, 5), claim("b", number(10), 0)}, number(10), "b", 1, false},
		{identity.Rule{Method: identity.Newest}, []identity.Claim{claim("a", record.Value{}, 5)}, record.Value{}, "", 0, false},
		{identity.Rule{}, nil, record.Value{}, "", 0, false},
		// A source that repeats itself has one vote.
		{
			identity.Rule{Method: identity.Majority},
			[]identity.Claim{claim("a", text("x"), 0), claim("a", text("x"), 1), claim("a", text("x"), 2), claim("b", text("y"), 0), claim("c", text("y"), 0)},
			text("y"), "b", 2, true,
		},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i, " ", tt.rule.Method), func(t *testing.T) {
			got := tt.rule.Settle(tt.claims)
			if got.Value != tt.want || got.Place.Source != tt.from || got.Agreeing != tt.agreeing || got.Conflict() != tt.conflict {
				t.Errorf("%+v of %+v:\ngot  %v from %s, %d agree, conflict %t\nwant %v from %s, %d agree, conflict %t", tt.rule, tt.claims,
					got.Value, got.Place.Source, got.Agreeing, got.Conflict(), tt.want, tt.from, tt.agreeing, tt.conflict)
			}
		})
	}
}

// TestSettleIgnoresOrder checks that no method depends on the order of the sources, and that nothing gets lost.
func TestSettleIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule := identity.Rule{
			Method: identity.Method(rapid.IntRange(0, int(identity.Min)).Draw(rt, "method")),
			Order:  rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.ID[string]).Draw(rt, "order"),
		}
		var claims []identity.Claim
		values := 0
		for i := range rapid.IntRange(0, 8).Draw(rt, "claims") {
			v := rapid.SampledFrom([]record.Value{{}, record.OfText("x"), record.OfText("yy"), record.OfNumber(1), record.OfNumber(2), record.OfBool(true)}).Draw(rt, "value")
			if !v.IsNull() {
				values++
			}
			c := claim(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "source"), v, rapid.Int64Range(0, 3).Draw(rt, "time"))
			c.Place.Line = int64(i)
			claims = append(claims, c)
		}
		first := rule.Settle(claims)
		shuffled := slices.Clone(claims)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		same := cmp.Comparer(func(a, b record.Value) bool { return a == b })
		if d := cmp.Diff(first, rule.Settle(shuffled), same); d != "" {
			rt.Fatalf("%+v of %v in another order:\n%s", rule, claims, d)
		}
		if values > 0 && len(first.Others)+1 != values {
			rt.Fatalf("%d others of %d values", len(first.Others), values)
		}
	})
}

func TestParseMethod(t *testing.T) {
	for m := identity.Trust; m <= identity.Min; m++ {
		if got, err := identity.ParseMethod(m.String()); err != nil || got != m {
			t.Errorf("ParseMethod(%q) = %v, %v", m.String(), got, err)
		}
	}
	if _, err := identity.ParseMethod("best"); !errors.Is(err, identity.ErrConfig) {
		t.Errorf("ParseMethod(best): error %v, want %v", err, identity.ErrConfig)
	}
}
