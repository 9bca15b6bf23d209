//go:build linux

package main

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is what a client did to one user: it appended an event, or read the history. Times are since the start of the
// run, by the monotonic clock.
type operation struct {
	User   string
	Client int
	// Append is the position of the event in the user's history, 0 to 63; -1 for a read.
	Append int
	// Read is the set of the positions of the events that were read, a bit each.
	Read uint64
	From time.Duration
	// To is when the answer came; unknown if it never did: the append may have happened at any time since, or not at all.
	To time.Duration
}

// unknown is the end of an operation whose outcome nobody knows.
const unknown = time.Duration(math.MaxInt64)

// String tells the operation in a line.
func (o operation) String() string {
	what := fmt.Sprintf("reads %d events %064b", bits.OnesCount64(o.Read), o.Read)
	if o.Append >= 0 {
		what = fmt.Sprintf("appends %d", o.Append)
	}
	to := o.To.Round(time.Microsecond).String()
	if o.To == unknown {
		to = "unknown"
	}
	return fmt.Sprintf("%v..%s client %d %s", o.From.Round(time.Microsecond), to, o.Client, what)
}

// model is a user's history as one copy would keep it: a set of events that grows. Appending what is there changes
// nothing; a read returns the set.
var model = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		set, at := state.(uint64), input.(int)
		if at < 0 {
			return output.(uint64) == set, set
		}
		return true, set | 1<<at
	},
}

// linearizable returns the users for which no order of the operations explains what was read, with their histories,
// and those for which the search took longer than limit.
//
// An order must keep to time: an operation that ended before another began comes first [herlihy1990]. Users are
// independent of each other, so each is searched alone, which keeps the histories short.
func linearizable(ops []operation, limit time.Duration) (broken map[string][]operation, undecided []string) {
	byUser := map[string][]operation{}
	for _, o := range ops {
		byUser[o.User] = append(byUser[o.User], o)
	}
	broken = map[string][]operation{}
	for user, mine := range byUser {
		history := make([]porcupine.Operation, len(mine))
		for i, o := range mine {
			history[i] = porcupine.Operation{ClientId: o.Client, Input: o.Append, Output: o.Read, Call: int64(o.From), Return: int64(o.To)}
		}
		switch porcupine.CheckOperationsTimeout(model, history, limit) {
		case porcupine.Ok:
		case porcupine.Unknown:
			undecided = append(undecided, user)
		case porcupine.Illegal:
			slices.SortFunc(mine, func(a, b operation) int { return int(a.From - b.From) })
			broken[user] = mine
		}
	}
	slices.Sort(undecided)
	return broken, undecided
}

// tell writes a history, a line for each operation.
func tell(ops []operation) string {
	var b strings.Builder
	for _, o := range ops {
		b.WriteString("  " + o.String() + "\n")
	}
	return b.String()
}
