package clean

import "github.com/kith-io/kith/fusion/record"

// Report says what was done to the records of a source.
type Report struct {
	// Read is the number of records that came in, Kept of those that went out. The others were rejected.
	Read int64 `json:"read"`
	Kept int64 `json:"kept"`
	// Rules are in the order of the configuration.
	Rules []RuleReport `json:"rules"`
	// Distributions of the fields that rules may change, or of those that were asked for.
	Distributions []Distribution `json:"distributions"`
	// Passes is how often records were written to a spool, SpoolBytes the size of the largest.
	Passes     int   `json:"passes"`
	SpoolBytes int64 `json:"spool_bytes"`
	// SortedBytes is what was written to sort what did not fit the memory; 0 if all did.
	SortedBytes int64 `json:"sorted_bytes"`
}

// RuleReport says what one rule did.
type RuleReport struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Seen, Changed and Rejected count records. A record counts as changed once, however many values change; Values counts those.
	Seen     int64 `json:"seen"`
	Changed  int64 `json:"changed"`
	Rejected int64 `json:"rejected"`
	Values   int64 `json:"values"`
	// Reasons has the rejected records by reason.
	Reasons map[string]int64 `json:"reasons"`
	// Changes and Rejections are the first ones.
	Changes    []Change    `json:"changes,omitempty"`
	Rejections []Rejection `json:"rejections,omitempty"`
	// Statistics are the numbers of the whole source that the rule went by. There are MoreStatistics that are not shown.
	Statistics     []Statistic `json:"statistics,omitempty"`
	MoreStatistics int         `json:"more_statistics,omitempty"`
}

// Change is a value before and after a rule.
type Change struct {
	Place  record.Place `json:"place"`
	Field  string       `json:"field"`
	Before record.Value `json:"before"`
	After  record.Value `json:"after"`
}

// Rejection is a record that a rule refused, with the values that it had when it came to the rule.
type Rejection struct {
	Rule   string         `json:"rule"`
	Reason string         `json:"reason"`
	Fields []record.Field `json:"fields"`
	// Record is valid during the call only, where it is the argument of a function.
	Record record.Record `json:"record"`
}

// Statistic is a number of a field, or of one group of it.
type Statistic struct {
	Field string  `json:"field,omitempty"`
	Group string  `json:"group,omitempty"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Distribution tells the values of a field before the first rule and after the last.
type Distribution struct {
	Field  string `json:"field"`
	Before Values `json:"before"`
	After  Values `json:"after"`
	// Edges are the limits of the bins of the histograms: the distinct deciles of the numbers before, or after if there were none before.
	// Bin i holds the values from Edges[i] up to, and without, Edges[i+1]; the last holds its upper edge too.
	Edges []float64 `json:"edges,omitempty"`
}

// Values tells how the values of a field are distributed. Moments count as numbers, in milliseconds.
type Values struct {
	Type record.Type `json:"type"`
	// Count is the number of values, Missing of records without one.
	Count   int64 `json:"count"`
	Missing int64 `json:"missing"`

	// Of numbers and moments. Quartiles are exact, SD has the divisor Count. Below and Above count the values outside of the histogram.
	Min       float64    `json:"min"`
	Max       float64    `json:"max"`
	Mean      float64    `json:"mean"`
	SD        float64    `json:"sd"`
	Quartiles [3]float64 `json:"quartiles"`
	Histogram []int64    `json:"histogram,omitempty"`
	Below     int64      `json:"below"`
	Above     int64      `json:"above"`

	// Top are the most frequent of other values, by count and then by value.
	Top []Frequent `json:"top,omitempty"`
}

// Frequent is a value and how often it is there: Count, or up to Error less.
//
// Counts are exact (Error 0) while a field has at most topCounters distinct values, and by the Space-Saving algorithm beyond.
type Frequent struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
	Error int64  `json:"error,omitempty"`
}
