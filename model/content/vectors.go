package content

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/dense"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Vectors is the model of given vectors for package train: embeddings from anywhere, as an attribute of products. It differs from Kind in what products are compared by; the cosine
// of two vectors is their similarity, if above 0.
var Vectors = &train.Kind{
	Name: "vectors",
	Doc:  "products whose given vectors are near those of the history; new products too",
	Parameters: []model.Parameter{
		{Name: "k", Doc: "neighbors of each product", Default: 50, Low: 1, High: 10_000, Whole: true, Search: [2]float64{10, 500}, Log: true},
		{Name: "attribute", Doc: "attribute with the vectors; needed where products have several", Names: true},
	},
	NeedsProducts: true,
	CheckSettings: func(s model.Settings) error {
		if names := s.Names("attribute"); len(names) > 1 {
			return fmt.Errorf("attribute is %q, want one name", names)
		}
		return nil
	},
	Features: func(products []train.Product, s model.Settings) (*similarity.Rows, error) {
		return vectorsOf(products, strings.Join(s.Names("attribute"), ""))
	},
	NewDriver: func(train.Shape, model.Settings) (train.Driver, error) { return &driver{}, nil },
	NewWorker: newWorker(func(ctx context.Context, products *similarity.Rows, lo, hi uint32, k, threads int) (*similarity.Lists, error) {
		return compareVectors(ctx, products, lo, hi, k, threads, vectorBlock)
	}),
	Write: write,
	Read:  func(file []byte) (train.Model, error) { return Read(file) },
}

// vectorsOf returns products × numbers: the vectors of an attribute, or, if it has no name, of the only one that has any. Rows of products without a vector, or with one of zeros, are
// empty; all others have all numbers, one behind the other.
func vectorsOf(products []train.Product, attribute string) (*similarity.Rows, error) {
	found := map[string]bool{}
	for _, p := range products {
		for i := range p.Attributes {
			if a := &p.Attributes[i]; a.Vector != nil && (attribute == "" || a.Name == attribute) {
				found[a.Name] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(found))
	switch {
	case len(names) == 0 && attribute != "":
		return nil, fmt.Errorf("no product has a vector as its attribute %q; want a text such as [0.5, 1]", attribute)
	case len(names) == 0:
		return nil, errors.New("no product has a vector; want an attribute that is a text such as [0.5, 1]")
	case len(names) > 1:
		return nil, fmt.Errorf("products have vectors as attributes %q; name one, as in vectors(attribute=%s)", names, names[0])
	}
	rows := &similarity.Rows{Start: make([]int64, 1, len(products)+1), Weight: []float32{}}
	for _, p := range products {
		at := slices.IndexFunc(p.Attributes, func(a train.Attribute) bool { return a.Name == names[0] && a.Vector != nil })
		if at >= 0 && slices.ContainsFunc(p.Attributes[at].Vector, func(x float32) bool { return x != 0 }) {
			v := p.Attributes[at].Vector
			if rows.NumItems == 0 {
				rows.NumItems = len(v)
			}
			if len(v) != rows.NumItems {
				return nil, fmt.Errorf("vectors of %d and of %d numbers as attribute %q; want the same number", rows.NumItems, len(v), names[0])
			}
			for i, x := range v {
				rows.Item, rows.Weight = append(rows.Item, uint32(i)), append(rows.Weight, x)
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return rows, nil
}

// vectorBlock is how many vectors are packed at a time, so that each worker does not have all of them once more.
const vectorBlock = 8192

// compareVectors is the comparison by the cosine of vectors, exact by package dense, which packs a block of them at a time. Cost: (hi-lo) · products · numbers multiply-adds.
func compareVectors(ctx context.Context, products *similarity.Rows, lo, hi uint32, k, threads, block int) (*similarity.Lists, error) {
	dim := products.NumItems
	var ids []uint32 // of the vectors
	for id := range uint32(products.NumUsers()) {
		if products.Start[id+1] > products.Start[id] {
			ids = append(ids, id)
		}
	}
	first, _ := slices.BinarySearch(ids, lo)
	end, _ := slices.BinarySearch(ids, hi)
	best := make([][]similarity.Neighbor, end-first)
	for from := 0; from < len(ids) && first < end; from += block {
		to := min(from+block, len(ids))
		packed, err := dense.New(dense.Cosine, dim, products.Weight[from*dim:to*dim])
		if err != nil {
			return nil, err
		}
		near, err := packed.Nearest(ctx, products.Weight[first*dim:end*dim], k+1, threads) // with itself
		if err != nil {
			return nil, err
		}
		for i, list := range near {
			for _, n := range list {
				if n.ID = ids[from+int(n.ID)]; n.ID != ids[first+i] && n.Score > 0 {
					best[i] = append(best[i], n)
				}
			}
			slices.SortFunc(best[i], func(a, b similarity.Neighbor) int {
				return model.Scored{Item: a.ID, Score: float64(a.Score)}.Compare(model.Scored{Item: b.ID, Score: float64(b.Score)})
			})
			best[i] = best[i][:min(k, len(best[i]))]
		}
	}
	out := &similarity.Lists{Lo: lo, Start: []int64{0}}
	for id := lo; id < hi; id++ {
		if first < end && ids[first] == id {
			out.Entries = append(out.Entries, best[len(best)-(end-first)]...)
			first++
		}
		out.Start = append(out.Start, int64(len(out.Entries)))
	}
	return out, nil
}
