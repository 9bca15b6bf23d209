package identity

import (
	"encoding/json"

	"github.com/kith-io/kith/fusion/record"
)

// Scores and weights are logarithms, which may be infinite; JSON has no such numbers. Each form lists pointers to those fields, so that it is one for
// writing and for reading, and hides the plain ones.

func (p *Pair) form() any {
	type plain Pair
	return &struct {
		*plain
		Score *record.Float `json:"score"`
	}{(*plain)(p), (*record.Float)(&p.Score)}
}

// MarshalJSON writes infinities as texts.
func (p Pair) MarshalJSON() ([]byte, error) { return json.Marshal(p.form()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Pair) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, p.form()) }

func (w *Weights) form() any {
	type plain Weights
	return &struct {
		*plain
		M        *record.Float `json:"m"`
		U        *record.Float `json:"u"`
		Agree    *record.Float `json:"agree"`
		Disagree *record.Float `json:"disagree"`
	}{(*plain)(w), (*record.Float)(&w.M), (*record.Float)(&w.U), (*record.Float)(&w.Agree), (*record.Float)(&w.Disagree)}
}

// MarshalJSON writes infinities as texts.
func (w Weights) MarshalJSON() ([]byte, error) { return json.Marshal(w.form()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (w *Weights) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, w.form()) }

func (r *MatchReport) form() any {
	type plain MatchReport
	return &struct {
		*plain
		Threshold *record.Float `json:"threshold"`
	}{(*plain)(r), (*record.Float)(&r.Threshold)}
}

// MarshalJSON writes infinities as texts.
func (r MatchReport) MarshalJSON() ([]byte, error) { return json.Marshal(r.form()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (r *MatchReport) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, r.form()) }
