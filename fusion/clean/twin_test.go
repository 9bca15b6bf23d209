package clean

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion/record"
)

// testContext returns the context of a test, of package testing or rapid.
func testContext(t any) context.Context {
	return t.(interface{ Context() context.Context }).Context()
}

var twinFields = []record.Field{
	{Name: "user", Type: record.Text},
	{Name: "group", Type: record.Text},
	{Name: "x", Type: record.Number},
	{Name: "y", Type: record.Number},
	{Name: "t", Type: record.Time},
	{Name: "item", Type: record.Text},
}

// randomTable has missing values, ties, skewed groups and users, and rows that repeat others.
func randomTable(seed uint64, n int) *list {
	r := rand.New(rand.NewPCG(seed, 1))
	l := &list{fields: twinFields}
	missing := func(v record.Value) record.Value {
		if r.IntN(20) == 0 {
			return record.Value{}
		}
		return v
	}
	for i := range n {
		row := record.Record{Place: record.Place{Source: "s", File: fmt.Sprint("f", i/1000), Line: int64(i), Part: r.IntN(2)}}
		if i > 0 && r.IntN(5) == 0 {
			row.Values = slices.Clone(l.rows[r.IntN(i)].Values)
			if r.IntN(2) == 0 && !row.Values[4].IsNull() {
				row.Values[4] = record.OfTime(row.Values[4].Millis() + r.Int64N(3000) - 1500)
			}
		} else {
			row.Values = []record.Value{
				missing(record.OfText(fmt.Sprint("u", int(math.Pow(30, r.Float64()))))),
				missing(record.OfText(fmt.Sprint("g", r.IntN(7)*r.IntN(3)))),
				missing(record.OfNumber(float64(r.IntN(40)) - 20)),
				missing(record.OfNumber(math.Exp(r.NormFloat64()))),
				missing(record.OfTime(r.Int64N(2_000_000))),
				missing(record.OfText(fmt.Sprint("i", r.IntN(30)))),
			}
		}
		l.rows = append(l.rows, row)
	}
	return l
}

// twin is the obvious implementation of a rule over all rows: it returns what becomes of them, nil for rejected ones.
type twin func(rows []record.Record) [][]record.Value

// valuesOf returns the numbers of a field by group, ascending.
func valuesOf(rows []record.Record, field, by int) map[record.Value][]float64 {
	out := map[record.Value][]float64{}
	for _, r := range rows {
		if v := r.Values[field]; !v.IsNull() {
			out[groupOf(r, by)] = append(out[groupOf(r, by)], v.Number())
		}
	}
	return out
}

func groupOf(r record.Record, by int) record.Value {
	if by < 0 {
		return record.Value{}
	}
	return r.Values[by]
}

func naiveQuantile(values []float64, p float64) float64 {
	x := slices.Sorted(slices.Values(values))
	h := float64(len(x)-1) * p
	j := int(math.Floor(h))
	if j == len(x)-1 {
		return x[j]
	}
	return x[j] + float64((h-float64(j))*(x[j+1]-x[j]))
}

func naiveMean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}

func naiveSD(x []float64) float64 {
	m, s := naiveMean(x), 0.0
	for _, v := range x {
		s += (v - m) * (v - m)
	}
	return math.Sqrt(s / float64(len(x)))
}

func naiveMAD(x []float64) float64 {
	m := naiveQuantile(x, 0.5)
	var d []float64
	for _, v := range x {
		d = append(d, math.Abs(v-m))
	}
	return naiveQuantile(d, 0.5)
}

// eachValue makes a twin of a function of a value and the values of its group.
func eachValue(field, by int, f func(v record.Value, all []float64) (record.Value, bool)) twin {
	return func(rows []record.Record) [][]record.Value {
		groups := valuesOf(rows, field, by)
		out := make([][]record.Value, len(rows))
		for i, r := range rows {
			v, keep := f(r.Values[field], groups[groupOf(r, by)])
			if keep {
				out[i] = slices.Clone(r.Values)
				out[i][field] = v
			}
		}
		return out
	}
}

func fillTwin(field, by int, statistic func([]float64) float64) twin {
	return eachValue(field, by, func(v record.Value, all []float64) (record.Value, bool) {
		if v.IsNull() && len(all) > 0 {
			return record.OfNumber(statistic(all)), true
		}
		return v, true
	})
}

func outlierTwin(by int, action string, bounds func([]float64) (float64, float64, bool)) twin {
	return eachValue(3, by, func(v record.Value, all []float64) (record.Value, bool) {
		if v.IsNull() {
			return v, true
		}
		lower, upper, judge := bounds(all)
		if x := v.Number(); judge && (x < lower || x > upper) {
			switch action {
			case "null":
				return record.Value{}, true
			case "winsorize":
				return record.OfNumber(math.Max(lower, math.Min(upper, x))), true
			}
			return v, false
		}
		return v, true
	})
}

func scaleTwin(field, by int, scale func([]float64) (float64, float64)) twin {
	return eachValue(field, by, func(v record.Value, all []float64) (record.Value, bool) {
		if v.IsNull() {
			return v, true
		}
		center, width := scale(all)
		if width == 0 {
			width = 1
		}
		return record.OfNumber((v.Number() - center) / width), true
	})
}

func modeTwin(field int) twin {
	return func(rows []record.Record) [][]record.Value {
		count := map[record.Value]int{}
		var best record.Value
		for _, r := range rows {
			if !r.Values[field].IsNull() {
				count[r.Values[field]]++
			}
		}
		for v, n := range count {
			if n > count[best] || n == count[best] && v.Text() < best.Text() {
				best = v
			}
		}
		out := make([][]record.Value, len(rows))
		for i, r := range rows {
			out[i] = slices.Clone(r.Values)
			if out[i][field].IsNull() {
				out[i][field] = best
			}
		}
		return out
	}
}

// duplicateTwin compares every record with every kept one, in the order of time or of the stream.
func duplicateTwin(fields []int, within int64, last bool) twin {
	return func(rows []record.Record) [][]record.Value {
		order := make([]int, len(rows))
		for i := range order {
			order[i] = i
		}
		if within >= 0 {
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rows[a].Values[4].Millis(), rows[b].Values[4].Millis()) })
		}
		if last {
			slices.Reverse(order)
		}
		out := make([][]record.Value, len(rows))
		var kept []int
		for _, i := range order {
			v := rows[i].Values
			alone := within >= 0 && v[4].IsNull() || !slices.ContainsFunc(fields, func(f int) bool { return !v[f].IsNull() })
			repeats := func(k int) bool {
				o := rows[k].Values
				if within >= 0 && (o[4].IsNull() || max(v[4].Millis()-o[4].Millis(), o[4].Millis()-v[4].Millis()) > within) {
					return false
				}
				return !slices.ContainsFunc(fields, func(f int) bool { return v[f] != o[f] })
			}
			if !alone && slices.ContainsFunc(kept, repeats) {
				continue
			}
			out[i] = v
			kept = append(kept, i)
		}
		return out
	}
}

// botTwin looks at all windows of all users.
func botTwin(maxEvents int, window int64, regular int, regularity float64, maxItems int, itemsWindow int64) twin {
	return func(rows []record.Record) [][]record.Value {
		type event struct {
			at   int64
			item record.Value
		}
		users := map[record.Value][]event{}
		for _, r := range rows {
			if u := r.Values[0]; !u.IsNull() && !r.Values[4].IsNull() {
				users[u] = append(users[u], event{r.Values[4].Millis(), r.Values[5]})
			}
		}
		bots := map[record.Value]bool{}
		for u, events := range users {
			slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
			var gaps []float64
			for i, e := range events {
				n, items := 0, map[record.Value]bool{}
				for _, o := range events[:i+1] {
					if e.at-o.at <= window {
						n++
					}
					if e.at-o.at <= itemsWindow && !o.item.IsNull() {
						items[o.item] = true
					}
				}
				if i > 0 && e.at > events[i-1].at {
					gaps = append(gaps, float64(e.at-events[i-1].at))
				}
				if n > maxEvents || len(items) > maxItems {
					bots[u] = true
				}
			}
			for i := regular; i <= len(gaps); i++ {
				if g := gaps[i-regular : i]; naiveSD(g) < regularity*naiveMean(g) {
					bots[u] = true
				}
			}
		}
		out := make([][]record.Value, len(rows))
		for i, r := range rows {
			out[i] = append(slices.Clone(r.Values), record.OfBool(bots[r.Values[0]]))
		}
		return out
	}
}

func ptr[T any](x T) *T { return &x }

// TestTwins compares every rule that needs the whole source with its twin, and with itself in other memory.
func TestTwins(t *testing.T) {
	all := []int{0, 1, 2, 3, 4, 5}
	for _, tt := range []struct {
		name string
		spec Spec
		twin twin
	}{
		{"duplicates", &Duplicates{}, duplicateTwin(all, -1, false)},
		{"duplicates by keys", &Duplicates{Fields: []string{"user", "x"}}, duplicateTwin([]int{0, 2}, -1, false)},
		{"duplicates by keys, last", &Duplicates{Fields: []string{"user", "x"}, Keep: "last"}, duplicateTwin([]int{0, 2}, -1, true)},
		{"duplicates within", &Duplicates{Fields: []string{"user", "item"}, Within: 2 * time.Second, Time: "t"}, duplicateTwin([]int{0, 5}, 2000, false)},
		{"duplicates within, last", &Duplicates{Fields: []string{"user"}, Within: time.Minute, Time: "t", Keep: "last"}, duplicateTwin([]int{0}, 60000, true)},
		{"mean", &Missing{Fields: []string{"x"}, With: "mean"}, fillTwin(2, -1, naiveMean)},
		{"mean by", &Missing{Fields: []string{"x"}, With: "mean", By: "group"}, fillTwin(2, 1, naiveMean)},
		{"median", &Missing{Fields: []string{"y"}, With: "median"}, fillTwin(3, -1, func(x []float64) float64 { return naiveQuantile(x, 0.5) })},
		{"median by", &Missing{Fields: []string{"y"}, With: "median", By: "group"}, fillTwin(3, 1, func(x []float64) float64 { return naiveQuantile(x, 0.5) })},
		{"mode", &Missing{Fields: []string{"item"}, With: "mode"}, modeTwin(5)},
		{"iqr", &Outliers{Fields: []string{"y"}, Method: "iqr"}, outlierTwin(-1, "reject", func(x []float64) (float64, float64, bool) {
			a, b := naiveQuantile(x, 0.25), naiveQuantile(x, 0.75)
			return a - float64(1.5*(b-a)), b + float64(1.5*(b-a)), a != b
		})},
		{"modified by", &Outliers{Fields: []string{"y"}, Method: "modified_zscore", By: "group", Action: "null"}, outlierTwin(1, "null", func(x []float64) (float64, float64, bool) {
			m, d := naiveQuantile(x, 0.5), naiveMAD(x)/0.6745
			return m - float64(3.5*d), m + float64(3.5*d), d != 0
		})},
		{"percentile", &Outliers{Fields: []string{"y"}, Method: "percentile", Lower: ptr(0.1), Upper: ptr(0.8), By: "group", Action: "winsorize"}, outlierTwin(1, "winsorize",
			func(x []float64) (float64, float64, bool) { return naiveQuantile(x, 0.1), naiveQuantile(x, 0.8), true })},
		// The one of five values that differs is exactly two deviations away: 2 would be decided by the last bit.
		{"zscore", &Outliers{Fields: []string{"y"}, Method: "zscore", K: ptr(1.9), By: "group"}, outlierTwin(1, "reject", func(x []float64) (float64, float64, bool) {
			m, s := naiveMean(x), naiveSD(x)
			return m - float64(1.9*s), m + float64(1.9*s), s != 0
		})},
		{"minmax", &Normalize{Fields: []string{"y"}, Method: "minmax", By: "group"}, scaleTwin(3, 1, func(x []float64) (float64, float64) { return slices.Min(x), slices.Max(x) - slices.Min(x) })},
		{"zscores", &Normalize{Fields: []string{"y"}, Method: "zscore"}, scaleTwin(3, -1, func(x []float64) (float64, float64) { return naiveMean(x), naiveSD(x) })},
		{"robust", &Normalize{Fields: []string{"y"}, Method: "robust", By: "group"}, scaleTwin(3, 1, func(x []float64) (float64, float64) {
			return naiveQuantile(x, 0.5), naiveQuantile(x, 0.75) - naiveQuantile(x, 0.25)
		})},
		{
			"bots", &Bots{User: "user", Time: "t", Item: "item", MaxEvents: ptr(4), Window: 9 * time.Second, Regular: ptr(5), Regularity: ptr(0.3), MaxItems: ptr(11), ItemsWindow: 100 * time.Second},
			botTwin(4, 9000, 5, 0.3, 11, 100_000),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			touched := false
			rapid.Check(t, func(rt *rapid.T) {
				n := rapid.IntRange(0, 600).Draw(rt, "n")
				in := randomTable(rapid.Uint64().Draw(rt, "seed"), n)
				cfg := Config{Rules: []Rule{{Spec: tt.spec}}}
				small := clean(rt, dir, in, cfg, Options{MemoryLimit: 1, Distributions: []string{}})
				large := clean(rt, dir, in, cfg, Options{Distributions: []string{}})
				if n > 500 && small.report.SortedBytes == 0 && tt.name != "mean" && tt.name != "mean by" && tt.name != "zscore" && tt.name != "minmax" && tt.name != "zscores" {
					rt.Fatal("nothing was spilled")
				}
				if large.report.SortedBytes != 0 {
					rt.Fatalf("%d bytes were spilled", large.report.SortedBytes)
				}
				var want []record.Record
				for i, v := range tt.twin(in.rows) {
					if v != nil {
						want = append(want, record.Record{Place: in.rows[i].Place, Values: v})
					}
					if v == nil || !slices.Equal(v[:6], in.rows[i].Values) || len(v) > 6 && v[6].Bool() {
						touched = true
					}
				}
				if len(small.rows)+len(small.rejected) != n {
					rt.Fatalf("%d kept, %d rejected of %d", len(small.rows), len(small.rejected), n)
				}
				compare(rt, "twin", small.rows, want, 1e-9)
				compare(rt, "more memory", small.rows, large.rows, 0)
			})
			if !touched {
				t.Error("the rule touched nothing")
			}
		})
	}
}

// compare compares records; numbers may differ by a relative tolerance.
func compare(t *rapid.T, what string, got, want []record.Record, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, want %d: %v, want %v", what, len(got), len(want), lines(got), lines(want))
	}
	for i := range got {
		same := got[i].Place == want[i].Place && len(got[i].Values) == len(want[i].Values)
		for j := 0; same && j < len(got[i].Values); j++ {
			g, w := got[i].Values[j], want[i].Values[j]
			same = g == w || g.Type() == record.Number && w.Type() == record.Number && math.Abs(g.Number()-w.Number()) <= tolerance*math.Max(1, math.Abs(w.Number()))
		}
		if !same {
			t.Fatalf("%s: record %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
