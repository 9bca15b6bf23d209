package similarity

import "context"

// The loops in which a build spends its time. On amd64 they are in assembly
// (visit_amd64.s), for one reason above all: rows lie all over memory, and only there can
// a loop ask for those that it will come to. portable.go has the same in Go, with the same
// results to the last bit, for other processors and for the build tags purego and
// portable. The second is ours alone: with the first, Go compiles half of its own library anew.

// visit is what one leading item does: it goes over the rows of its users on a Side and
// adds them to the slots of the items there, in this order.
type visit struct {
	words []uint32 // of the Side
	at    []uint32 // positions of the rows, and visitAhead more of any row
	rows  int      // how many there are
	// lengths are how many entries of each row count, from its first, and visitAhead more of any row; nil: all.
	lengths []uint32

	weights []float32     // of the leading item, for each row; not used by ones
	table   *[256]float32 // what codes stand for; used by coded
	values  []float32     // of the entries; used by valued

	sums    []float32 // slots of coded and valued
	counts  []uint32  // slots of ones
	touched []uint32  // touch writes ids whose slot was zero to touched[count:], as far as room
	room    int       // and stops before a row that might not fit; touched is one longer
	count   int

	turn    int // entries that a function may add before it stops, the last row apart
	updates int // entries that were added
	done    int // rows that were added by the function called last
}

// visitTurn is the number of updates between two looks at the context, about two
// milliseconds. A goroutine cannot be stopped in assembly, as the collector wants to now
// and then.
const visitTurn = 1 << 20

// visitAhead is the number of rows ahead that are asked for.
const visitAhead = 8

// takeAhead is how many more ids than they use takeSums and takeCounts may read.
const takeAhead = 24

// loops returns the functions that add up weights on the side.
func (s *Side) loops() (touch, add func(*visit)) {
	if s.value != nil {
		return touchValued, addValued
	}
	return touchCoded, addCoded
}

// orOnes returns weights, or n ones from a buffer where they are nil.
func orOnes(weights []float32, n int, buf *[]float32) []float32 {
	if weights != nil {
		return weights
	}
	for len(*buf) < n {
		*buf = append(*buf, 1)
	}
	return *buf
}

// touchOrAdd touches rows, and adds those that there was no room for. It tells whether
// touched lists all.
func (v *visit) touchOrAdd(ctx context.Context, touch, add func(*visit)) (listed bool, err error) {
	if err := v.turns(ctx, touch); err != nil || v.rows == 0 {
		return true, err
	}
	return false, v.turns(ctx, add)
}

// turns calls f until no row is left, or f stops before its turn is over. Rows that were
// done are no longer in v.
func (v *visit) turns(ctx context.Context, f func(*visit)) error {
	for v.rows > 0 {
		v.turn = visitTurn
		f(v)
		v.at, v.weights, v.rows = v.at[v.done:], v.weights[v.done:], v.rows-v.done
		if v.lengths != nil {
			v.lengths = v.lengths[v.done:]
		}
		if v.turn > 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
