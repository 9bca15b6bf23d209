package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// bufferSize is what is read at once: large enough that the cost of a read is
// nothing to that of splitting it, small enough for the second-level cache.
const bufferSize = 256 << 10

// lineBuffer holds a window of the input in which the current row starts at pos. A row
// is addressed relative to pos, so that refilling may move it.
type lineBuffer struct {
	in   io.Reader
	buf  []byte
	pos  int
	end  int
	err  error // of the last read, io.EOF included
	max  int   // longest row
	line int64 // number of the line at pos, from 1

	base int64 // bytes of the input before buf
	// last is the place of the row that advance or skipLine passed last, and cut says that no line end followed it: more of it may
	// be appended to the file.
	last Position
	cut  bool
	// seek returns the input from a byte on; nil if it can only be read over.
	seek func(offset int64) (io.Reader, error)
}

var errTooLong = errors.New("row too long")

func newLineBuffer(in io.Reader, maxRow int) *lineBuffer {
	return &lineBuffer{in: in, buf: make([]byte, bufferSize), max: maxRow, line: 1}
}

// fill reads more, moving the row at pos to the front of the buffer or growing
// it. It returns false at the end of input or on an error.
func (b *lineBuffer) fill() bool {
	if b.err != nil {
		return false
	}
	if b.pos > 0 {
		b.base += int64(b.pos)
		b.end = copy(b.buf, b.buf[b.pos:b.end])
		b.pos = 0
	}
	if b.end == len(b.buf) {
		b.buf = append(b.buf, make([]byte, len(b.buf))...)
	}
	for range 100 {
		n, err := b.in.Read(b.buf[b.end:])
		b.end += n
		b.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	b.err = io.ErrNoProgress
	return false
}

// lineEnd returns the offset from pos of the first line end at or after offset
// from, or of the end of input. It returns io.EOF if nothing is left there,
// errTooLong if the row would exceed its bound, or the error of the input.
func (b *lineBuffer) lineEnd(from int) (int, error) {
	for scan := from; ; {
		have := b.end - b.pos
		if scan < have {
			if i := bytes.IndexByte(b.buf[b.pos+scan:b.end], '\n'); i >= 0 {
				if scan+i > b.max {
					return 0, errTooLong
				}
				return scan + i, nil
			}
			scan = have
		}
		if have > b.max {
			return 0, errTooLong
		}
		if b.fill() {
			continue
		}
		switch {
		case b.err != nil && !errors.Is(b.err, io.EOF):
			return 0, b.err
		case have <= from:
			return 0, io.EOF
		}
		return have, nil
	}
}

// here returns the place of the row at pos.
func (b *lineBuffer) here() Position { return Position{Offset: b.base + int64(b.pos), Line: b.line} }

// at returns where the rows start that have not been passed, or may not have been complete.
func (b *lineBuffer) at() Position {
	if b.cut {
		return b.last
	}
	return b.here()
}

// advance moves pos past the line that ends at offset end.
func (b *lineBuffer) advance(end, lines int) {
	b.last = b.here()
	b.cut = b.pos+end >= b.end
	b.pos = min(b.pos+end+1, b.end)
	b.line += int64(lines)
}

// skipLine drops the rest of the line at pos in constant memory and returns
// its first bytes.
func (b *lineBuffer) skipLine() ([]byte, error) {
	from := b.here()
	var head []byte
	for {
		if i := bytes.IndexByte(b.buf[b.pos:b.end], '\n'); i >= 0 {
			if head == nil {
				head = slices.Clone(b.buf[b.pos : b.pos+min(i, maxRaw)])
			}
			b.advance(i, 1)
			b.last = from
			return head, nil
		}
		if head == nil {
			head = slices.Clone(b.buf[b.pos:min(b.end, b.pos+maxRaw)])
		}
		b.pos = b.end
		if !b.fill() {
			if b.err != nil && !errors.Is(b.err, io.EOF) {
				return nil, b.err
			}
			b.line++
			b.last, b.cut = from, true
			return head, nil
		}
	}
}

// skipTo moves pos to a place after it.
func (b *lineBuffer) skipTo(p Position) error {
	if b.seek != nil && p.Offset > b.base+int64(b.end) {
		in, err := b.seek(p.Offset)
		if err != nil {
			return err
		}
		b.in, b.base, b.pos, b.end, b.err = in, p.Offset, 0, 0, nil
	}
	for p.Offset > b.base+int64(b.end) {
		b.pos = b.end
		if b.fill() {
			continue
		}
		if b.err != nil && !errors.Is(b.err, io.EOF) {
			return b.err
		}
		return fmt.Errorf("%w: it ends after %d bytes of text, and more had been read of it before", ErrCorrupt, b.base+int64(b.end))
	}
	b.pos, b.line, b.cut = int(p.Offset-b.base), p.Line, false
	return nil
}
