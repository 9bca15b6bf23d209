package pipeline

import (
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/clean"
	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/record"
)

// Report says what a run did. Sources are in the order of the file.
type Report struct {
	Sources []*Source `json:"sources"`
	// Users and Products say which keys were joined; nil where the file does not ask for it.
	Users    *Identity `json:"users,omitempty"`
	Products *Identity `json:"products,omitempty"`
	// Profiles and Catalog say what became of rows of users and of products; nil where there are none.
	Profiles *Fused `json:"profiles,omitempty"`
	Catalog  *Fused `json:"catalog,omitempty"`
	// Events are those handed on, under canonical keys.
	Events Events `json:"events"`
}

// Source says what became of the rows of a source. In its Report, rows that joins, rules or the making of events refused count as rejected.
type Source struct {
	fusion.Report
	Kind fusion.Kind `json:"kind"`
	// Unmatched counts rows that found nothing to join, by the source that they looked in, rejected or not.
	Unmatched map[string]int64 `json:"unmatched,omitempty"`
	// Cleaned counts the rows kept that rules changed, and Clean tells what the rules did; nil without rules.
	Cleaned int64         `json:"cleaned,omitempty"`
	Clean   *clean.Report `json:"clean,omitempty"`
	// Samples are the first rejected rows of each reason.
	Samples []Sample `json:"samples,omitempty"`
	// Private says that values are withheld.
	Private bool `json:"private,omitempty"`
}

// Sample is a rejected row.
type Sample struct {
	File   string `json:"file,omitempty"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Raw    string `json:"raw,omitempty"`
}

// Bounds of samples: for each reason of a source, and the bytes shown of a row.
const (
	samplesPerReason = 3
	sampleBytes      = 400
)

// sample keeps a dead letter, unless there are enough of its reason.
func (s *Source) sample(d fusion.DeadLetter) {
	n := 0
	for _, x := range s.Samples {
		if x.Reason == d.Reason {
			n++
		}
	}
	if n == samplesPerReason {
		return
	}
	s.Samples = append(s.Samples, Sample{d.File, d.Line, d.Reason, d.Detail, cut(strings.ToValidUTF8(d.Raw, "\uFFFD"), sampleBytes)})
}

// cut shortens a text to about some bytes, at a letter.
func cut(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	return strings.ToValidUTF8(s[:bytes], "") + "..."
}

// reject counts a row that the mapping had kept.
func (s *Source) reject(code string) {
	s.Kept--
	s.Rejected++
	s.Reasons[code]++
}

// rejectLate counts a row that joins and rules had kept, and that some rules had changed.
func (s *Source) rejectLate(code string, rules uint64) {
	s.reject(code)
	if rules != 0 {
		s.Cleaned--
	}
}

// Identity says which keys of users or products are one.
type Identity struct {
	Links *identity.LinkReport `json:"links"`
	// Match is about accounts of one person, Titles about products listed twice; nil where the file does not ask for it.
	Match  *identity.MatchReport     `json:"match,omitempty"`
	Titles *identity.DuplicateReport `json:"titles,omitempty"`
	// Stored says what became of keys of users under which something was stored before they were known to be another's. Who stores sets it, as a run itself stores
	// nothing; nil if there are none. What joins two keys may be a chain of links, so there are no counts by source.
	Stored *Joins `json:"stored,omitempty"`
}

// Joins is what became of keys of users that are to be joined to others. See Sink.Joins.
type Joins struct {
	// Keys that were joined, with how many events, and those that were before.
	Keys   uint64 `json:"keys"`
	Events uint64 `json:"events"`
	Known  uint64 `json:"known"`
	// RefusedKeys stay by themselves, and Refused are the first of them.
	RefusedKeys uint64        `json:"refused"`
	Refused     []RefusedJoin `json:"refusals,omitempty"`
}

// Sum counts the keys.
func (j *Joins) Sum() uint64 { return j.Keys + j.Known + j.RefusedKeys }

// RefusedJoin is a key that stays by itself, and why.
type RefusedJoin struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Detail string `json:"detail"`
}

// Fused says what became of the rows of products or of profiles.
type Fused struct {
	// Rows were read, Records made of them; Several of these of more than one row.
	Rows    int64 `json:"rows"`
	Records int64 `json:"records"`
	Several int64 `json:"several"`
	// Fields are in the order of their names.
	Fields []FusedField `json:"fields"`
}

// FusedField says how a field of all records was settled.
type FusedField struct {
	Name   string `json:"name"`
	Method string `json:"method"`
	// Values counts the records that have one, Conflicts those about which rows disagree, From those that have the value of a source.
	Values    int64            `json:"values"`
	Conflicts int64            `json:"conflicts"`
	From      map[string]int64 `json:"from"`
	// Examples are the first conflicts.
	Examples []Conflict `json:"examples,omitempty"`
}

// Conflict is a field on which the rows of a record disagree. The first claim is the one that counts.
type Conflict struct {
	Key    string  `json:"key"`
	Claims []Claim `json:"claims"`
}

// Claim is what a row says.
type Claim struct {
	Value string       `json:"value"`
	Place record.Place `json:"place"`
}

// Events counts what was handed on.
type Events struct {
	fusion.Totals
	// Behaviors counts events by behavior, of the first maxBehaviors there are, and OtherBehaviors those of all others.
	Behaviors      map[fusion.Behavior]int64 `json:"behaviors"`
	OtherBehaviors int64                     `json:"other_behaviors,omitempty"`
	// First and Last are the times of events that have one, in Unix milliseconds.
	First int64 `json:"first_unix_ms,omitempty"`
	Last  int64 `json:"last_unix_ms,omitempty"`
}

// maxBehaviors bounds a report where a column that is none of behaviors was taken for it.
const maxBehaviors = 1000

func (e *Events) add(events []fusion.Event) {
	for i := range events {
		x := &events[i]
		if _, known := e.Behaviors[x.Behavior]; known || len(e.Behaviors) < maxBehaviors {
			e.Behaviors[x.Behavior]++
		} else {
			e.OtherBehaviors++
		}
		if x.Time == 0 {
			continue
		}
		if e.First == 0 || x.Time < e.First {
			e.First = x.Time
		}
		e.Last = max(e.Last, x.Time)
	}
}
