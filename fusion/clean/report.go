package clean

import "github.com/kith-io/kith/fusion/record"

// Report says what was done to the records of a source.
type Report struct {
	// Read is the number of records that came in, Kept of those that went out. The others were rejected.
	Read, Kept int64
	// Rules are in the order of the configuration.
	Rules []RuleReport
	// Distributions of the fields that rules may change, or of those that were asked for.
	Distributions []Distribution
	// Passes is how often records were written to a spool, SpoolBytes the size of the largest.
	Passes     int
	SpoolBytes int64
	// SortedBytes is what was written to sort what did not fit the memory; 0 if all did.
	SortedBytes int64
}

// RuleReport says what one rule did.
type RuleReport struct {
	Name, Kind string
	// Seen, Changed and Rejected count records. A record counts as changed once, however many values change; Values counts those.
	Seen, Changed, Rejected, Values int64
	// Reasons has the rejected records by reason.
	Reasons map[string]int64
	// Changes and Rejections are the first ones.
	Changes    []Change
	Rejections []Rejection
	// Statistics are the numbers of the whole source that the rule went by. There are MoreStatistics that are not shown.
	Statistics     []Statistic
	MoreStatistics int
}

// Change is a value before and after a rule.
type Change struct {
	Place         record.Place
	Field         string
	Before, After record.Value
}

// Rejection is a record that a rule refused, with the values that it had when it came to the rule.
type Rejection struct {
	Rule, Reason string
	Fields       []record.Field
	// Record is valid during the call only, where it is the argument of a function.
	Record record.Record
}

// Statistic is a number of a field, or of one group of it.
type Statistic struct {
	Field, Group, Name string
	Value              float64
}

// Distribution tells the values of a field before the first rule and after the last.
type Distribution struct {
	Field         string
	Before, After Values
	// Edges are the limits of the bins of the histograms: the distinct deciles of the numbers before, or after if there were none before.
	// Bin i holds the values from Edges[i] up to, and without, Edges[i+1]; the last holds its upper edge too.
	Edges []float64
}

// Values tells how the values of a field are distributed. Moments count as numbers, in milliseconds.
type Values struct {
	Type record.Type
	// Count is the number of values, Missing of records without one.
	Count, Missing int64

	// Of numbers and moments. Quartiles are exact, SD has the divisor Count. Below and Above count the values outside of the histogram.
	Min, Max, Mean, SD float64
	Quartiles          [3]float64
	Histogram          []int64
	Below, Above       int64

	// Top are the most frequent of other values, by count and then by value.
	Top []Frequent
}

// Frequent is a value and how often it is there: Count, or up to Error less.
//
// Counts are exact (Error 0) while a field has at most topCounters distinct values, and by the Space-Saving algorithm beyond.
type Frequent struct {
	Value        string
	Count, Error int64
}
