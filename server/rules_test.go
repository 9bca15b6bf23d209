package server_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// shopNow is the present of the tests: an hour after the last of shopEvents.
const shopNow = 1_700_003_600_000

func textValue(name, x string) *kithv1.Attribute {
	return &kithv1.Attribute{Name: name, Value: &kithv1.Attribute_Text{Text: x}}
}

func textsValue(name string, xs ...string) *kithv1.Attribute {
	return &kithv1.Attribute{Name: name, Value: &kithv1.Attribute_Texts{Texts: &kithv1.TextList{Texts: xs}}}
}

func numberValue(name string, x float64) *kithv1.Attribute {
	return &kithv1.Attribute{Name: name, Value: &kithv1.Attribute_Number{Number: x}}
}

func timeValue(name string, ms int64) *kithv1.Attribute {
	return &kithv1.Attribute{Name: name, Value: &kithv1.Attribute_TimeUnixMs{TimeUnixMs: ms}}
}

// shopProducts returns products of which most have events and some have not; some attributes are missing, some records deleted.
func shopProducts(rng *rand.Rand, version int64) []*kithv1.Record {
	var out []*kithv1.Record
	for k := range 60 {
		key := fmt.Sprintf("i%04d", k)
		if k >= 45 { // the items 45 to 59 have no record
			key = fmt.Sprintf("n%03d", k)
		}
		r := &kithv1.Record{Key: key, Version: version}
		if rng.IntN(12) == 0 {
			r.Deleted = true
			out = append(out, r)
			continue
		}
		add := func(a *kithv1.Attribute) {
			if rng.IntN(8) > 0 {
				r.Attributes = append(r.Attributes, a)
			}
		}
		category := fmt.Sprint("c", rng.IntN(4))
		if rng.IntN(4) == 0 {
			add(textsValue("category", category, "c9"))
		} else {
			add(textValue("category", category))
		}
		add(textValue("brand", fmt.Sprint("b", rng.IntN(6))))
		add(numberValue("price", float64(rng.IntN(100))))
		if rng.IntN(2) == 0 {
			add(numberValue("stock", float64(rng.IntN(3))))
		} else {
			add(&kithv1.Attribute{Name: "stock", Value: &kithv1.Attribute_Truth{Truth: rng.IntN(2) == 0}})
		}
		var tags []string
		for x := range 5 {
			if rng.IntN(2) == 0 {
				tags = append(tags, fmt.Sprint("t", x))
			}
		}
		add(textsValue("tags", tags...))
		add(timeValue("since", shopNow-int64(rng.IntN(20)-1)*86_400_000))
		out = append(out, r)
	}
	return out
}

// reference answers requests by looking at all items, one after the other.
type reference struct {
	products map[string]*kithv1.Record
	history  map[string][]*kithv1.Event
	counts   map[string]int
	order    []string                                                     // items with events, by dense id
	scores   func(req *kithv1.RecommendRequest) []*kithv1.RecommendedItem // of the model, without any rule
}

func newReference(events []*kithv1.Event) *reference {
	r := &reference{products: map[string]*kithv1.Record{}, history: map[string][]*kithv1.Event{}, counts: map[string]int{}}
	for _, e := range events {
		r.history[e.User] = append(r.history[e.User], e)
		r.counts[e.Item]++
	}
	_, r.order, _ = matrix(events, 1)
	return r
}

func (r *reference) attribute(item, name string) *kithv1.Attribute {
	for _, a := range r.products[item].GetAttributes() {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// texts returns the values of an attribute as texts.
func texts(a *kithv1.Attribute) []string {
	switch v := a.GetValue().(type) {
	case *kithv1.Attribute_Text:
		return []string{v.Text}
	case *kithv1.Attribute_Texts:
		return v.Texts.Texts
	case *kithv1.Attribute_Number:
		return []string{fmt.Sprint(v.Number)}
	case *kithv1.Attribute_Truth:
		return []string{fmt.Sprint(v.Truth)}
	}
	return nil
}

func (r *reference) passes(item string, f *kithv1.Filter) bool {
	if p := r.products[item]; f.GetOnlyProducts() && (p == nil || p.Deleted) {
		return false
	}
	if len(f.GetAllow()) > 0 && !slices.Contains(f.Allow, item) || slices.Contains(f.GetDeny(), item) {
		return false
	}
	for _, c := range f.GetConditions() {
		a := r.attribute(item, c.Attribute)
		has := func(x string) bool { return slices.Contains(texts(a), x) }
		ok := false
		switch t := c.Test.(type) {
		case *kithv1.Condition_AnyOf:
			ok = slices.ContainsFunc(t.AnyOf.Texts, has)
		case *kithv1.Condition_NoneOf:
			ok = !slices.ContainsFunc(t.NoneOf.Texts, has)
		case *kithv1.Condition_AllOf:
			ok = !slices.ContainsFunc(t.AllOf.Texts, func(x string) bool { return !has(x) })
		case *kithv1.Condition_Available:
			ok = a.GetTruth() || a.GetNumber() > 0
		case *kithv1.Condition_Range:
			var x float64
			switch v := a.GetValue().(type) {
			case *kithv1.Attribute_Number:
				x, ok = v.Number, true
			case *kithv1.Attribute_TimeUnixMs:
				x, ok = float64(v.TimeUnixMs), true
			}
			if t.Range.Min != nil && (x < *t.Range.Min || x == *t.Range.Min && t.Range.ExcludeMin) {
				ok = false
			}
			if t.Range.Max != nil && (x > *t.Range.Max || x == *t.Range.Max && t.Range.ExcludeMax) {
				ok = false
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

func (r *reference) factor(item string, req *kithv1.RecommendRequest) float64 {
	x := 1.0
	for _, b := range req.Boosts {
		if r.passes(item, b.Filter) {
			x *= b.Factor
		}
	}
	if f := req.Freshness; f != nil {
		if since, ok := r.attribute(item, "since").GetValue().(*kithv1.Attribute_TimeUnixMs); ok {
			age := max(0, req.NowUnixMs-since.TimeUnixMs)
			x *= 1 + f.Strength*math.Exp2(-float64(age)/float64(f.HalfLifeMs))
		}
	}
	return x
}

// excluded returns the items that the history keeps out.
func (r *reference) excluded(req *kithv1.RecommendRequest) map[string]bool {
	out := map[string]bool{}
	for _, e := range r.history[req.GetUser()] {
		if len(req.ExcludeHistory) == 0 {
			out[e.Item] = out[e.Item] || !req.IncludeSeen
			continue
		}
		for _, x := range req.ExcludeHistory {
			if (len(x.Behaviors) == 0 || slices.Contains(x.Behaviors, e.Behavior)) && (x.WithinMs == 0 || req.NowUnixMs-e.TimeUnixMs <= int64(x.WithinMs)) {
				out[e.Item] = true
			}
		}
	}
	return out
}

type ranking struct {
	item  string
	score float64
	from  kithv1.Model
}

// take moves the next items of some that are ranked behind those of an answer.
func (r *reference) take(answer, ranked []ranking, n int, d *kithv1.Diversity) []ranking {
	group := func(item string) string {
		return strings.Join(texts(r.attribute(item, d.GetAttribute()))[:min(1, len(texts(r.attribute(item, d.GetAttribute()))))], "")
	}
	left := slices.Clone(ranked)
	largest := 0.0
	if len(ranked) > 0 {
		largest = ranked[0].score
	}
	for len(answer) < n {
		best, at := math.Inf(-1), -1
		for i, x := range left {
			value := float64(len(left) - i) // the first of what is ranked
			if d != nil {
				g, there := group(x.item), 0
				for _, y := range answer {
					if g != "" && group(y.item) == g {
						there++
					}
				}
				if d.MaxPerGroup > 0 && there >= int(d.MaxPerGroup) {
					continue
				}
				value = 0
				if largest > 0 {
					value = d.GetLambda() * (x.score / largest)
				}
				if there > 0 {
					value -= 1 - d.GetLambda()
				}
			}
			if value > best {
				best, at = value, i
			}
		}
		if at < 0 {
			break
		}
		answer = append(answer, left[at])
		left = slices.Delete(left, at, at+1)
	}
	return answer
}

func (r *reference) answer(req *kithv1.RecommendRequest) []ranking {
	n, out := int(req.N), r.excluded(req)
	var pins []*kithv1.Pin
	naturals := n
	for _, p := range req.Pins {
		if r.passes(p.Item, req.Filter) {
			pins, out[p.Item] = append(pins, p), true
			if int(p.Rank) <= n {
				naturals--
			}
		}
	}
	allowed := func(item string) bool { return !out[item] && r.passes(item, req.Filter) }
	var answer []ranking
	byModel := func() (ranked []ranking) {
		for _, x := range r.scores(req) {
			if allowed(x.Item) {
				ranked = append(ranked, ranking{x.Item, x.Score * r.factor(x.Item, req), req.Model})
			}
		}
		slices.SortFunc(ranked, func(a, b ranking) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(slices.Index(r.order, a.item), slices.Index(r.order, b.item)))
		})
		return ranked
	}
	if req.Model != kithv1.Model_MODEL_POPULARITY {
		answer = r.take(answer, byModel(), naturals, req.Diversity)
	}
	there := func(item string) bool {
		return slices.ContainsFunc(answer, func(x ranking) bool { return x.item == item })
	}
	if !req.NoFallback {
		var ranked []ranking
		for item, count := range r.counts {
			if allowed(item) && !there(item) {
				ranked = append(ranked, ranking{item, float64(count) * r.factor(item, req), kithv1.Model_MODEL_POPULARITY})
			}
		}
		slices.SortFunc(ranked, func(a, b ranking) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(r.counts[b.item], r.counts[a.item]), cmp.Compare(a.item, b.item))
		})
		answer = r.take(answer, ranked, naturals, req.Diversity)
		ranked = nil
		since := func(item string) int64 {
			if t, ok := r.attribute(item, "since").GetValue().(*kithv1.Attribute_TimeUnixMs); ok {
				return t.TimeUnixMs
			}
			return math.MinInt64
		}
		for item, p := range r.products {
			if !p.Deleted && r.counts[item] == 0 && allowed(item) {
				ranked = append(ranked, ranking{item, 0, kithv1.Model_MODEL_NEWEST})
			}
		}
		slices.SortFunc(ranked, func(a, b ranking) int {
			return cmp.Or(cmp.Compare(since(b.item), since(a.item)), cmp.Compare(a.item, b.item))
		})
		answer = r.take(answer, ranked, naturals, req.Diversity)
	}
	slices.SortFunc(pins, func(a, b *kithv1.Pin) int { return cmp.Compare(a.Rank, b.Rank) })
	for _, p := range pins {
		at := min(int(p.Rank)-1, len(answer))
		answer = slices.Insert(answer, at, ranking{p.Item, 0, kithv1.Model_MODEL_PINNED})
	}
	return answer[:min(n, len(answer))]
}

func drawTexts(t *rapid.T, of string, n int) *kithv1.TextList {
	return &kithv1.TextList{Texts: rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(of, rapid.IntRange(0, n).Draw(t, "value")) }), 1, 3, rapid.ID[string]).Draw(t, "texts")}
}

func drawItem(t *rapid.T) string {
	return rapid.OneOf(rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("i%04d", rapid.IntRange(0, 62).Draw(t, "item")) }),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("n%03d", rapid.IntRange(45, 60).Draw(t, "item")) })).Draw(t, "key")
}

func drawFilter(t *rapid.T) *kithv1.Filter {
	f := &kithv1.Filter{OnlyProducts: rapid.IntRange(0, 3).Draw(t, "only") == 0}
	if rapid.IntRange(0, 5).Draw(t, "allow?") == 0 {
		f.Allow = rapid.SliceOfN(rapid.Custom(drawItem), 1, 30).Draw(t, "allow")
	}
	if rapid.IntRange(0, 3).Draw(t, "deny?") == 0 {
		f.Deny = rapid.SliceOfN(rapid.Custom(drawItem), 1, 10).Draw(t, "deny")
	}
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		var c *kithv1.Condition
		switch rapid.IntRange(0, 6).Draw(t, "condition") {
		case 0:
			c = &kithv1.Condition{Attribute: "category", Test: &kithv1.Condition_AnyOf{AnyOf: drawTexts(t, "c", 9)}}
		case 1:
			c = &kithv1.Condition{Attribute: "brand", Test: &kithv1.Condition_NoneOf{NoneOf: drawTexts(t, "b", 6)}}
		case 2:
			c = &kithv1.Condition{Attribute: "tags", Test: &kithv1.Condition_AllOf{AllOf: drawTexts(t, "t", 4)}}
		case 3:
			r := &kithv1.Range{ExcludeMin: rapid.Bool().Draw(t, "open"), ExcludeMax: rapid.Bool().Draw(t, "open")}
			if rapid.Bool().Draw(t, "min?") {
				r.Min = proto.Float64(float64(rapid.IntRange(0, 50).Draw(t, "min")))
			}
			if rapid.Bool().Draw(t, "max?") {
				r.Max = proto.Float64(float64(rapid.IntRange(50, 100).Draw(t, "max")))
			}
			c = &kithv1.Condition{Attribute: "price", Test: &kithv1.Condition_Range{Range: r}}
		case 4:
			c = &kithv1.Condition{Attribute: "stock", Test: &kithv1.Condition_Available{Available: &kithv1.Available{}}}
		case 5:
			c = &kithv1.Condition{Attribute: "stock", Test: &kithv1.Condition_AnyOf{AnyOf: &kithv1.TextList{Texts: []string{"true", "2"}}}}
		case 6:
			c = &kithv1.Condition{Attribute: "since", Test: &kithv1.Condition_Range{Range: &kithv1.Range{Min: proto.Float64(shopNow - 864_000_000)}}}
		}
		f.Conditions = append(f.Conditions, c)
	}
	return f
}

func drawRequest(t *rapid.T) *kithv1.RecommendRequest {
	req := forUser(rapid.SampledFrom([]string{"u000", "u001", "u002", "u003", "nobody"}).Draw(t, "user"), uint32(rapid.IntRange(1, 80).Draw(t, "n")))
	req.Model = kithv1.Model(rapid.IntRange(1, 4).Draw(t, "model"))
	req.IncludeSeen = rapid.Bool().Draw(t, "seen")
	req.NoFallback = req.GetUser() != "nobody" && req.Model != kithv1.Model_MODEL_POPULARITY && rapid.IntRange(0, 4).Draw(t, "no fallback") == 0
	req.NowUnixMs, req.Explain = shopNow, true
	req.Filter = drawFilter(t)
	if rapid.IntRange(0, 3).Draw(t, "exclude?") == 0 {
		req.ExcludeHistory = []*kithv1.HistoryRule{{Behaviors: []string{"purchase"}}, {WithinMs: uint64(shopNow - 1_700_000_000_000 - rapid.IntRange(0, 20).Draw(t, "age"))}}
	}
	for range rapid.IntRange(0, 2).Draw(t, "boosts") {
		req.Boosts = append(req.Boosts, &kithv1.Boost{Filter: drawFilter(t), Factor: rapid.SampledFrom([]float64{0.25, 2, 10}).Draw(t, "factor")})
	}
	if rapid.IntRange(0, 2).Draw(t, "freshness?") == 0 {
		req.Freshness = &kithv1.Freshness{HalfLifeMs: 5 * 86_400_000, Strength: 2}
	}
	if rapid.Bool().Draw(t, "diversity?") {
		req.Diversity = &kithv1.Diversity{
			Attribute:   rapid.SampledFrom([]string{"category", "brand"}).Draw(t, "by"),
			Lambda:      proto.Float64(rapid.SampledFrom([]float64{0, 0.3, 0.7, 1}).Draw(t, "lambda")),
			MaxPerGroup: uint32(rapid.IntRange(0, 3).Draw(t, "most")),
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "pins?") == 0 {
		for i, item := range rapid.SliceOfNDistinct(rapid.Custom(drawItem), 1, 3, rapid.ID[string]).Draw(t, "pins") {
			req.Pins = append(req.Pins, &kithv1.Pin{Item: item, Rank: uint32(1 + 4*i + rapid.IntRange(0, 3).Draw(t, "rank"))})
		}
	}
	return req
}

// TestRulesEqualBruteForce compares answers with those of a program that looks at all items one by one, for random rules, and each time after
// products have changed. On any member a change counts once its put is acknowledged there.
func TestRulesEqualBruteForce(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			events := shopEvents(40, 60, 15, 7)
			c := clustertest.Start(t, clustertest.Options{Servers: servers})
			c.Append(0, events)
			c.Build(0, &kithv1.BuildSpec{Measure: "cosine", K: 10, BlockItems: 16})
			ref := newReference(events)
			rng := rand.New(rand.NewPCG(1, uint64(servers)))
			version := int64(0)
			rapid.Check(t, func(rt *rapid.T) {
				member := rapid.IntRange(0, servers-1).Draw(rt, "member")
				if version == 0 || rapid.IntRange(0, 9).Draw(rt, "change?") == 0 {
					version++
					changed := shopProducts(rng, version)
					for _, r := range changed {
						ref.products[r.Key] = r
					}
					for i := range servers { // each has acknowledged it then
						put(t, c, i, products, changed...)
					}
				}
				req := drawRequest(rt)
				ref.scores = func(req *kithv1.RecommendRequest) []*kithv1.RecommendedItem {
					if req.GetUser() == "nobody" {
						return nil
					}
					return recommend(t, c, member, &kithv1.RecommendRequest{Subject: req.Subject, N: 1000, Model: req.Model, IncludeSeen: true, NoFallback: true}).Items
				}
				resp := recommend(t, c, member, req)
				if resp.Partial || resp.Stale {
					rt.Fatalf("member %d: partial %v, stale %v", member, resp.Partial, resp.Stale)
				}
				for _, x := range resp.Items {
					sum := 0.0
					for _, part := range x.Contributions {
						sum += part.Score
					}
					if x.Source <= kithv1.Model_MODEL_HYBRID && math.Abs(sum-x.Score) > 1e-6*x.Score {
						rt.Fatalf("the shares of %v add up to %v", x, sum)
					}
				}
				want := ref.answer(req)
				if len(resp.Items) != len(want) {
					rt.Fatalf("%d items, want %d\n%v\n%v\n%v", len(resp.Items), len(want), req, resp, want)
				}
				for i, x := range resp.Items {
					if x.Item != want[i].item || x.Source != want[i].from || math.Abs(x.Score-want[i].score) > 1e-9*want[i].score {
						rt.Fatalf("place %d: got %v, want %v\n%v\n%v\n%v", i, x, want[i], req, resp, want)
					}
				}
			})
		})
	}
}

// stocked asks a member for all that is in stock, by popularity.
func stocked(t *testing.T, c *clustertest.Cluster, member int) *kithv1.RecommendResponse {
	t.Helper()
	req := forUser("nobody", 100)
	req.Model = kithv1.Model_MODEL_POPULARITY
	req.Filter = &kithv1.Filter{OnlyProducts: true, Conditions: []*kithv1.Condition{{Attribute: "stock", Test: &kithv1.Condition_Available{Available: &kithv1.Available{}}}}}
	return recommend(t, c, member, req)
}

// TestStockCountsAtOnce: a change counts in the next answer of the member that acknowledged it, and soon on the others; so it does when the
// leader of its partition has changed, and on a member that was away and starts again.
func TestStockCountsAtOnce(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	var all []*kithv1.Record
	for k := range 30 {
		all = append(all, &kithv1.Record{Key: fmt.Sprintf("i%04d", k), Version: 1, Attributes: []*kithv1.Attribute{numberValue("stock", 1)}})
	}
	put(t, c, 0, products, all...)
	in := map[string]bool{}
	for _, r := range all {
		in[r.Key] = true
	}
	right := func(resp *kithv1.RecommendResponse) error {
		got := keys(resp.Items)
		for _, item := range got {
			if !in[item] {
				return fmt.Errorf("%s is not in stock", item)
			}
		}
		if len(got) != len(in) || resp.Partial {
			return fmt.Errorf("%d products in stock, want %d (partial %v)", len(got), len(in), resp.Partial)
		}
		return nil
	}
	version := int64(1)
	toggle := func(member, k int, deleted bool) {
		t.Helper()
		version++
		r := &kithv1.Record{Key: fmt.Sprintf("i%04d", k), Version: version, Deleted: deleted}
		if !deleted {
			stock := 1.0
			if in[r.Key] {
				stock = 0
			}
			r.Attributes = []*kithv1.Attribute{numberValue("stock", stock)}
		}
		if deleted || in[r.Key] {
			delete(in, r.Key)
		} else {
			in[r.Key] = true
		}
		put(t, c, member, products, r)
		if resp := stocked(t, c, member); right(resp) != nil || resp.Stale {
			t.Fatalf("the next answer of member %d after a change of %s: %v (stale %v)", member, r.Key, right(resp), resp.Stale)
		}
		for _, m := range c.Alive() {
			c.Eventually(func() error { return right(stocked(t, c, m.Index)) })
		}
	}
	for k := range 40 {
		toggle(k%3, k%30, k%7 == 3)
	}
	lost := leaderOf(t, c, 0)
	c.Kill(lost)
	asked := (lost + 1) % 3
	for k := range 10 {
		toggle(asked, k, false)
	}
	c.Run(lost)
	c.Ready()
	c.Eventually(func() error { return right(stocked(t, c, lost)) })
	toggle(lost, 29, true)

	// With the majority gone nothing is acknowledged; what is known is answered, and marked.
	for _, m := range c.Alive() {
		if m.Index != asked {
			c.Kill(m.Index)
		}
	}
	c.Eventually(func() error {
		req := forUser("nobody", 5)
		req.Stale, req.Model = true, kithv1.Model_MODEL_POPULARITY
		req.Filter = &kithv1.Filter{OnlyProducts: true}
		resp, err := c.Recommender(asked).Recommend(t.Context(), req)
		if err != nil {
			return err
		}
		if !resp.Stale || len(resp.Items) != 5 {
			return fmt.Errorf("stale %v and %d items without a majority, want it marked, and 5", resp.Stale, len(resp.Items))
		}
		return nil
	})
}

// TestListsEqualBruteForce compares trending items, new arrivals and latest items with those that a pass over all events and products finds, for
// random windows, weights and filters, while events come and users are erased.
func TestListsEqualBruteForce(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			c := clustertest.Start(t, clustertest.Options{Servers: servers})
			rng := rand.New(rand.NewPCG(2, uint64(servers)))
			events := shopEvents(40, 60, 15, 9)
			ref := newReference(events)
			all := shopProducts(rng, 1)
			for i := range servers {
				put(t, c, i, products, all...)
			}
			for _, r := range all {
				ref.products[r.Key] = r
			}
			left := slices.Clone(events)
			var stored []*kithv1.Event
			erased := 0
			rapid.Check(t, func(rt *rapid.T) {
				member := rapid.IntRange(0, servers-1).Draw(rt, "member")
				switch step := rapid.IntRange(0, 9).Draw(rt, "step"); {
				case step == 0 && len(left) > 0 || len(stored) == 0 && len(left) > 0:
					n := min(len(left), 60)
					c.Append(member, left[:n])
					stored, left = append(stored, left[:n]...), left[n:]
				case step == 1 && erased < 10:
					user := fmt.Sprintf("u%03d", erased)
					erased++
					eraseUser(t, c, member, &kithv1.EraseUserRequest{User: user, AllowAgain: true})
					stored = slices.DeleteFunc(stored, func(e *kithv1.Event) bool { return e.User == user })
				}
				now := int64(1_700_000_000_000 + rapid.IntRange(0, 16).Draw(rt, "now"))
				filter := drawFilter(rt)
				n := rapid.IntRange(1, 70).Draw(rt, "n")
				var d *kithv1.Diversity
				if rapid.Bool().Draw(rt, "diversity?") {
					d = &kithv1.Diversity{Attribute: "category", Lambda: proto.Float64(0.5), MaxPerGroup: uint32(rapid.IntRange(0, 2).Draw(rt, "most"))}
				}
				var want []ranking
				var got []*kithv1.ListedItem
				value := func(x *kithv1.ListedItem) float64 { return x.Score }
				client := kithv1.NewRecommenderServiceClient(c.Conn(member))
				switch rapid.IntRange(0, 3).Draw(rt, "list") {
				case 0:
					req := &kithv1.TrendingRequest{N: uint32(n), WithinMs: uint64(rapid.IntRange(1, 20).Draw(rt, "within")), Filter: filter, Diversity: d, NowUnixMs: now}
					weights := map[string]float64{"view": 1, "cart": 3, "purchase": 5}
					if rapid.Bool().Draw(rt, "weights?") {
						weights = map[string]float64{"view": -1, "purchase": 2.5}
						req.Weights = weights
					}
					if rapid.Bool().Draw(rt, "boost?") {
						req.Boosts = []*kithv1.Boost{{Filter: drawFilter(rt), Factor: 3}}
					}
					sums := map[string]float64{}
					for _, e := range stored {
						if e.TimeUnixMs <= now && e.TimeUnixMs > now-int64(req.WithinMs) {
							sums[e.Item] += weights[e.Behavior]
						}
					}
					for item, x := range sums {
						if x > 0 && ref.passes(item, filter) {
							want = append(want, ranking{item: item, score: x * ref.factor(item, &kithv1.RecommendRequest{Boosts: req.Boosts})})
						}
					}
					resp, err := client.Trending(t.Context(), req)
					if err != nil || resp.Partial || resp.Stale {
						rt.Fatalf("%v, %v", resp, err)
					}
					got = resp.Items
				case 1:
					now = shopNow
					req := &kithv1.NewArrivalsRequest{N: uint32(n), Filter: filter, Diversity: d, NowUnixMs: now}
					for item, p := range ref.products {
						if a := ref.attribute(item, "since"); a != nil && !p.Deleted && a.GetTimeUnixMs() <= now && ref.passes(item, filter) {
							want = append(want, ranking{item: item, score: float64(a.GetTimeUnixMs())})
						}
					}
					resp, err := client.NewArrivals(t.Context(), req)
					if err != nil || resp.Partial || resp.Stale {
						rt.Fatalf("%v, %v", resp, err)
					}
					got, value = resp.Items, func(x *kithv1.ListedItem) float64 { return float64(x.TimeUnixMs) }
				case 3:
					item := fmt.Sprintf("i%04d", rapid.IntRange(0, 62).Draw(rt, "item"))
					in, baskets := map[string]map[string]bool{}, uint64(0) // all is of one day
					for _, e := range stored {
						if e.Behavior == "purchase" {
							if in[e.User] == nil {
								in[e.User] = map[string]bool{}
							}
							in[e.User][e.Item] = true
						}
					}
					sums := map[string]float64{}
					for _, basket := range in {
						if !basket[item] {
							continue
						}
						baskets++
						for other := range basket {
							if other != item && ref.passes(other, filter) {
								sums[other]++
							}
						}
					}
					for other, x := range sums {
						want = append(want, ranking{item: other, score: x})
					}
					resp, err := client.FrequentlyBoughtTogether(t.Context(), &kithv1.FrequentlyBoughtTogetherRequest{Item: item, N: uint32(n), Filter: filter, Diversity: d})
					if err != nil || resp.Partial || resp.Stale || resp.Baskets != baskets {
						rt.Fatalf("%v, %v, want %d baskets", resp, err, baskets)
					}
					got = resp.Items
				case 2:
					last := map[string]int64{}
					for _, e := range stored {
						if e.TimeUnixMs <= now && ref.passes(e.Item, filter) {
							last[e.Item] = max(last[e.Item], e.TimeUnixMs)
						}
					}
					for item, at := range last {
						want = append(want, ranking{item: item, score: float64(at)})
					}
					d = nil
					resp, err := client.Latest(t.Context(), &kithv1.LatestRequest{N: uint32(n), Filter: filter, NowUnixMs: now})
					if err != nil || resp.Partial || resp.Stale {
						rt.Fatalf("%v, %v", resp, err)
					}
					got, value = resp.Items, func(x *kithv1.ListedItem) float64 { return float64(x.TimeUnixMs) }
				}
				slices.SortFunc(want, func(a, b ranking) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.item, b.item)) })
				times := map[string]float64{}
				for i := range want {
					if times[want[i].item] = want[i].score; want[i].score > 1e9 {
						want[i].score = 0 // the order of times has no relevance to weigh
					}
				}
				want = ref.take(nil, want, n, d)
				if len(got) != len(want) {
					rt.Fatalf("%d items, want %d\n%v\n%v", len(got), len(want), got, want)
				}
				for i, x := range got {
					if x.Item != want[i].item || math.Abs(value(x)-times[x.Item]) > 1e-9*times[x.Item] {
						rt.Fatalf("place %d: got %v, want %v at %v\n%v\n%v", i, x, want[i], times[want[i].item], got, want)
					}
				}
			})
		})
	}
}
