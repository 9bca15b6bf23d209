package dense

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/kith-io/kith/model"
)

// The file of an index: a magic number with the version, then in little endian the metric (one byte), the numbers of a vector, vectors, M, and the entry (four bytes each); the vectors,
// those of the cosine made of length 1; for each node the number of its layers (one byte), and for each the number of links (two bytes) and these (four bytes each); and the
// CRC-32C of all before.
const (
	magic      = "kithHNS\x01"
	headerSize = len(magic) + 1 + 4*4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is matched by the errors of ReadIndex.
var ErrCorrupt = errors.New("damaged index of vectors")

// WriteTo writes the index, vectors and all.
func (g *Index) WriteTo(w io.Writer) (int64, error) {
	sum := crc32.New(castagnoli)
	out := io.MultiWriter(w, sum)
	var written int64
	write := func(b []byte) error {
		n, err := out.Write(b)
		written += int64(n)
		return err
	}
	b := append([]byte(magic), byte(g.v.metric))
	for _, x := range []int{g.v.dim, g.v.n, g.m, int(g.entry)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	const chunk = 1 << 16
	flush := func(least int) error {
		if len(b) < least {
			return nil
		}
		err := write(b)
		b = b[:0]
		return err
	}
	for i := range g.v.n {
		for _, f := range g.v.row(i)[:g.v.dim] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
		if err := flush(chunk); err != nil {
			return written, err
		}
	}
	for _, layers := range g.links {
		b = append(b, byte(len(layers)))
		for _, links := range layers {
			b = binary.LittleEndian.AppendUint16(b, uint16(len(links)))
			for _, id := range links {
				b = binary.LittleEndian.AppendUint32(b, id)
			}
		}
		if err := flush(chunk); err != nil {
			return written, err
		}
	}
	if err := flush(0); err != nil {
		return written, err
	}
	n, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return written + int64(n), err
}

// ReadIndex reads what WriteTo wrote. The index does not refer to file, and answers as the one that was written, bit for bit. Memory is bounded by a multiple of len(file): vectors of
// few numbers are padded.
func ReadIndex(file []byte) (*Index, error) {
	damaged := func(what string) (*Index, error) { return nil, fmt.Errorf("%w: %s", ErrCorrupt, what) }
	if len(file) < headerSize+4 || string(file[:len(magic)]) != magic {
		return damaged("it does not begin as one")
	}
	body := file[:len(file)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(file[len(body):]) {
		return damaged("checksum")
	}
	r := model.NewReader(body[len(magic):])
	metric, dim, n, m, entry := Metric(r.Uint8()), int(r.Uint32()), int(r.Uint32()), int(r.Uint32()), r.Uint32()
	if int(metric) >= len(Metrics) || dim < 1 || dim > MaxDim || n > MaxRows || m < 2 || m > maxM || int(entry) >= max(1, n) {
		return damaged("sizes")
	}
	data := model.Numbers[float32](r, uint64(n)*uint64(dim))
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, r.Err())
	}
	v, err := pack(metric, dim, data, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	g := newGraph(v, m)
	g.entry = entry
	// Layers of nodes stand among the links, so these are checked when all are known.
	for i := range n {
		g.links[i] = make([][]uint32, r.Within("the number of layers", int64(r.Uint8()), 1, maxLayers))
		for layer := range g.links[i] {
			g.links[i][layer] = model.Numbers[uint32](r, uint64(r.Within("the number of links", int64(r.Uint16()), 0, int64(g.width(layer)))))
		}
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	for _, layers := range g.links {
		for layer, links := range layers {
			for _, id := range links {
				if int64(id) >= int64(n) || len(g.links[id]) <= layer {
					return damaged("a link to what is not there")
				}
			}
		}
	}
	return g, nil
}
