package clean

import (
	"context"
	"math"
	"slices"

	"github.com/kith-io/kith/fusion/record"
)

// Methods to find outliers.
const (
	OutliersIQR        = "iqr"
	OutliersZScore     = "zscore"
	OutliersModified   = "modified_zscore"
	OutliersPercentile = "percentile"
)

// Outliers finds numbers that lie far from the others:
//
//	iqr              below Q1 - k IQR or above Q3 + k IQR; k is 1.5 [tukey1977]
//	zscore           more than k standard deviations from the mean; k is 3
//	modified_zscore  0.6745 |x - median| / MAD above k; k is 3.5 [iglewicz1993]
//	percentile       below the quantile lower or above the quantile upper; 0.01 and 0.99
//
// Where the spread (IQR, standard deviation, MAD) is 0, because most values are one, nothing is judged by it.
type Outliers struct {
	Fields []string `yaml:"fields"`
	Method string   `yaml:"method"`
	K      *float64 `yaml:"k"`
	Lower  *float64 `yaml:"lower"`
	Upper  *float64 `yaml:"upper"`
	// By names a field by whose values numbers are compared.
	By string `yaml:"by"`
	// Action is reject (the default), null or winsorize.
	Action string `yaml:"action"`
}

// madScale makes MAD of normal data comparable with the standard deviation: the 0.75 quantile of the normal distribution.
const madScale = 0.6745

func (*Outliers) kind() string        { return "outliers" }
func (s *Outliers) targets() []string { return s.Fields }

func (s *Outliers) check() error {
	if s.Method == "" {
		return wrong("method", "is missing; want iqr, zscore, modified_zscore or percentile")
	}
	err := firstError(needFields(s.Fields),
		oneOf("method", s.Method, OutliersIQR, OutliersZScore, OutliersModified, OutliersPercentile),
		oneOf("action", orDefault(s.Action, ActionReject), ActionReject, ActionNull, ActionWinsorize))
	percentile := s.Method == OutliersPercentile
	lower, upper := s.percentiles()
	switch {
	case err != nil:
		return err
	case percentile && s.K != nil:
		return wrong("k", "has no meaning with method: percentile")
	case !percentile && s.Lower != nil:
		return wrong("lower", "has no meaning with method: %s", s.Method)
	case !percentile && s.Upper != nil:
		return wrong("upper", "has no meaning with method: %s", s.Method)
	case s.K != nil && (!(*s.K > 0) || math.IsInf(*s.K, 0)):
		return wrong("k", "is %g; want more than 0", *s.K)
	case percentile && !(0 <= lower && lower < upper && upper <= 1):
		return wrong("lower", "lower and upper are %g and %g; want shares with 0 <= lower < upper <= 1", lower, upper)
	case s.By != "" && slices.Contains(s.Fields, s.By):
		return wrong("by", "%q is one of the fields that are judged", s.By)
	}
	return nil
}

func (s *Outliers) percentiles() (lower, upper float64) {
	lower, upper = 0.01, 0.99
	if s.Lower != nil {
		lower = *s.Lower
	}
	if s.Upper != nil {
		upper = *s.Upper
	}
	return lower, upper
}

func (s *Outliers) build(e *env, fields []record.Field) (rule, []record.Field, error) {
	at, err := findAll(fields, s.Fields, record.Number)
	if err != nil {
		return nil, nil, err
	}
	by, err := findBy(fields, s.By)
	if err != nil {
		return nil, nil, err
	}
	var n need
	k := map[string]float64{OutliersIQR: 1.5, OutliersZScore: 3, OutliersModified: 3.5}[s.Method]
	if s.K != nil {
		k = *s.K
	}
	switch s.Method {
	case OutliersIQR:
		n.quantiles = []float64{0.25, 0.75}
	case OutliersModified:
		n.quantiles, n.mad = median, true
	case OutliersPercentile:
		lower, upper := s.percentiles()
		n.quantiles = []float64{lower, upper}
	}
	o := &outlierRule{method: s.Method, k: k, action: orDefault(s.Action, ActionReject), groups: newGroups(by, e.memory/8), fields: s.Fields, reasons: reasons("outlier: ", s.Fields)}
	for _, field := range at {
		o.columns = append(o.columns, newColumn(e, field, o.groups, n, e.memory*7/8/int64(len(at))))
	}
	return o, fields, nil
}

// outlierRule judges numbers by bounds.
type outlierRule struct {
	method  string
	k       float64
	action  string
	groups  *groups
	fields  []string
	columns []*column
	reasons []string
	bounds  [][]bounds // by field and group
}

type bounds struct{ lower, upper float64 }

func (o *outlierRule) observe(_ int64, r *record.Record) error {
	group, err := o.groups.of(r.Values)
	if err != nil {
		return err
	}
	for _, c := range o.columns {
		if err := c.observe(group, r.Values[c.field]); err != nil {
			return err
		}
	}
	return nil
}

func (o *outlierRule) prepare(ctx context.Context, c *counter) error {
	o.bounds = make([][]bounds, len(o.columns))
	for i, column := range o.columns {
		all, err := column.summaries(ctx)
		if err != nil {
			return err
		}
		o.bounds[i] = make([]bounds, len(all))
		for g := range all {
			b := o.boundsOf(&all[g])
			o.bounds[i][g] = b
			if all[g].n > 0 {
				c.statistic(o.fields[i], o.groups.name(g), "lower", b.lower)
				c.statistic(o.fields[i], o.groups.name(g), "upper", b.upper)
			}
		}
	}
	return nil
}

// boundsOf returns the bounds of the values that are no outliers.
func (o *outlierRule) boundsOf(s *summary) bounds {
	around := func(lower, upper, spread float64) bounds {
		if s.n == 0 || spread == 0 {
			return bounds{math.Inf(-1), math.Inf(1)}
		}
		return bounds{lower - float64(o.k*spread), upper + float64(o.k*spread)}
	}
	switch {
	case s.n == 0:
		return around(0, 0, 0)
	case o.method == OutliersIQR:
		return around(s.quantiles[0], s.quantiles[1], s.quantiles[1]-s.quantiles[0])
	case o.method == OutliersZScore:
		return around(s.mean, s.mean, s.sd())
	case o.method == OutliersModified:
		return around(s.quantiles[0], s.quantiles[0], s.deviation[0]/madScale)
	}
	return bounds{s.quantiles[0], s.quantiles[1]}
}

func (o *outlierRule) apply(_ int64, r *record.Record, c *counter) (string, error) {
	group, known := o.groups.find(r.Values)
	if !known {
		return "", nil
	}
	for i, column := range o.columns {
		v := r.Values[column.field]
		if v.IsNull() || int(group) >= len(o.bounds[i]) {
			continue
		}
		b := o.bounds[i][group]
		x := v.Number()
		if b.lower <= x && x <= b.upper {
			continue
		}
		switch o.action {
		case ActionReject:
			return o.reasons[i], nil
		case ActionNull:
			c.set(r, column.field, record.Value{})
		default:
			c.set(r, column.field, record.OfNumber(min(max(x, b.lower), b.upper)))
		}
	}
	return "", nil
}

func (o *outlierRule) remove() error { return removeColumns(o.columns) }
