package factors

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/kith-io/kith/model"
)

// file is what the file of a model holds. Its form, in little-endian numbers:
//
//	8 bytes  magic
//	uint32   version, kind
//	uint64   items, users
//	uint32   factors, length of the report
//	float64  settings, fileSettings of them; what each is is between the kinds and themselves
//	float64  report
//	float32  gram, width×width, of ALS only; width is factors, rounded up to whole lanes
//	float32  factors of the items, items×width
//	float32  second vectors of the items, items×width, of SVD++ only
//	uint32   counts of the items
//
// Each section begins at a multiple of 8 bytes.
type file struct {
	kind     uint32
	users    int
	factors  int
	settings [fileSettings]float64
	report   []float64
	gram     []float32
	items    []float32
	implicit []float32
	counts   []uint32
}

const (
	fileMagic    = "kithfact"
	fileVersion  = 1
	fileSettings = 8
	fileHeader   = 8 + 2*4 + 2*8 + 2*4 + 8*fileSettings

	fileALS   = 1
	fileBPR   = 2
	fileMF    = 3
	fileSVDPP = 4
)

// errDamaged is matched by the error of a file that is not whole.
var errDamaged = errors.New("the file of the model is damaged")

func (f *file) width() int { return padded(f.factors) }

func (f *file) write(w io.Writer) error {
	b := append(make([]byte, 0, fileHeader), fileMagic...)
	b = model.Append(b, fileVersion, f.kind)
	b = model.Append(b, uint64(len(f.counts)), uint64(f.users))
	b = model.Append(b, uint32(f.factors), uint32(len(f.report)))
	b = model.Append(model.Append(b, f.settings[:]...), f.report...)
	for _, section := range [][]byte{b, model.Bytes(f.gram), model.Bytes(f.items), model.Bytes(f.implicit), model.Bytes(f.counts)} {
		if _, err := w.Write(section); err != nil {
			return err
		}
	}
	return nil
}

// checkSettings returns an error if a setting is no number.
func (f *file) checkSettings() error {
	for _, x := range f.settings {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%w: a setting is %v", errDamaged, x)
		}
	}
	return nil
}

// readFile takes a file apart. The sections share its memory where that is possible.
func readFile(b []byte, kind uint32) (*file, error) {
	r := model.NewReader(b)
	r.Magic(fileMagic)
	r.Version(fileVersion)
	if k := r.Uint32(); k != kind {
		r.Fail("it is of kind %d, want %d", k, kind)
	}
	items, users, factors, report := r.Uint64(), r.Uint64(), r.Uint32(), r.Uint32()
	if items > 1<<32 || users > 1<<40 || factors < 1 || factors > maxWidth {
		r.Fail("%d items, %d users, %d factors", items, users, factors)
	}
	f := &file{kind: kind, users: int(users), factors: int(factors)}
	width := uint64(f.width())
	gram, implicit := uint64(0), uint64(0)
	switch kind {
	case fileALS:
		gram = width * width
	case fileSVDPP:
		implicit = items
	}
	copy(f.settings[:], model.Numbers[float64](r, fileSettings))
	f.report = model.Numbers[float64](r, uint64(report))
	f.gram, f.items = model.View[float32](r.Take(gram, 4)), model.View[float32](r.Take(items, 4*width))
	f.implicit, f.counts = model.View[float32](r.Take(implicit, 4*width)), model.View[uint32](r.Take(items, 4))
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return f, nil
}
