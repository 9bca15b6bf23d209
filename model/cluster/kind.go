package cluster

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// What may be grouped, in the order of the choices of the parameter of.
const (
	ofUsers = iota
	ofItems
	ofOrders
)

const (
	maxK    = 4096
	maxRank = 1024
	maxList = 100_000
	// described is how many items describe a group.
	described = 20
	// kTries is the most numbers of groups that are tried where the number is left open.
	kTries = 8
	// shareSmoothing is the number of users that a group has besides its own, who like what all like: one user of a small group makes no favorite.
	shareSmoothing = 5
	// priorPart is the weight of the prior of log-odds, in parts of the entries of an average group.
	priorPart = 0.1
)

// Kind is the model "clusters".
//
// R is the matrix of users × items with the entries sign(w)·log2(1+|w|)/n_i^discount, n_i the number of users of item i. Its rank largest singular values σ and right
// singular vectors V come from a random start, multiplied by RᵀR 1+power times and made orthonormal each time (subspace iteration: Halko, Martinsson and
// Tropp, SIAM Review 53(2), 2011, algorithm 4.4 [halko2011]): each worker multiplies by its rows, each owner of items adds up what all have, and of
// the Gram matrix of it, rank × rank, the driver makes what makes it orthonormal. A user is the row x·V, an item its row of V·diag(σ), an order the row
// that a user of just its items would have; all of length 1, so that distances are those of angles. Who has none is in no group.
//
// Costs: 2·(1+power)·entries·rank multiply-adds, and 8·items·rank bytes from each worker, for V; then n·k·rank for each pass, of which the bounds leave out much. Counting what
// is in a group takes k·items·4 bytes at each worker.
var Kind = &train.Kind{
	Name: "clusters",
	Doc:  "groups of users, items or orders by k-means, and what is liked in them",
	Parameters: []model.Parameter{
		{Name: "of", Doc: "what is grouped; orders need single events", Choices: []string{"users", "items", "orders"}},
		{Name: "k", Doc: "number of groups; 0 looks for the best silhouette up to k-max", Default: 30, Low: 0, High: maxK, Whole: true, Search: [2]float64{5, 200}, Log: true},
		{Name: "k-max", Doc: "most groups, where k is 0", Default: 60, Low: 2, High: maxK, Whole: true},
		{Name: "rank", Doc: "components of the vectors", Default: 32, Low: 1, High: maxRank, Whole: true, Search: [2]float64{8, 128}, Log: true},
		{Name: "power", Doc: "times that the vectors are refined", Default: 3, Low: 0, High: 20, Whole: true},
		{Name: "discount", Doc: "power of the number of users by which a popular item counts less in a vector", Default: 0.5, Low: 0, High: 1, Search: [2]float64{0, 1}},
		{Name: "lift", Doc: "power of the lift of an item in the group, against its share, in scores", Default: 0, Low: 0, High: 2, Search: [2]float64{0, 1}},
		{Name: "list", Doc: "items that are kept for each group", Default: 1000, Low: 1, High: maxList, Whole: true},
		{Name: "iterations", Doc: "most passes", Default: 50, Low: 1, High: 10_000, Whole: true},
		{Name: "restarts", Doc: "times that it begins anew; the least loss is kept", Default: 1, Low: 1, High: 100, Whole: true},
		{Name: "batch", Doc: "expected vectors of a pass; 0 takes all", Default: 0, Low: 0, High: 1e9, Whole: true},
		{Name: "bounds", Doc: "what leaves distances out; the result is the same", Choices: []string{"hamerly", "none"}},
		{Name: "seed", Doc: "chooses the random numbers", Default: 1, Low: 0, High: 1 << 52, Whole: true},
	},
	NewDriver: newDriver,
	NewWorker: newWorker,
	Write:     write,
	Read:      func(file []byte) (train.Model, error) { return Read(file) },
}

func optionsOf(s model.Settings) Options {
	o := DefaultOptions()
	o.Seed, o.Iterations, o.Restarts = uint64(s.Number("seed")), s.Whole("iterations"), s.Whole("restarts")
	o.MiniBatch, o.Plain, o.Spherical = s.Whole("batch"), s.Choice("bounds") == "none", true
	return o
}

// numbersOf returns the numbers of groups to try: k, or a geometric row from 2 to k-max.
func numbersOf(s model.Settings) []int {
	if k := s.Whole("k"); k > 0 {
		return []int{k}
	}
	var ks []int
	for i := range kTries {
		ks = append(ks, int(math.Round(2*math.Pow(s.Number("k-max")/2, float64(i)/(kTries-1)))))
	}
	return slices.Compact(ks)
}

func write(ctx context.Context, shape train.Shape, s model.Settings, get func(context.Context, int, string) ([]byte, error), out io.Writer) error {
	head, err := get(ctx, 0, "header")
	if err != nil {
		return err
	}
	m := Model{of: s.Whole("of"), numUsers: shape.Users, numItems: shape.Items, discount: s.Number("discount")}
	if m.header, err = decodeHeader(head); err != nil {
		return err
	}
	if m.users, err = fromOwners[int64](ctx, &shape, get, "users", 1); err != nil {
		return err
	}
	if m.v, err = fromOwners[float32](ctx, &shape, get, "q", m.header.dim); err != nil {
		return err
	}
	if m.of == ofItems {
		if m.groups, err = fromOwners[int32](ctx, &shape, get, "groups", 1); err != nil {
			return err
		}
	}
	m.lists = make([]list, len(m.header.counts))
	for owner := range shape.Workers() {
		b, err := get(ctx, owner, "lists")
		if err != nil {
			return err
		}
		r := model.NewReader(b)
		for c := range m.lists {
			m.lists[c].join(r, shape.Items)
		}
		if err := r.End(); err != nil {
			return fmt.Errorf("lists of worker %d: %w", owner, err)
		}
	}
	for c := range m.lists {
		m.lists[c].cut(s.Whole("list"))
	}
	_, err = out.Write(m.encode())
	return err
}
