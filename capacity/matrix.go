package capacity

import (
	"context"
	"math"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/similarity"
)

// Size is how large a matrix is. Numbers of an Expected matrix are expectations.
type Size struct {
	// Users and Items that have an interaction.
	Users, Items float64
	Interactions float64
	// Updates of the inner loop that a build takes.
	Updates float64
	// WeightBytes that a stored weight takes on the way: 0 where all are one, 1 where there are at most 256, else 4.
	WeightBytes int
}

// Work is what a matrix makes of a plan.
type Work struct {
	// Updates of each task by number, each item with itself included, as the planner counts them.
	Updates []float64
	// Pairs of items with a common user of each task, seen from the item that leads.
	Pairs []float64
}

// Matrix is what is known of the interactions of a build.
type Matrix interface {
	Size() Size
	// Counts returns what a planner is told: the users and the updates of each item, by dense id. The caller must not change
	// them.
	Counts() (counts []uint32, updates []uint64)
	// Work returns the work of a plan that was made of the counts.
	Work(p *coordinator.Plan) Work
	// Sample returns about as many rows of users as named, or all if there are fewer, with items numbered by descending
	// popularity. Equal arguments give equal rows.
	Sample(ctx context.Context, users int) (*similarity.Rows, error)
}

// partBytes is about what the head of an encoded part takes, its checksum and its weights.
const partBytes = 60

// encodedBytes returns about how long the parts of a block are together: items with the given counts of users, of the given
// number of users in parts parts. See similarity.AppendPart for the form.
func encodedBytes(counts []uint32, users float64, weightBytes, parts int) float64 {
	bytes := float64(parts) * partBytes
	var found float64 // items in parts, with entries
	for _, count := range counts {
		found -= float64(parts) * math.Expm1(-float64(count)/float64(parts))
	}
	skipped := varintBytes(float64(len(counts)*parts)/max(1, found) - 1)
	for _, count := range counts {
		if n := float64(count); n > 0 {
			in := -float64(parts) * math.Expm1(-n/float64(parts))
			bytes += in*(skipped+varintBytes(n/in-1)) + n*(varintBytes(users/n-1)+float64(weightBytes))
		}
	}
	return bytes
}

// varintBytes returns the mean length of an unsigned varint that is distributed exponentially with a mean.
func varintBytes(mean float64) float64 {
	n, limit := 1.0, 128.0
	for range 4 {
		n += math.Exp(-limit / math.Max(mean, 1e-9))
		limit *= 128
	}
	return n
}
