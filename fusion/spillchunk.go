package fusion

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/source"
)

// Form of a chunk in a file, all numbers little endian:
//
//	4 bytes  number of rows
//	1 byte   bytes of a weight: 0 (all are 1), 4 or 8
//	1 byte   bytes of a time: 0 (all are 0), 4 (seconds) or 8 (milliseconds)
//	2 bytes  zero
//	         users, items with ratingBit, weights, times
//	8 bytes  xxhash64 of everything before
const (
	spillHead = 8
	spillSum  = 8
)

// appendChunk appends the rows in the form of a file, and begins anew.
func (c *openChunk) appendChunk(dst []byte) []byte {
	begin := len(dst)
	p := c.pack()
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(p.user)))
	weightBytes, timeBytes := byte(0), byte(0)
	switch {
	case p.weight32 != nil:
		weightBytes = 4
	case p.weight64 != nil:
		weightBytes = 8
	}
	switch {
	case p.seconds != nil:
		timeBytes = 4
	case p.millis != nil:
		timeBytes = 8
	}
	dst = append(dst, weightBytes, timeBytes, 0, 0)
	for _, column := range [][]uint32{p.user, p.item} {
		for _, x := range column {
			dst = binary.LittleEndian.AppendUint32(dst, x)
		}
	}
	for _, x := range p.weight32 {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	for _, x := range p.weight64 {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	}
	for _, x := range p.seconds {
		dst = binary.LittleEndian.AppendUint32(dst, x)
	}
	for _, x := range p.millis {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(x))
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[begin:]))
}

// read reads the rows of a partition, which are in the order in which they came.
func (part *spillPart) read(ctx context.Context) (*rowStore, error) {
	s := &rowStore{limited: true}
	var buf []byte
	for at := int64(0); at < part.bytes; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		head := make([]byte, spillHead)
		if err := readAt(part.file, head, at); err != nil {
			return nil, err
		}
		rows := int64(binary.LittleEndian.Uint32(head))
		size := spillHead + rows*int64(8+int(head[4])+int(head[5])) + spillSum
		if rows == 0 || rows > maxSpillRows || size > part.bytes-at {
			return nil, fmt.Errorf("chunk at byte %d has %d rows: %w", at, rows, source.ErrCorrupt)
		}
		if int64(cap(buf)) < size {
			buf = make([]byte, size)
		}
		buf = buf[:size]
		if err := readAt(part.file, buf, at); err != nil {
			return nil, err
		}
		c, err := decodeChunk(buf)
		if err != nil {
			return nil, fmt.Errorf("chunk at byte %d: %w", at, err)
		}
		s.chunks = append(s.chunks, c)
		s.n += rows
		at += size
	}
	if s.n != part.rows {
		return nil, fmt.Errorf("%d rows, %d were written: %w", s.n, part.rows, source.ErrCorrupt)
	}
	return s, nil
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	_, err := r.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("file ends before byte %d: %w", at+int64(len(b)), source.ErrCorrupt)
	}
	return err
}

// decodeChunk reads what appendChunk wrote. The checksum vouches for the numbers.
func decodeChunk(b []byte) (chunk, error) {
	if len(b) < spillHead+spillSum {
		return chunk{}, fmt.Errorf("%d bytes: %w", len(b), source.ErrCorrupt)
	}
	body, sum := b[:len(b)-spillSum], binary.LittleEndian.Uint64(b[len(b)-spillSum:])
	if got := xxhash.Sum64(body); got != sum {
		return chunk{}, fmt.Errorf("checksum is %016x, want %016x: %w", got, sum, source.ErrCorrupt)
	}
	rows := int64(binary.LittleEndian.Uint32(body))
	weightBytes, timeBytes := body[4], body[5]
	if int64(len(body)) != spillHead+rows*(8+int64(weightBytes)+int64(timeBytes)) {
		return chunk{}, fmt.Errorf("%d bytes for %d rows: %w", len(b), rows, source.ErrCorrupt)
	}
	rest := body[spillHead:]
	take := func(width int64) []byte {
		out := rest[:rows*width]
		rest = rest[rows*width:]
		return out
	}
	var c chunk
	c.user, c.item = uint32s(take(4)), uint32s(take(4))
	switch weightBytes {
	case 0:
	case 4:
		c.weight32 = make([]float32, rows)
		for i, x := range uint32s(take(4)) {
			c.weight32[i] = math.Float32frombits(x)
		}
	case 8:
		c.weight64 = make([]float64, rows)
		for i, b := 0, take(8); i < len(c.weight64); i++ {
			c.weight64[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	default:
		return chunk{}, fmt.Errorf("weights of %d bytes: %w", weightBytes, source.ErrCorrupt)
	}
	switch timeBytes {
	case 0:
	case 4:
		c.seconds = uint32s(take(4))
	case 8:
		c.millis = make([]int64, rows)
		for i, b := 0, take(8); i < len(c.millis); i++ {
			c.millis[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	default:
		return chunk{}, fmt.Errorf("times of %d bytes: %w", timeBytes, source.ErrCorrupt)
	}
	return c, nil
}

func uint32s(b []byte) []uint32 {
	out := make([]uint32, len(b)/4)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return out
}
