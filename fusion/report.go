package fusion

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Report says what became of the rows of one source. Read = Kept + Rejected + Skipped.
type Report struct {
	Name string `json:"name"`
	// Read counts the rows read, or, in the line formats, their items.
	Read int64 `json:"read"`
	// Kept counts the rows that became events or records.
	Kept int64 `json:"kept"`
	// Skipped counts the rows that the mapping's where does not take.
	Skipped int64 `json:"skipped,omitempty"`
	// Repaired counts, among those kept, the ones that had to be changed:
	// blanks around a key trimmed, a decimal comma read as a point, a bad value replaced.
	Repaired int64 `json:"repaired"`
	// Repairs counts the bad values that were replaced as the mapping says, by the reason for which their rows would have been refused.
	Repairs map[string]int64 `json:"repairs,omitempty"`
	// Rejected counts the rows refused, Reasons why, by Code.
	Rejected int64            `json:"rejected"`
	Reasons  map[string]int64 `json:"reasons"`
	// Weightless counts, in a ReadTable, the kept rows of behaviors without a
	// weight. They have no effect.
	Weightless map[Behavior]int64 `json:"weightless,omitempty"`
}

// Totals counts over all sources.
type Totals struct {
	Events int64 `json:"events"`
	Users  int64 `json:"users"`
	Items  int64 `json:"items"`
}

// Summary is the result of reading several sources, as `kith ingest -o json`
// prints it.
type Summary struct {
	Sources []Report `json:"sources"`
	Totals
}

// ErrNoValidRow means that nothing of a source could be used.
var ErrNoValidRow = errors.New("no valid row")

func newReport(name string) Report {
	return Report{Name: name, Reasons: map[string]int64{}} // {} in JSON, not null
}

func (r *Report) reject(code string) {
	r.Rejected++
	r.Reasons[code]++
}

func (r *Report) repair(code string) {
	if r.Repairs == nil {
		r.Repairs = map[string]int64{}
	}
	r.Repairs[code]++
}

func (r *Report) weightless(b Behavior) {
	if r.Weightless == nil {
		r.Weightless = map[Behavior]int64{}
	}
	r.Weightless[b]++
}

// Add adds the counts of other to r, but not its name.
func (r *Report) Add(other Report) {
	r.Read += other.Read
	r.Kept += other.Kept
	r.Repaired += other.Repaired
	r.Rejected += other.Rejected
	r.Skipped += other.Skipped
	for code, n := range other.Repairs {
		if r.Repairs == nil {
			r.Repairs = map[string]int64{}
		}
		r.Repairs[code] += n
	}
	if r.Reasons == nil {
		r.Reasons = map[string]int64{}
	}
	for code, n := range other.Reasons {
		r.Reasons[code] += n
	}
	for b, n := range other.Weightless {
		if r.Weightless == nil {
			r.Weightless = map[Behavior]int64{}
		}
		r.Weightless[b] += n
	}
}

// TopReasons returns up to n reasons with their counts, most frequent first,
// as in "bad_time 12, no_user 3".
func (r *Report) TopReasons(n int) string { return counts(r.Reasons, n) }

// counts lists the n largest of some numbers, equal ones by name.
func counts[K ~string](of map[K]int64, n int) string {
	keys := slices.SortedFunc(maps.Keys(of), func(a, b K) int {
		return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b))
	})
	var out []string
	for _, k := range keys[:min(n, len(keys))] {
		out = append(out, fmt.Sprintf("%s %d", k, of[k]))
	}
	return strings.Join(out, ", ")
}

// Check returns an error that matches ErrNoValidRow, with the name and the reasons, if nothing was kept. Example is a row that was refused; it may be
// empty.
func (r *Report) Check(example string) error {
	switch {
	case r.Kept > 0 || r.Skipped > 0:
		return nil
	case r.Read == 0:
		return fmt.Errorf("%s: %w: the file has no rows", r.Name, ErrNoValidRow)
	case example != "":
		return fmt.Errorf("%s: %w: %d rows rejected (%s), the first at %s", r.Name, ErrNoValidRow, r.Rejected, r.TopReasons(3), example)
	}
	return fmt.Errorf("%s: %w: %d rows rejected (%s)", r.Name, ErrNoValidRow, r.Rejected, r.TopReasons(3))
}

// Tally counts the events, users and items of several sources. Its memory
// grows with the number of distinct keys.
type Tally struct {
	events       int64
	users, items interner
	key          []byte // scratch
}

// Add counts events.
func (t *Tally) Add(events []Event) {
	t.events += int64(len(events))
	for i := range events {
		t.key = append(t.key[:0], events[i].User...)
		t.users.add(t.key)
		t.key = append(t.key[:0], events[i].Item...)
		t.items.add(t.key)
	}
}

// Totals returns the counts so far.
func (t *Tally) Totals() Totals {
	return Totals{Events: t.events, Users: int64(t.users.len()), Items: int64(t.items.len())}
}
