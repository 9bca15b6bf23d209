package clean

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/fusion/record"
)

// orderStream makes order lines: one in 100 is there twice, one in 50 has no price, one in 1000 a price that is far too high. It allocates
// nothing for a record, so that what is measured is cleaning.
type orderStream struct {
	n, at  int
	random *rand.Rand
	ids    []record.Value
	values []record.Value
	names  []record.Value
	prices []record.Value
	kinds  []record.Value
}

func newOrderStream(n int) *orderStream {
	s := &orderStream{n: n, values: make([]record.Value, 7)}
	for i := range n {
		s.ids = append(s.ids, record.OfText(fmt.Sprint("E", i)))
	}
	for i := range 1000 {
		s.names = append(s.names, record.OfText(fmt.Sprintf("Curved Aluminum Pole %d", i)), record.OfText(fmt.Sprintf("白色连衣裙 %d", i)))
		s.prices = append(s.prices, record.OfText(fmt.Sprintf("$%d.%02d", 1+i, i%100)), record.OfText(fmt.Sprintf("%d.%02d", 1+i, i%100)))
	}
	for i := range 20 {
		s.kinds = append(s.kinds, record.OfText(fmt.Sprint("category ", i)))
	}
	return s
}

func (*orderStream) Fields() []record.Field {
	return []record.Field{
		{Name: "event", Type: record.Text},
		{Name: "user", Type: record.Text},
		{Name: "name", Type: record.Text},
		{Name: "category", Type: record.Text},
		{Name: "price", Type: record.Text},
		{Name: "quantity", Type: record.Number},
		{Name: "time", Type: record.Time},
	}
}

func (s *orderStream) Next() (record.Record, error) {
	if s.at == 0 {
		s.random = rand.New(rand.NewPCG(1, 1))
	}
	if s.at == s.n {
		return record.Record{}, io.EOF
	}
	r, v := s.random, s.values
	v[0] = s.ids[s.at]
	if s.at > 0 && r.IntN(100) == 0 {
		v[0] = s.ids[s.at-1]
	}
	v[1] = s.ids[int(1e5*math.Pow(r.Float64(), 2))%s.n]
	v[2] = s.names[r.IntN(len(s.names))]
	v[3] = s.kinds[r.IntN(len(s.kinds))]
	v[4] = s.prices[r.IntN(len(s.prices))]
	switch x := r.IntN(1000); {
	case x < 20:
		v[4] = record.Value{}
	case x == 20:
		v[4] = record.OfText("99,999.00")
	}
	v[5] = record.OfNumber(float64(1 + r.IntN(3)))
	v[6] = record.OfTime(int64(1_740_787_200_000 + 1000*s.at))
	s.at++
	return record.Record{Place: record.Place{Source: "orders", File: "orders.csv", Line: int64(s.at + 1)}, Values: v}, nil
}

// BenchmarkClean runs row rules alone, and with rules that need the whole source, in much and in little memory.
func BenchmarkClean(b *testing.B) {
	const rows = "{rule: text, fields: [name]}, {rule: repair, fields: [price], as: number}, {rule: range, fields: [quantity], min: 1, max: 100}"
	const whole = ", {rule: duplicates, fields: [event]}, {rule: missing, fields: [price], with: median, by: category}, {rule: outliers, fields: [price], method: iqr}"
	const n = 1_000_000
	in := newOrderStream(n)
	for _, bb := range []struct {
		name, rules string
		o           Options
	}{
		{"rules=row", rows, Options{Distributions: []string{}}},
		{"rules=row/distributions", rows, Options{}},
		{"rules=all", rows + whole, Options{Distributions: []string{}}},
		{"rules=all/distributions", rows + whole, Options{}},
		{"rules=all/distributions/memory=16MiB", rows + whole, Options{MemoryLimit: 16 << 20}},
		{"rules=bots", "{rule: bots, user: user, time: time, item: name}", Options{Distributions: []string{}}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			cfg := parse(b, "clean: ["+bb.rules+"]")
			bb.o.TempDir = b.TempDir()
			b.ReportAllocs()
			var report *Report
			for b.Loop() {
				in.at = 0
				var err error
				report, err = Run(b.Context(), in, cfg, bb.o, func(record.Record) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(report.SpoolBytes)/n, "spool-B/row")
			b.ReportMetric(float64(report.SortedBytes)/n, "sorted-B/row")
		})
	}
}
