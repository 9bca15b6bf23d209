package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kith-io/kith/source/datatest"
	"github.com/kith-io/kith/source/synthetic"
)

// TestRulesOfBaskets: of 8 baskets 4 have beer, 5 have crisps, and 3 both.
func TestRulesOfBaskets(t *testing.T) {
	file := writeFile(t, "shop.dat", "\"beer\",crisps\nbeer, crisps\ncrisps,beer\nbeer,beer\ncrisps\ncrisps\nsoap\nsoap\n")
	args := []string{"rules", "--input", file, "--format", "baskets", "--sep", "comma", "--min-support", "2"}
	got := mustJSON[jsonRules](t, append(args, "--by", "confidence")...)
	if got.Transactions != 8 || got.Items != 3 || got.Itemsets != 4 || got.Rules != 2 || len(got.Shown) != 2 {
		t.Fatalf("got %+v", got)
	}
	r := got.Shown[0]
	if !slices.Equal(r.If, []string{"beer"}) || r.Then != "crisps" || r.Count != 3 || r.Confidence != 0.75 || math.Abs(r.Lift-1.2) > 1e-12 || math.Abs(*r.Conviction-1.5) > 1e-12 {
		t.Errorf("first rule %+v, want crisps to three of four with beer", r)
	}
	text := mustKith(t, append(args, "-n", "1")...)
	if !strings.Contains(text, "2 rules from 4 frequent sets in 8 transactions of 3 items") || !strings.Contains(text, "1 more is not shown") {
		t.Errorf("text %s", text)
	}
	if got := mustJSON[jsonRules](t, slices.Insert(slices.Clone(args), 1, "soap")...); len(got.Shown) != 0 {
		t.Errorf("rules with soap: %+v, want none", got.Shown)
	}
	for _, c := range []struct {
		args  []string
		parts []string
	}{
		{slices.Insert(slices.Clone(args), 1, "tea"), []string{`"tea"`, "3 items"}},
		{slices.Insert(slices.Clone(args), 1, "tea", "milk"), []string{"at most one"}},
		{append(slices.Clone(args), "--min-confidence", "2"), []string{"min-confidence is 2", "0 to 1"}},
		{append(slices.Clone(args), "--by", "luck"), []string{`"luck"`, "conviction"}},
		{append(slices.Clone(args), "-n", "-1"), []string{"-n is -1"}},
	} {
		checkUsage(t, kith(t, nil, c.args...), c.parts)
	}
	many := kith(t, nil, append(args, "--max-itemsets", "3")...)
	if many.code != exitError || !strings.Contains(many.err, "raise min-support") {
		t.Errorf("too many sets: code %d, %s", many.code, many.err)
	}
}

// TestRulesOfOrders: lines of one order are a transaction, whatever their times, a row that is there twice counts once, and what is canceled is of none.
func TestRulesOfOrders(t *testing.T) {
	orders := writeFile(t, "orders.csv", `line,customer,no,sku,state,placed
1,u,A,x,paid,2026-01-01
2,u,A,y,paid,2026-01-03
2,u,A,y,paid,2026-01-03
3,u,B,x,paid,2026-01-03
4,v,C,x,paid,2026-01-01
5,v,C,y,paid,2026-01-01
6,v,D,y,canceled,2026-01-02
`)
	mapping := writeFile(t, "map.yaml", `sources:
  - name: orders
    path: `+orders+`
    kind: orders
    fields: {id: line, user: customer, order: no, item: sku, time: placed, status: {column: state, values: {paid: purchase, canceled: cancel}}}
`)
	got := mustJSON[jsonRules](t, "rules", "--mapping", mapping, "--min-support", "1", "--by", "confidence")
	if got.Transactions != 3 || got.Items != 2 || got.Rules != 2 {
		t.Fatalf("got %+v, want two rules of three orders", got)
	}
	if r := got.Shown[0]; r.Then != "x" || r.Confidence != 1 || r.Conviction != nil || r.Count != 2 {
		t.Errorf("first rule %+v, want y → x in both orders with y", r)
	}
}

// TestRulesOfGroceries has the number that package arules of R finds.
func TestRulesOfGroceries(t *testing.T) {
	got := mustJSON[jsonRules](t, "rules", "--input", datatest.File(t, "groceries/groceries.csv"), "--format", "baskets", "--sep", "comma",
		"--min-support", "0.001", "--min-confidence", "0.8", "--max-length", "10", "-n", "0")
	if got.Transactions != 9835 || got.Items != 169 || len(got.Shown) != 410 {
		t.Errorf("%d rules of %d transactions of %d items, want 410 of 9,835 of 169", len(got.Shown), got.Transactions, got.Items)
	}
}

// TestNextOfFiles: of 125 views 75 lead to the cart, 60 of these to a purchase, and 12 of these are canceled: 0.6, 0.8 and 0.2, of which all three make 0.096.
func TestNextOfFiles(t *testing.T) {
	var text strings.Builder
	text.WriteString("user,item,behavior,time\n")
	for u := range 125 {
		for i, behavior := range []string{"view", "cart", "purchase", "cancel"} {
			if u < []int{125, 75, 60, 12}[i] {
				_, _ = fmt.Fprintf(&text, "u%d,i%d,%s,%d\n", u, u%5, behavior, 1_700_000_000+60*i)
			}
		}
	}
	text.WriteString("u0,i3,view,1800000000\nu0,i4,view,1800000060\n") // another session
	file := writeFile(t, "events.csv", text.String())
	got := mustJSON[jsonChain](t, "next", "--input", file, "--path", "cart,purchase,cancel", "--steps", "2")
	if !slices.Equal(got.States, []string{"view", "cart", "purchase", "cancel", "start", "end"}) || math.Abs(got.Path.Probability-0.8*0.2) > 1e-12 {
		t.Fatalf("got %+v, want 0.16 from the cart to a canceled purchase", got)
	}
	// 125 of 127 views are of the first sessions, and one of the others leads to the next.
	if p := got.Next[0][1]; math.Abs(p-75.0/127) > 1e-12 {
		t.Errorf("after a view a cart has probability %v, want 75 of 127", p)
	}
	if f := got.Fates[1]; f.From != "cart" || math.Abs(f.Chance[0]-0.8) > 1e-12 || f.Steps != 1 {
		t.Errorf("from the cart %+v, want 0.8 for a purchase in one step", f)
	}
	if !strings.Contains(mustKith(t, "next", "--input", file, "--path", "cart,purchase,cancel"), "cart → purchase → cancel: probability 0.16\n") {
		t.Error("the probability of a path is not shown")
	}
	next := mustJSON[jsonNext](t, "next", "u0", "--input", file, "-n", "2")
	if next.User != "u0" || len(next.Behaviors) != 5 || next.Behaviors[0].Behavior != "end" || len(next.Items) != 2 || next.Items[0].Item == "i4" {
		t.Errorf("after two views: %+v", next)
	}
	for _, c := range []struct {
		args  []string
		parts []string
	}{
		{[]string{"next", "u777", "--input", file}, []string{`"u777"`, "125 users"}},
		{[]string{"next", "--input", file, "--stop", "pay"}, []string{`"pay"`, "purchase"}},
		{[]string{"next", "--input", file, "--order", "4"}, []string{"order is 4", "1 to 3"}},
		{[]string{"next", "--input", file, "--steps", "-1"}, []string{"--steps is -1"}},
	} {
		checkUsage(t, kith(t, nil, c.args...), c.parts)
	}
}

// TestPlantedIsFound: nearly all rules that are planted in a shop are the first by lift, and its chain of behaviors is found again.
func TestPlantedIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	mustKith(t, "generate", "--users", "2000", "--items", "300", "--events", "120000", "--seed", "5", "--out", dir)
	text, err := os.ReadFile(filepath.Join(dir, synthetic.TruthFile))
	if err != nil {
		t.Fatal(err)
	}
	var truth synthetic.Truth
	if err := json.Unmarshal(text, &truth); err != nil {
		t.Fatal(err)
	}
	mapping := filepath.Join(dir, synthetic.MappingFile)
	n := len(truth.Rules)
	// A pair has a rule of each direction, of the same lift.
	found := mustJSON[jsonRules](t, "rules", "--mapping", mapping, "--dead-letters", "none", "--max-length", "2", "--min-support", "10", "--per", "visit", "-n", fmt.Sprint(2*n))
	right := 0
	for _, r := range truth.Rules {
		if slices.ContainsFunc(found.Shown, func(x jsonRule) bool { return x.If[0] == r.If && x.Then == r.Then }) {
			right++
		}
	}
	if n < 15 || right*10 < n*8 {
		t.Errorf("%d of %d planted rules are among the first", right, n)
	}
	chain := mustJSON[jsonChain](t, "next", "--mapping", mapping, "--dead-letters", "none")
	for _, c := range []struct {
		from, to string
		want     float64
	}{
		{"view", "view", truth.Config.Funnel.View.View},
		{"view", "cart", truth.Config.Funnel.View.Cart},
		{"search", "view", truth.Config.Funnel.Search.View},
		{"search", "end", truth.Config.Funnel.Search.Exit},
	} {
		if p := chain.Next[slices.Index(chain.States, c.from)][slices.Index(chain.States, c.to)]; math.Abs(p-c.want) > 0.03 {
			t.Errorf("%s after %s has probability %v, planted is %v", c.to, c.from, p, c.want)
		}
	}
}
