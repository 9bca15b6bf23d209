// Package warp is a model of factors that learns to rank what users have before what they have not, from what users have and, where it is known, from what items are.
//
// An item j has a vector x_j and a bias b_j as one that is recommended, and a vector y_j as one of a history. The score of j for a history H is
//
//	s_j = b_j + q·x_j,  q = |H|^(−½) · Σ y_k over k in H
//
// x, b and y of an item are the sums of a vector of its own and those of its features, times their weights, as in LightFM (Kula 2015 [kula2015]): a new item with
// features is recommended, and counts in histories. Users are what they have, as in FISM (Kabbur et al., KDD 2013 [kabbur2013]), rather
// than a vector of their own: so nothing of users is kept, and a history is answered as it is now, whoever's it is.
//
// Where attributes of users are named, the user has features, too, and what these add up to, p, is another item of the history:
//
//	q = (|H|+1)^(−½) · (Σ y_k over k in H + p)
//
// So p stands for a user without a history. Some users are learned a second time in a pass as if they had none, as in DropoutNet (Volkovs et al., NIPS 2017 [volkovs2017]).
//
// The loss is WARP (Weston et al., IJCAI 2011 [weston2011]): for a user who has i, q without y_i, items that the user does not have are drawn until one has a score above s_i − 1. If that is
// j after t draws of M items, the rank of i is about (M−1)/t, and
//
//	log((M−1)/t) · (1 − s_i + s_j)
//
// is lowered. The step is that of Adagrad (Duchi et al. 2011 [duchi2011]), for a batch of users at a time: an iteration divides the users among some batches at random.
//
// Gradients are rounded to fixed point before they are added up, so that sums depend on no order: the model has the same bits for any number of workers
// and threads, for a seed. In each batch the workers give the sums of their users to the owners of the items, who make the step and give back the new
// parameters. Cost of an iteration: O(entries · (factors · draws + features of an item)), and for each batch and worker what it touches of (2·factors + 1) · 8 bytes an item
// to the owners and half of all that from them.
package warp

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/content"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Kind is the model.
var Kind = &train.Kind{
	Name: "warp",
	Doc:  "factors of items and their features, learned by the rank of what users have (WARP; as LightFM)",
	Parameters: []model.Parameter{
		{Name: "factors", Doc: "length of vectors", Default: 32, Low: 1, High: 4096, Whole: true, Search: [2]float64{16, 256}, Log: true},
		{Name: "iterations", Doc: "passes over the data", Default: 30, High: 100_000, Whole: true, Search: [2]float64{5, 100}, Log: true},
		{Name: "batches", Doc: "steps in a pass", Default: 20, Low: 1, High: 1e6, Whole: true},
		{Name: "learning-rate", Doc: "length of the first step", Default: 0.05, Low: 1e-6, High: 1, Search: [2]float64{0.005, 0.2}, Log: true},
		{Name: "regularization", Doc: "pulls parameters to zero", Default: 2, High: 1e6, Search: [2]float64{1e-3, 10}, Log: true},
		{Name: "draws", Doc: "most items that are drawn for one that the user has", Default: 20, Low: 1, High: 1e6, Whole: true, Search: [2]float64{5, 100}, Log: true},
		{Name: "user-attributes", Doc: "attributes of users' records to learn from, such as age+country", Names: true, Sorted: true},
		{Name: "least-users", Doc: "users who must share a value of an attribute for it to count", Default: 10, Low: 2, High: 1e9, Whole: true},
		{Name: "cold", Doc: "share of the users with attributes who are learned in a pass as if they had no history, too", Default: 0.3, High: 1},
		{Name: "seed", Doc: "chooses the first vectors, batches and draws", Default: 1, High: 1 << 32, Whole: true},
	},
	NewDriver: func(shape train.Shape, s model.Settings) (train.Driver, error) {
		return &driver{
			shape: shape, iterations: s.Whole("iterations"), batches: s.Whole("batches"), attributes: s.Names("user-attributes"), leastUsers: s.Whole("least-users"),
		}, nil
	},
	Features:       features,
	UserAttributes: func(s model.Settings) []string { return s.Names("user-attributes") },
	NewWorker:      newWorker,
	Write:          write,
	Read: func(file []byte) (train.Model, error) {
		m, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("warp: %w: %w", ErrFile, err)
		}
		return m, nil
	},
}

// ErrFile is matched by the error of Kind.Read for bytes that are no whole file.
var ErrFile = errors.New("damaged file of a model of factors")

const (
	stepCount    = "count"    // workers count the users of each item
	stepGradient = "gradient" // workers add up the gradients of their users of a batch
	stepUpdate   = "update"   // owners make the step
	stepFinish   = "finish"   // the first worker puts the model

	nameGradient = "gradient" // and the number of the owner
	nameOwned    = "owned"    // parameters of an owner
	nameModel    = "model"
)

// driver names stepCount, then for each batch stepGradient, whose input is the number of the iteration and of the batch, and before the first the counts of items, and stepUpdate.
type driver struct {
	shape               train.Shape
	iterations, batches int
	attributes          []string // of users
	leastUsers          int
	done                int // steps after the first
	begun, finishing    bool
}

func (d *driver) Progress() float64 {
	return float64(d.done) / float64(2*d.iterations*d.batches+1)
}

func (d *driver) Next(said [][]byte) (train.Step, bool, error) {
	if !d.begun {
		d.begun = true
		return train.Step{Name: stepCount}, false, nil
	}
	if d.finishing {
		return train.Step{}, true, nil
	}
	var input []byte
	if d.done == 0 {
		var err error
		if input, err = d.known(said); err != nil {
			return train.Step{}, false, err
		}
	}
	step := d.done
	d.done++
	switch {
	case step == 2*d.iterations*d.batches:
		d.finishing = true
		return train.Step{Name: stepFinish, Input: input}, false, nil
	case step%2 == 1:
		return train.Step{Name: stepUpdate}, false, nil
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(step/2/d.batches))
	head = binary.LittleEndian.AppendUint32(head, uint32(step/2%d.batches))
	return train.Step{Name: stepGradient, Input: append(head, input...)}, false, nil
}

// known adds up what workers have counted: it returns how many users have each item, and what the features of users are.
func (d *driver) known(said [][]byte) (known []byte, err error) {
	counts := make([]uint64, d.shape.Items)
	parts := make([][]tally, len(said))
	for w, b := range said {
		if len(b) < 8*len(counts) {
			return nil, fmt.Errorf("counts of worker %d: %d bytes for %d items", w, len(b), len(counts))
		}
		for i := range counts {
			counts[i] += binary.LittleEndian.Uint64(b[8*i:])
		}
		if len(d.attributes) == 0 {
			continue
		}
		if err := json.Unmarshal(b[8*len(counts):], &parts[w]); err != nil {
			return nil, fmt.Errorf("counts of worker %d: %w", w, err)
		}
		if len(parts[w]) != len(d.attributes) {
			return nil, fmt.Errorf("counts of worker %d: %d attributes of users, want %d", w, len(parts[w]), len(d.attributes))
		}
	}
	for _, n := range counts {
		known = binary.LittleEndian.AppendUint64(known, n)
	}
	if len(d.attributes) == 0 {
		return known, nil
	}
	all, err := newTraits(d.attributes, parts, d.leastUsers)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(all)
	return append(known, text...), err
}

// features are the categories and numbers of products as package content weighs them. Words are left out: there are so many that parameters of them would take more memory
// than those of the items.
func features(products []train.Product, _ model.Settings) (*similarity.Rows, error) {
	o := content.DefaultOptions()
	o.Text = 0
	return content.Features(products, o)
}

func newWorker(data *train.Data, s model.Settings, threads int) (train.Worker, error) {
	f := data.Features
	if f == nil {
		f = &similarity.Rows{Start: make([]int64, data.Shape.Items+1)}
	}
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	if f.NumUsers() < data.Shape.Items {
		return nil, fmt.Errorf("features of %d items, want %d", f.NumUsers(), data.Shape.Items)
	}
	attributes := s.Names("user-attributes")
	if len(attributes) > 0 && len(data.Profiles) != data.Rows.NumUsers() {
		return nil, fmt.Errorf("it is to learn from attributes of users, %s, and there are %d records for %d users; give records of users", strings.Join(attributes, ", "), len(data.Profiles), data.Rows.NumUsers())
	}
	return &worker{
		attributes: attributes, cold: s.Number("cold"),
		data: data, threads: threads, features: f, factors: s.Whole("factors"), batches: s.Whole("batches"), draws: s.Whole("draws"),
		rate: s.Number("learning-rate"), regularization: s.Number("regularization"), seed: uint64(s.Whole("seed")),
	}, nil
}

func write(ctx context.Context, _ train.Shape, _ model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
	b, err := get(ctx, 0, nameModel)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
