package neural

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// ErrCorrupt is matched by the error of Read of a file that is not whole.
var ErrCorrupt = errors.New("model file is corrupt")

// The form of a file, little-endian; every section begins at a multiple of sectionAlign:
//
//	header    magic (8 bytes), version uint32, number of settings uint32, name of the kind (16 bytes), items, users, iterations uint64
//	settings  float64 × number of settings, in the order of the kind's parameters
//	counts    int64 × items: users of the item
//	likes     int64 × items: users with a weight above 0
//	losses    float64 × iterations
//	values    float32: tables, then layers; their number follows from the settings
const (
	magic        = "KITHNNET"
	version      = 1
	nameBytes    = 16
	headerBytes  = 56
	sectionAlign = 64
	maxItems     = math.MaxUint32
)

func align(n int64) int64 { return (n + sectionAlign - 1) / sectionAlign * sectionAlign }

// File is a model as it was trained.
type File struct {
	Settings model.Settings
	// Items is the size of the catalog, and Users the number of rows of the training matrix.
	Items, Users int
	// Counts are the users of each item, and Likes those with a weight above 0.
	Counts, Likes []int64
	// Losses has the mean loss of each pass over the data; none if there was nothing to learn from.
	Losses []float64

	design Design
	values []float32
}

// Parameters returns what was learned, for one network. Several share the memory of the file.
func (f *File) Parameters(build func(p *Parameters[float32])) *Parameters[float32] {
	return over(f.design.Tables, f.values, build)
}

// Trained tells whether there was anything to learn from.
func (f *File) Trained() bool { return len(f.Losses) > 0 }

func (r *Recipe) write(ctx context.Context, shape train.Shape, s model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	about, err := get(ctx, 0, nameAbout)
	if err != nil {
		return err
	}
	iterations := len(about)/8 - 2*shape.Items
	header := append([]byte(magic), make([]byte, headerBytes-len(magic))...)
	binary.LittleEndian.PutUint32(header[8:], version)
	binary.LittleEndian.PutUint32(header[12:], uint32(len(r.Parameters)))
	copy(header[16:16+nameBytes], r.Name)
	for i, x := range []int{shape.Items, shape.Users, iterations} {
		binary.LittleEndian.PutUint64(header[16+nameBytes+8*i:], uint64(x))
	}
	var settings []float64
	for _, p := range r.Parameters {
		settings = append(settings, s.Number(p.Name))
	}
	n := int64(shape.Items) * 8
	sections := [][]byte{header, model.Append(nil, settings...), about[:n], about[n : 2*n], about[2*n:]}
	for _, b := range sections {
		if _, err := w.Write(append(b[:len(b):len(b)], make([]byte, align(int64(len(b)))-int64(len(b)))...)); err != nil {
			return err
		}
	}
	for _, name := range []string{nameLocal, nameMean} {
		for worker := range shape.Workers() {
			b, err := get(ctx, worker, name)
			if err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read checks a file of the kind of r, and returns what is in it, which shares its memory. An error matches ErrCorrupt. Cost: O(size).
func (r *Recipe) Read(file []byte) (*File, error) {
	corrupt := func(format string, a ...any) (*File, error) {
		return nil, fmt.Errorf("%w: %s: %s", ErrCorrupt, r.Name, fmt.Sprintf(format, a...))
	}
	var name [nameBytes]byte
	copy(name[:], r.Name)
	switch {
	case len(file) < headerBytes || string(file[:8]) != magic:
		return corrupt("it does not begin as one")
	case binary.LittleEndian.Uint32(file[8:]) != version:
		return corrupt("version %d, want %d", binary.LittleEndian.Uint32(file[8:]), version)
	case string(file[16:16+nameBytes]) != string(name[:]):
		return corrupt("it is of kind %q", file[16:16+nameBytes])
	case int(binary.LittleEndian.Uint32(file[12:])) != len(r.Parameters):
		return corrupt("%d settings, want %d", binary.LittleEndian.Uint32(file[12:]), len(r.Parameters))
	}
	var sizes [3]int64 // items, users, iterations
	for i := range sizes {
		x := binary.LittleEndian.Uint64(file[16+nameBytes+8*i:])
		if x > maxItems || i != 1 && x > uint64(len(file))/8 {
			return corrupt("size %d of %d bytes", x, len(file))
		}
		sizes[i] = int64(x)
	}
	at := align(headerBytes)
	next := func(bytes int64) []byte { // the next section; nil if the file ends before its end
		lo, hi := at, at+bytes
		at = align(hi)
		if lo > int64(len(file)) || hi > int64(len(file)) || hi < lo {
			return nil
		}
		return file[lo:hi:hi]
	}
	settings := next(int64(len(r.Parameters)) * 8)
	counts, likes, losses := next(sizes[0]*8), next(sizes[0]*8), next(sizes[2]*8)
	if settings == nil || counts == nil || likes == nil || losses == nil || at > int64(len(file)) {
		return corrupt("it ends too early")
	}
	given := map[string]float64{}
	for i, x := range model.View[float64](settings) {
		given[r.Parameters[i].Name] = x
	}
	s, err := model.NewSettings(r.Parameters, given)
	if err != nil {
		return corrupt("%v", err)
	}
	f := &File{
		Settings: s, Items: int(sizes[0]), Users: int(sizes[1]),
		Counts: model.View[int64](counts), Likes: model.View[int64](likes), Losses: model.View[float64](losses),
		design: r.Design(s, int(sizes[0]), int(sizes[1])),
	}
	values := file[at:]
	if want := Size(f.design.Tables, func(p *Parameters[float32]) { f.design.Build(p) }); int64(want)*4 != int64(len(values)) {
		return corrupt("%d bytes of values, want %d", len(values), int64(want)*4)
	}
	f.values = model.View[float32](values)
	for _, x := range f.values {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return corrupt("a value is %v", x)
		}
	}
	for i, n := range f.Counts {
		if n < 0 || f.Likes[i] < 0 {
			return corrupt("item %d has %d users", i, n)
		}
	}
	return f, nil
}
