package clean

import (
	"context"
	"math"
	"slices"

	"github.com/kith-io/kith/fusion/record"
)

// Methods to normalize numbers.
const (
	NormalizeMinMax = "minmax"
	NormalizeZScore = "zscore"
	NormalizeRobust = "robust"
	NormalizeLog1p  = "log1p"
)

// Normalize puts numbers on a common scale:
//
//	minmax  (x - min) / (max - min)
//	zscore  (x - mean) / standard deviation
//	robust  (x - median) / IQR
//	log1p   log(1 + x); x <= -1 becomes missing
//
// A divisor of 0 counts as 1, as in scikit-learn.
type Normalize struct {
	Fields []string `yaml:"fields"`
	Method string   `yaml:"method"`
	// By names a field by whose values the scale is formed.
	By string `yaml:"by"`
}

func (*Normalize) kind() string        { return "normalize" }
func (s *Normalize) targets() []string { return s.Fields }

func (s *Normalize) check() error {
	if s.Method == "" {
		return wrong("method", "is missing; want minmax, zscore, robust or log1p")
	}
	if err := firstError(needFields(s.Fields), oneOf("method", s.Method, NormalizeMinMax, NormalizeZScore, NormalizeRobust, NormalizeLog1p)); err != nil {
		return err
	}
	if s.By != "" && s.Method == NormalizeLog1p {
		return wrong("by", "has no meaning with method: log1p")
	}
	if slices.Contains(s.Fields, s.By) {
		return wrong("by", "%q is one of the fields that are normalized", s.By)
	}
	return nil
}

func (s *Normalize) build(e *env, fields []record.Field) (rule, []record.Field, error) {
	at, err := findAll(fields, s.Fields, record.Number)
	if err != nil {
		return nil, nil, err
	}
	if s.Method == NormalizeLog1p {
		return logRule(at), fields, nil
	}
	by, err := findBy(fields, s.By)
	if err != nil {
		return nil, nil, err
	}
	var q need
	if s.Method == NormalizeRobust {
		q.quantiles = []float64{0.25, 0.5, 0.75}
	}
	n := &normalizeRule{method: s.Method, groups: newGroups(by, e.memory/8), fields: s.Fields}
	for _, field := range at {
		n.columns = append(n.columns, newColumn(e, field, n.groups, q, e.memory*7/8/int64(len(at))))
	}
	return n, fields, nil
}

// logRule has the positions of the fields of which it takes logarithms.
type logRule []int

func (l logRule) apply(_ int64, r *record.Record, c *counter) (string, error) {
	for _, at := range l {
		if v := r.Values[at]; !v.IsNull() {
			c.set(r, at, record.OfNumber(math.Log1p(v.Number())))
		}
	}
	return "", nil
}

// normalizeRule subtracts a center and divides by a scale.
type normalizeRule struct {
	method  string
	groups  *groups
	fields  []string
	columns []*column
	scales  [][]scale // by field and group
}

type scale struct{ center, width float64 }

func (s *normalizeRule) observe(_ int64, r *record.Record) error {
	group, err := s.groups.of(r.Values)
	if err != nil {
		return err
	}
	for _, c := range s.columns {
		if err := c.observe(group, r.Values[c.field]); err != nil {
			return err
		}
	}
	return nil
}

func (s *normalizeRule) prepare(ctx context.Context, c *counter) error {
	s.scales = make([][]scale, len(s.columns))
	for i, column := range s.columns {
		all, err := column.summaries(ctx)
		if err != nil {
			return err
		}
		s.scales[i] = make([]scale, len(all))
		for g := range all {
			if all[g].n == 0 {
				continue
			}
			k := s.scaleOf(&all[g])
			s.scales[i][g] = k
			c.statistic(s.fields[i], s.groups.name(g), "center", k.center)
			c.statistic(s.fields[i], s.groups.name(g), "scale", k.width)
		}
	}
	return nil
}

func (s *normalizeRule) scaleOf(m *summary) scale {
	k := scale{m.mean, m.sd()}
	switch s.method {
	case NormalizeMinMax:
		k = scale{m.min, m.max - m.min}
	case NormalizeRobust:
		k = scale{m.quantiles[1], m.quantiles[2] - m.quantiles[0]}
	}
	if k.width == 0 {
		k.width = 1
	}
	return k
}

func (s *normalizeRule) apply(_ int64, r *record.Record, c *counter) (string, error) {
	group, known := s.groups.find(r.Values)
	if !known {
		return "", nil
	}
	for i, column := range s.columns {
		if v := r.Values[column.field]; !v.IsNull() && int(group) < len(s.scales[i]) {
			k := s.scales[i][group]
			c.set(r, column.field, record.OfNumber((v.Number()-k.center)/k.width))
		}
	}
	return "", nil
}

func (s *normalizeRule) remove() error { return removeColumns(s.columns) }
