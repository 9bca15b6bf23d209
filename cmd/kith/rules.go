package main

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// ruleFlags say which items may be in an answer and how their order is changed.
type ruleFlags struct {
	filters      []string
	onlyProducts bool
	allow, deny  []string
	bought, seen string
	boosts       []string
	freshness    string
	since        string
	lambda       float64
	maxPerGroup  uint32
	groupBy      string
	apart        bool
	pins         []string
	explore      string
}

// registerFilter adds the flags that say which items may be in an answer.
func (r *ruleFlags) registerFilter(f *pflag.FlagSet) {
	f.StringArrayVar(&r.filters, "filter", nil, "`conditions` that items must meet, such as 'category=shoes|boots,price<50,stock'; see docs/queries.md")
	f.BoolVar(&r.onlyProducts, "only-products", false, "only items that have a product record")
	f.StringSliceVar(&r.allow, "allow", nil, "only these `items`")
	f.StringSliceVar(&r.deny, "deny", nil, "not these `items`")
}

// registerOrder adds the flags that change the order.
func (r *ruleFlags) registerOrder(f *pflag.FlagSet) {
	f.StringArrayVar(&r.boosts, "boost", nil, "multiply the score of items that meet `conditions:factor`, such as 'brand=acme:2'")
	f.StringVar(&r.freshness, "freshness", "", "raise new products: the `age` at which the effect is half, such as 30d, and with 30d:3 how strong it is")
	r.registerSpread(f)
}

// registerSpread adds the flags that spread an answer, and that of the time at which products came.
func (r *ruleFlags) registerSpread(f *pflag.FlagSet) {
	f.StringVar(&r.since, "since", "since", "the `attribute` with the time at which a product came")
	f.Float64Var(&r.lambda, "lambda", 1, "spread the answer over groups: 1 is relevance alone, 0 spread alone")
	f.Uint32Var(&r.maxPerGroup, "max-per-group", 0, "most items of a group; 0 means any number")
	f.StringVar(&r.groupBy, "group-by", "category", "the `attribute` that makes groups")
}

// registerHistory adds the flags that are about users and places.
func (r *ruleFlags) registerHistory(f *pflag.FlagSet) {
	f.StringVar(&r.bought, "exclude-bought", "", "in place of all known items, leave out those bought within an `age`, such as 30d, or ever")
	f.StringVar(&r.seen, "exclude-seen", "", "the same for any behavior within an `age`")
	f.BoolVar(&r.apart, "by-similarity", false, "with --lambda: keep items apart that are similar by the neighbor lists, rather than those of a group")
	f.StringArrayVar(&r.pins, "pin", nil, "put an item at a place: `item@rank`")
	f.StringVar(&r.explore, "explore", "", "`places` for products that came within 14 days and that the model does not recommend yet, or, as in 2:30d, within another age")
}

// rules are the fields that requests have in common.
type rules struct {
	filter    *kithv1.Filter
	boosts    []*kithv1.Boost
	freshness *kithv1.Freshness
	diversity *kithv1.Diversity
}

// rules reads the flags of filters and of the order.
func (r *ruleFlags) rules() (out rules, err error) {
	if out.filter, err = r.filter(); err != nil {
		return out, err
	}
	for _, text := range r.boosts {
		b, err := parseBoost(text)
		if err != nil {
			return out, err
		}
		out.boosts = append(out.boosts, b)
	}
	if r.freshness != "" {
		age, strength, _ := strings.Cut(r.freshness, ":")
		out.freshness = &kithv1.Freshness{Attribute: r.since, Strength: 1}
		if out.freshness.HalfLifeMs, err = parseAge(age); err != nil || out.freshness.HalfLifeMs == 0 {
			return out, usagef("--freshness %q: want an age above 0, such as 30d or 12h, and with a colon a strength", r.freshness)
		}
		if strength != "" {
			if out.freshness.Strength, err = strconv.ParseFloat(strength, 64); err != nil {
				return out, usagef("--freshness %q: strength %q is not a number", r.freshness, strength)
			}
		}
	}
	if r.apart && r.lambda == 1 {
		return out, usagef("--by-similarity does nothing without --lambda; give one below 1, such as 0.7")
	}
	if r.lambda != 1 || r.maxPerGroup > 0 {
		out.diversity = &kithv1.Diversity{Attribute: r.groupBy, Lambda: &r.lambda, MaxPerGroup: r.maxPerGroup, BySimilarity: r.apart}
	}
	return out, nil
}

// parseBoost reads a value of --boost.
func parseBoost(text string) (b *kithv1.Boost, err error) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return nil, usagef("--boost %q: want conditions and a factor, such as brand=acme:2", text)
	}
	b = &kithv1.Boost{Filter: &kithv1.Filter{}}
	if b.Factor, err = strconv.ParseFloat(text[at+1:], 64); err != nil {
		return nil, usagef("--boost %q: factor %q is not a number", text, text[at+1:])
	}
	if b.Filter.Conditions, err = parseConditions(text[:at]); err != nil {
		return nil, usagef("--boost %q: %v", text, err)
	}
	return b, nil
}

// filter returns nil if there is none.
func (r *ruleFlags) filter() (*kithv1.Filter, error) {
	if len(r.filters)+len(r.allow)+len(r.deny) == 0 && !r.onlyProducts {
		return nil, nil
	}
	f := &kithv1.Filter{OnlyProducts: r.onlyProducts, Allow: r.allow, Deny: r.deny}
	for _, text := range r.filters {
		conditions, err := parseConditions(text)
		if err != nil {
			return nil, usagef("--filter %q: %v", text, err)
		}
		f.Conditions = append(f.Conditions, conditions...)
	}
	return f, nil
}

// history reads the flags of registerHistory into a request.
func (r *ruleFlags) history(req *kithv1.RecommendRequest) error {
	for _, x := range []struct {
		flag, age string
		behaviors []string
	}{{"exclude-bought", r.bought, []string{"purchase"}}, {"exclude-seen", r.seen, nil}} {
		if x.age == "" {
			continue
		}
		within, err := parseAge(x.age)
		if err != nil {
			return usagef("--%s %q: %v", x.flag, x.age, err)
		}
		req.ExcludeHistory = append(req.ExcludeHistory, &kithv1.HistoryRule{Behaviors: x.behaviors, WithinMs: within})
	}
	for _, text := range r.pins {
		at := strings.LastIndexByte(text, '@')
		if at < 1 {
			return usagef("--pin %q: want an item and its place, such as i7@1", text)
		}
		rank, err := strconv.ParseUint(text[at+1:], 10, 32)
		if err != nil || rank == 0 {
			return usagef("--pin %q: place %q is not a number from 1", text, text[at+1:])
		}
		req.Pins = append(req.Pins, &kithv1.Pin{Item: text[:at], Rank: uint32(rank)})
	}
	if r.explore != "" {
		places, age, aged := strings.Cut(r.explore, ":")
		n, err := strconv.ParseUint(places, 10, 32)
		if err != nil || n == 0 {
			return usagef("--explore %q: %q is not a number of places from 1", r.explore, places)
		}
		req.Explore = &kithv1.Explore{Places: uint32(n), Attribute: r.since}
		if req.Explore.WithinMs, err = parseAge(age); aged && (err != nil || req.Explore.WithinMs == 0) {
			return usagef("--explore %q: want an age above 0 behind the colon, such as 14d", r.explore)
		}
	}
	return nil
}

// parseAge reads days, as in 30d, or what Go has for durations, and returns milliseconds: 0 for ever.
func parseAge(text string) (uint64, error) {
	if text == "ever" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && n > 0 && n < 1e6 {
			return max(1, uint64(math.Round(n*24*3600*1000))), nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= time.Millisecond {
		return uint64(d.Milliseconds()), nil
	}
	return 0, usagef("want an age such as 30d, 12h or 90m, or ever")
}

// parseConditions reads conditions that are separated by commas. A condition is
//
//	name=a|b    one of the values      name=a&b   all of the values      name!=a|b   none of the values
//	name<5      also <=, > and >=: a number, a date or a time of RFC 3339
//	name        a number above 0, or true
//
// Spaces around names and values do not count. A backslash takes the next byte as it is.
func parseConditions(text string) ([]*kithv1.Condition, error) {
	var out []*kithv1.Condition
	for _, part := range splitEscaped(text, ',') {
		c, err := parseCondition(part)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func parseCondition(text string) (*kithv1.Condition, error) {
	text = strings.TrimSpace(text)
	at := strings.IndexAny(text, "=!<>")
	if at < 0 {
		if text == "" {
			return nil, usagef("a condition is empty")
		}
		return &kithv1.Condition{Attribute: unescape(text), Test: &kithv1.Condition_Available{Available: &kithv1.Available{}}}, nil
	}
	c := &kithv1.Condition{Attribute: unescape(strings.TrimSpace(text[:at]))}
	op, value := text[at:at+1], text[at+1:]
	if rest, ok := strings.CutPrefix(value, "="); ok && op != "=" {
		op, value = op+"=", rest
	}
	if value = strings.TrimSpace(value); c.Attribute == "" || value == "" || op == "!" {
		return nil, usagef("condition %q; want a name, one of = != < <= > >= and a value, or a name alone", text)
	}
	switch op {
	case "=":
		some, all := splitEscaped(value, '|'), splitEscaped(value, '&')
		switch {
		case len(some) > 1 && len(all) > 1:
			return nil, usagef("condition %q has | and &; want one of them", text)
		case len(all) > 1:
			c.Test = &kithv1.Condition_AllOf{AllOf: textList(all)}
		default:
			c.Test = &kithv1.Condition_AnyOf{AnyOf: textList(some)}
		}
		return c, nil
	case "!=":
		c.Test = &kithv1.Condition_NoneOf{NoneOf: textList(splitEscaped(value, '|'))}
		return c, nil
	}
	x, err := parseBound(value)
	if err != nil {
		return nil, err
	}
	r := &kithv1.Range{}
	switch op {
	case "<":
		r.Max, r.ExcludeMax = &x, true
	case "<=":
		r.Max = &x
	case ">":
		r.Min, r.ExcludeMin = &x, true
	case ">=":
		r.Min = &x
	}
	c.Test = &kithv1.Condition_Range{Range: r}
	return c, nil
}

func textList(values []string) *kithv1.TextList {
	out := &kithv1.TextList{}
	for _, x := range values {
		out.Texts = append(out.Texts, unescape(strings.TrimSpace(x)))
	}
	return out
}

// parseBound reads a number, or a date or time, which becomes Unix milliseconds.
func parseBound(text string) (float64, error) {
	if x, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(x) {
		return x, nil
	}
	if t, err := parseTime(text); err == nil {
		return float64(t.UnixMilli()), nil
	}
	return 0, usagef("bound %q is not a number, nor a date such as 2026-11-25, nor a time such as 2026-11-25T10:00:00Z", text)
}

// parseTime reads a date, of which it takes the begin in UTC, or a time of RFC 3339.
func parseTime(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, text)
}

// splitEscaped splits at a byte that has no backslash before it, and leaves backslashes in place.
func splitEscaped(text string, at byte) (parts []string) {
	from := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case at:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		out.WriteByte(text[i])
	}
	return out.String()
}
