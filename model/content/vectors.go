package content

import (
	"context"
	"encoding/binary"
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
	NewDriver: func(train.Shape, model.Settings) (train.Driver, error) { return &vectorDriver{}, nil },
	NewWorker: newWorker(func(ctx context.Context, products *similarity.Rows, lo, hi uint32, k, threads int) (*similarity.Lists, error) {
		return compareVectors(ctx, products, lo, hi, k, threads, vectorBlock)
	}, oddVectors),
	Write: write,
	Read:  func(file []byte) (train.Model, error) { return Read(file) },
}

// vectorDriver counts the products with vectors that the model has not.
type vectorDriver struct {
	driver
	odd, numbers uint64
}

// Next takes what oddVectors says.
func (d *vectorDriver) Next(said [][]byte) (train.Step, bool, error) {
	for _, b := range said {
		if len(b) == 0 {
			continue // of a program that refuses such products
		}
		r := model.NewReader(b)
		d.odd += r.Uvarint()
		d.numbers = r.Uvarint()
		if err := r.End(); err != nil {
			return train.Step{}, false, err
		}
	}
	return d.driver.Next(said)
}

// Notes implements train.Noter.
func (d *vectorDriver) Notes() []string {
	if d.odd == 0 {
		return nil
	}
	return []string{fmt.Sprintf("products left out, whose vectors have not %d numbers as most have: %d", d.numbers, d.odd)}
}

// vectorOf returns the vector of a product by an attribute, or by the only one that has any if it has no name; nil for none, or one of zeros.
func vectorOf(p train.Product, attribute string) []float32 {
	at := slices.IndexFunc(p.Attributes, func(a train.Attribute) bool { return a.Vector != nil && (attribute == "" || a.Name == attribute) })
	if at < 0 || !slices.ContainsFunc(p.Attributes[at].Vector, func(x float32) bool { return x != 0 }) {
		return nil
	}
	return p.Attributes[at].Vector
}

// oddVectors counts the products with vectors of another length than the features have.
func oddVectors(d *train.Data, s model.Settings, lo, hi uint32) []byte {
	odd, attribute := uint64(0), strings.Join(s.Names("attribute"), "")
	for _, p := range d.Products[lo:hi] {
		if v := vectorOf(p, attribute); v != nil && len(v) != d.Features.NumItems {
			odd++
		}
	}
	return binary.AppendUvarint(binary.AppendUvarint(nil, odd), uint64(d.Features.NumItems))
}

// vectorsOf returns products × numbers: the vectors of an attribute, or, if it has no name, of the only one that has any. As many numbers as most vectors have count, the more of
// two that as many have. Rows of products without a vector, with one of zeros, or with one of another length are empty; all others have all numbers, one behind the other.
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
	lengths := map[int]int{}
	for _, p := range products {
		if v := vectorOf(p, names[0]); v != nil {
			lengths[len(v)]++
		}
	}
	for n, times := range lengths {
		if most := lengths[rows.NumItems]; times > most || times == most && n > rows.NumItems {
			rows.NumItems = n
		}
	}
	for _, p := range products {
		if v := vectorOf(p, names[0]); len(v) == rows.NumItems {
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
