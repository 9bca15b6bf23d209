package factors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	counts   []uint32
}

const (
	fileMagic    = "kithfact"
	fileVersion  = 1
	fileSettings = 8
	fileHeader   = 8 + 2*4 + 2*8 + 2*4 + 8*fileSettings

	fileALS = 1
	fileBPR = 2
)

// errDamaged is matched by the error of a file that is not whole.
var errDamaged = errors.New("the file of the model is damaged")

func (f *file) width() int { return padded(f.factors) }

func (f *file) write(w io.Writer) error {
	b := append(make([]byte, 0, fileHeader), fileMagic...)
	b = binary.LittleEndian.AppendUint32(b, fileVersion)
	b = binary.LittleEndian.AppendUint32(b, f.kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(f.counts)))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.users))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.factors))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.report)))
	b = appendFloats(b, f.settings[:]...)
	b = appendFloats(b, f.report...)
	var counts []byte
	for _, n := range f.counts {
		counts = binary.LittleEndian.AppendUint32(counts, n)
	}
	for _, section := range [][]byte{b, bytesOf(f.gram), bytesOf(f.items), counts} {
		if _, err := w.Write(section); err != nil {
			return err
		}
	}
	return nil
}

// readFile takes a file apart. The sections share its memory where that is possible.
func readFile(b []byte, kind uint32) (*file, error) {
	if len(b) < fileHeader || string(b[:8]) != fileMagic {
		return nil, fmt.Errorf("%w: it does not begin as one", errDamaged)
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if v := u32(b[8:]); v != fileVersion {
		return nil, fmt.Errorf("the file of the model has version %d, want %d: build it again", v, fileVersion)
	}
	if k := u32(b[12:]); k != kind {
		return nil, fmt.Errorf("%w: it is of kind %d, want %d", errDamaged, k, kind)
	}
	items, users, factors, report := u64(b[16:]), u64(b[24:]), u32(b[32:]), u32(b[36:])
	if items > 1<<32 || users > 1<<40 || factors < 1 || factors > maxWidth {
		return nil, fmt.Errorf("%w: %d items, %d users, %d factors", errDamaged, items, users, factors)
	}
	f := &file{kind: kind, users: int(users), factors: int(factors)}
	width := uint64(f.width())
	gram := width * width
	if kind != fileALS {
		gram = 0
	}
	if want := fileHeader + 8*uint64(report) + 4*(gram+items*width+items); uint64(len(b)) != want {
		return nil, fmt.Errorf("%w: it has %d bytes, want %d", errDamaged, len(b), want)
	}
	copy(f.settings[:], readFloats(b[40:fileHeader]))
	rest := b[fileHeader:]
	take := func(n uint64) (section []byte) {
		section, rest = rest[:n:n], rest[n:]
		return section
	}
	f.report = readFloats(take(8 * uint64(report)))
	f.gram, f.items, f.counts = floatsOf(take(4*gram)), floatsOf(take(4*items*width)), idsOf(take(4*items))
	return f, nil
}
