package clean

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/kith-io/kith/fusion/record"
)

// spoolBlock is the size of the blocks of a spool: large enough that the one allocation for each counts for nothing.
const spoolBlock = 64 << 10

// spool holds records on disk between two passes. In a block each record is
//
//	1 byte    1 if source and file are those of the record before it in the block, else 0 and both as texts
//	varint    line, less that of the record before
//	uvarint   part
//	uvarint   rules that changed it
//	          values
//
// so that a block can be read alone.
type spool struct {
	file   *blockFile
	writer *blockWriter
	width  int
	last   record.Place // of the open block
	n      int64
}

func newSpool(dir, name string, width int) (*spool, error) {
	f, err := createBlocks(dir, name)
	if err != nil {
		return nil, err
	}
	return &spool{file: f, writer: newBlockWriter(f, spoolBlock), width: width}, nil
}

// add appends a record, of which it keeps nothing.
func (s *spool) add(r *record.Record) error {
	w := s.writer
	if w.empty() {
		s.last = record.Place{}
	}
	w.buf = appendRecord(w.buf, r, s.last, w.empty())
	s.last = r.Place
	s.n++
	return w.end()
}

// appendRecord appends a record that follows one at the place last, unless it is the first.
func appendRecord(dst []byte, r *record.Record, last record.Place, first bool) []byte {
	dst = binary.AppendUvarint(appendPlace(dst, r.Place, last, first), r.Rules)
	for _, v := range r.Values {
		dst = record.AppendValue(dst, v)
	}
	return dst
}

func appendPlace(dst []byte, p, last record.Place, first bool) []byte {
	if !first && p.Source == last.Source && p.File == last.File {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
		dst = append(binary.AppendUvarint(dst, uint64(len(p.Source))), p.Source...)
		dst = append(binary.AppendUvarint(dst, uint64(len(p.File))), p.File...)
	}
	dst = binary.AppendVarint(dst, p.Line-last.Line)
	return binary.AppendUvarint(dst, uint64(p.Part))
}

// records ends the writing and returns a reader of all records, whose values have room for as many as width.
func (s *spool) records(width int) (*spoolReader, error) {
	if err := s.writer.flush(); err != nil {
		return nil, err
	}
	s.writer = nil
	at, err := s.file.begin()
	if err != nil {
		return nil, err
	}
	return &spoolReader{spool: s, at: at, values: make([]record.Value, s.width, max(s.width, width))}, nil
}

// spoolReader reads a spool from the begin.
type spoolReader struct {
	spool  *spool
	at     int64
	n      int64
	block  string
	last   record.Place
	values []record.Value
}

// next returns the next record, which is valid until the next call, or io.EOF.
func (r *spoolReader) next() (record.Record, error) {
	if r.block == "" {
		if r.at == r.spool.file.size {
			if r.n != r.spool.n {
				return record.Record{}, fmt.Errorf("%d records, %d were written: %w", r.n, r.spool.n, ErrCorrupt)
			}
			return record.Record{}, io.EOF
		}
		// The texts of the records stay in this buffer, which nobody writes to again.
		var buf []byte
		content, next, err := r.spool.file.read(r.at, &buf)
		if err != nil {
			return record.Record{}, err
		}
		r.block, r.at, r.last = unsafeString(content), next, record.Place{}
	}
	rec := record.Record{Place: r.last, Values: r.values}
	rest, err := readRecord(r.block, &rec)
	if err != nil {
		return record.Record{}, fmt.Errorf("record %d: %w", r.n, err)
	}
	r.block, r.last = rest, rec.Place
	r.n++
	return rec, nil
}

// readRecord reads a record, whose place is that of the one before it and whose values have the right number, and returns what follows it.
func readRecord(s string, rec *record.Record) (string, error) {
	s, err := readPlace(s, &rec.Place)
	if err != nil {
		return "", err
	}
	if rec.Rules, s, err = record.ReadUvarint(s); err != nil {
		return "", err
	}
	for i := range rec.Values {
		if rec.Values[i], s, err = record.ReadValue(s); err != nil {
			return "", err
		}
	}
	return s, nil
}

// readPlace makes the place of a record of that of the one before it.
func readPlace(s string, p *record.Place) (string, error) {
	if s == "" {
		return "", fmt.Errorf("record is cut off: %w", ErrCorrupt)
	}
	flag := s[0]
	s = s[1:]
	var err error
	switch flag {
	case 1:
	case 0:
		for _, text := range []*string{&p.Source, &p.File} {
			var n uint64
			if n, s, err = record.ReadUvarint(s); err != nil || n > uint64(len(s)) {
				return "", fmt.Errorf("place is cut off: %w", ErrCorrupt)
			}
			*text, s = s[:n], s[n:]
		}
	default:
		return "", fmt.Errorf("record begins with %d: %w", flag, ErrCorrupt)
	}
	delta, s, err := record.ReadVarint(s)
	if err != nil {
		return "", err
	}
	part, s, err := record.ReadUvarint(s)
	if err != nil || part > math.MaxInt32 {
		return "", fmt.Errorf("part of a line is damaged: %w", ErrCorrupt)
	}
	p.Line += delta
	p.Part = int(part)
	return s, nil
}

func (s *spool) remove() error {
	if s == nil {
		return nil
	}
	return s.file.remove()
}
