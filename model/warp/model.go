package warp

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
)

// Form of the file, all integers little endian:
//
//	8 bytes  magic
//	uint32   version, factors
//	uint64   items, users
//	uint32   for each item: the next in order of popularity
//	byte     for each item: 1 if something is known of it, else 0
//	float32  x of each item, b of each, y of each
//
// and in version 2, which is that of models that learned from attributes of users:
//
//	uint32   features of users
//	float32  y of each
//	JSON     their traits
const (
	magic      = "kithwarp"
	ofItems    = 1 // versions
	ofUsers    = 2
	headerSize = 8 + 2*4 + 2*8
)

// file returns the file of the parameters.
func (w *worker) file() ([]byte, error) {
	items := w.data.Shape.Items
	b := append(make([]byte, 0, headerSize+5*items+4*items*w.width()), magic...)
	version := uint32(ofItems)
	if len(w.traits) > 0 {
		version = ofUsers
	}
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(w.factors))
	b = binary.LittleEndian.AppendUint64(b, uint64(items))
	b = binary.LittleEndian.AppendUint64(b, uint64(w.data.Shape.Users))
	signed := make([]int64, items)
	for i, n := range w.counts {
		signed[i] = int64(n)
	}
	for _, id := range popularity.Order(signed) {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	for i, n := range w.counts {
		// Features were learned about if anything was.
		known := n > 0 || len(w.had) > 0 && w.features.Start[i+1] > w.features.Start[i]
		b = append(b, map[bool]byte{true: 1}[known])
	}
	for _, part := range [][2]int{{0, w.factors}, {w.factors, w.factors + 1}, {w.factors + 1, w.width()}} {
		for i := range items {
			for _, x := range w.item[i*w.width()+part[0] : i*w.width()+part[1]] {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
		}
	}
	if version == ofItems {
		return b, nil
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(w.traits.size()))
	for t := range w.traits.size() {
		for _, x := range w.trait(uint32(t)) {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	}
	text, err := json.Marshal(w.traits)
	return append(b, text...), err
}

// recommender answers from a file. It is immutable and safe for concurrent use.
type recommender struct {
	rows, factors int // of the matrix
	order         []uint32
	known         []bool
	x, y          []float32 // items × factors
	bias          []float32
	traits        traits
	users         []float32 // features of users × factors
	scratch       sync.Pool // *[]float32, one number for each item
}

func read(b []byte) (*recommender, error) {
	switch {
	case len(b) < headerSize || string(b[:8]) != magic:
		return nil, fmt.Errorf("not %q with a header of %d bytes", magic, headerSize)
	case binary.LittleEndian.Uint32(b[8:]) != ofItems && binary.LittleEndian.Uint32(b[8:]) != ofUsers:
		return nil, fmt.Errorf("version %d, want %d or %d", binary.LittleEndian.Uint32(b[8:]), ofItems, ofUsers)
	}
	withUsers := binary.LittleEndian.Uint32(b[8:]) == ofUsers
	factors, items, users := uint64(binary.LittleEndian.Uint32(b[12:])), binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	b = b[headerSize:]
	size := items * (5 + 4*(2*factors+1))
	if factors < 1 || factors > 4096 || users > math.MaxUint32 || items > uint64(len(b)) || uint64(len(b)) < size || !withUsers && uint64(len(b)) > size {
		return nil, fmt.Errorf("%d bytes for %d items of %d factors, %d users", len(b), items, factors, users)
	}
	m := &recommender{rows: int(users), factors: int(factors), order: make([]uint32, items), known: make([]bool, items)}
	seen := make([]bool, items)
	for i := range m.order {
		id := binary.LittleEndian.Uint32(b[4*i:])
		if uint64(id) >= items || seen[id] {
			return nil, fmt.Errorf("item %d of %d is in the order of popularity at %d, out of bounds or twice", id, items, i)
		}
		m.order[i], seen[id] = id, true
	}
	b = b[4*items:]
	for i := range m.known {
		if b[i] > 1 {
			return nil, fmt.Errorf("item %d: known is %d, want 0 or 1", i, b[i])
		}
		m.known[i] = b[i] == 1
	}
	b = b[items:]
	for _, to := range []struct {
		x *[]float32
		n uint64
	}{{&m.x, items * factors}, {&m.bias, items}, {&m.y, items * factors}} {
		var err error
		if *to.x, b, err = parameters(b, to.n); err != nil {
			return nil, err
		}
	}
	if withUsers {
		if err := m.readUsers(b); err != nil {
			return nil, fmt.Errorf("features of users: %w", err)
		}
	}
	m.scratch.New = func() any { return &[]float32{} }
	return m, nil
}

// readUsers reads what version 2 has behind the rest.
func (m *recommender) readUsers(b []byte) (err error) {
	if len(b) < 4 {
		return fmt.Errorf("%d bytes, want their number first", len(b))
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if b = b[4:]; uint64(len(b)) < 4*n*uint64(m.factors) {
		return fmt.Errorf("%d bytes for %d of %d factors", len(b), n, m.factors)
	}
	if m.users, b, err = parameters(b, n*uint64(m.factors)); err != nil {
		return err
	}
	if m.traits, err = readTraits(b); err == nil && uint64(m.traits.size()) != n {
		err = fmt.Errorf("%d are named, want %d", m.traits.size(), n)
	}
	return err
}

// parameters reads n parameters, which must be there, and returns what is behind them.
func parameters(b []byte, n uint64) (x []float32, rest []byte, err error) {
	x = make([]float32, n)
	for k := range x {
		// Scores of numbers of at most 2^20, times 4096 factors and the root of a history or the attributes of a user, are finite.
		x[k] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*k:]))
		if !(x[k] >= -maxParameter && x[k] <= maxParameter) {
			return nil, nil, fmt.Errorf("a parameter is %v, want one of at most %d in magnitude", x[k], maxParameter)
		}
	}
	return x, b[4*n:], nil
}

const maxParameter = 1 << 20

// Recommend returns the q.N items with the highest scores of those that something is known of, then others by popularity; an error matches
// model.ErrQuery. Of a history without an item that something is known of, and a profile without a feature, it knows nothing, and the answer is by popularity. Weights and times do not
// count. Cost: O(items · factors).
func (m *recommender) Recommend(q model.Query) ([]model.Scored, error) {
	if err := q.Check(len(m.order), m.rows); err != nil {
		return nil, err
	}
	user, n := model.Aligned[float32](m.factors), 0
	for _, id := range q.Items {
		if m.known[id] {
			blas32.Axpy(1, vector(m.y[int(id)*m.factors:(int(id)+1)*m.factors]), vector(user))
			n++
		}
	}
	traits, weights := m.traits.of(q.Profile)
	if n+len(traits) == 0 || q.N == 0 {
		return model.Fill(nil, q.N, m.order, q.Excluded()), nil
	}
	if len(traits) > 0 {
		n++
	}
	for i, t := range traits {
		blas32.Axpy(weights[i], vector(m.users[int(t)*m.factors:(int(t)+1)*m.factors]), vector(user))
	}
	blas32.Scal(float32(1/math.Sqrt(float64(n))), vector(user))
	scores := m.scratch.Get().(*[]float32)
	defer m.scratch.Put(scores)
	*scores = append((*scores)[:0], m.bias...)
	blas32.Gemv(blas.NoTrans, 1, blas32.General{Rows: len(m.order), Cols: m.factors, Stride: m.factors, Data: m.x}, vector(user), 1, vector(*scores))
	return model.Fill(m.best(*scores, q.N, q.Excluded()), q.N, m.order, q.Excluded()), nil
}

// UserAttributes implements train.Profiled.
func (m *recommender) UserAttributes() []string { return m.traits.names() }

// best returns the n known items with the highest scores that are not excluded.
func (m *recommender) best(scores []float32, n int, excluded []uint32) []model.Scored {
	top := make([]model.Scored, 0, min(n, len(scores)))
	for i, score := range scores {
		for len(excluded) > 0 && int(excluded[0]) < i {
			excluded = excluded[1:]
		}
		if !m.known[i] || len(excluded) > 0 && int(excluded[0]) == i {
			continue
		}
		top = model.Keep(top, n, model.Scored{Item: uint32(i), Score: float64(score)})
	}
	return top
}
