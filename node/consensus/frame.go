package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The layout of a snapshot's stream is in doc.go.
const (
	snapshotMagic   = "KITHSNAP"
	snapshotVersion = 1
	snapshotHeader  = len(snapshotMagic) + 2 + 8 + 4
	// frameSize is the most data in one frame: large enough that eight bytes of
	// framing do not matter, small enough to buffer.
	frameSize = 256 << 10
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// frameWriter cuts a stream into checked frames.
type frameWriter struct {
	w   io.Writer
	buf []byte // room for the head of the frame, then its data
}

func newFrameWriter(w io.Writer, applied uint64) (*frameWriter, error) {
	head := append(make([]byte, 0, snapshotHeader), snapshotMagic...)
	head = binary.LittleEndian.AppendUint16(head, snapshotVersion)
	head = binary.LittleEndian.AppendUint64(head, applied)
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, crcTable))
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write head of snapshot: %w", err)
	}
	return &frameWriter{w: w, buf: make([]byte, 8, 8+frameSize)}, nil
}

// Write implements io.Writer.
func (f *frameWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := min(len(p), cap(f.buf)-len(f.buf))
		f.buf = append(f.buf, p[:k]...)
		p, n = p[k:], n+k
		if len(f.buf) == cap(f.buf) {
			if err := f.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (f *frameWriter) flush() error {
	data := f.buf[8:]
	binary.LittleEndian.PutUint32(f.buf, uint32(len(data)))
	binary.LittleEndian.PutUint32(f.buf[4:], crc32.Checksum(data, crcTable))
	_, err := f.w.Write(f.buf)
	f.buf = f.buf[:8]
	return err
}

// finish writes what is buffered and the mark of the end.
func (f *frameWriter) finish() error {
	if len(f.buf) > 8 {
		if err := f.flush(); err != nil {
			return err
		}
	}
	return f.flush()
}

// frameReader reads what frameWriter wrote. It returns io.EOF only after the
// mark of the end, and an error that matches ErrCorrupt for a stream that is
// cut or changed.
type frameReader struct {
	r    io.Reader
	buf  []byte // memory of a frame
	rest []byte // of the current frame
	err  error
}

func newFrameReader(r io.Reader) (f *frameReader, applied uint64, err error) {
	var head [snapshotHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, cut("head of snapshot", err)
	}
	body, sum := head[:snapshotHeader-4], head[snapshotHeader-4:]
	if string(body[:len(snapshotMagic)]) != snapshotMagic {
		return nil, 0, fmt.Errorf("%w: not a snapshot: it starts with %q", ErrCorrupt, body[:len(snapshotMagic)])
	}
	if crc32.Checksum(body, crcTable) != binary.LittleEndian.Uint32(sum) {
		return nil, 0, fmt.Errorf("%w: checksum of the snapshot's head", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(body[len(snapshotMagic):]); v != snapshotVersion {
		return nil, 0, fmt.Errorf("snapshot of version %d, this program reads %d", v, snapshotVersion)
	}
	return &frameReader{r: r}, binary.LittleEndian.Uint64(body[len(snapshotMagic)+2:]), nil
}

// cut says that a stream ended early, or returns an error of reading as it is.
func cut(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %s is cut short", ErrCorrupt, what)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// Read implements io.Reader.
func (f *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(f.rest) == 0 && f.err == nil {
		f.rest, f.err = f.next()
	}
	if len(f.rest) == 0 {
		return 0, f.err
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// next reads a frame; io.EOF follows the last.
func (f *frameReader) next() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return nil, cut("snapshot", err)
	}
	n, sum := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if n > frameSize {
		return nil, fmt.Errorf("%w: snapshot frame of %d bytes", ErrCorrupt, n)
	}
	if n == 0 {
		if sum != 0 {
			return nil, fmt.Errorf("%w: mark of the snapshot's end", ErrCorrupt)
		}
		return nil, io.EOF
	}
	if cap(f.buf) < int(n) {
		f.buf = make([]byte, frameSize)
	}
	data := f.buf[:n]
	if _, err := io.ReadFull(f.r, data); err != nil {
		return nil, cut("snapshot", err)
	}
	if crc32.Checksum(data, crcTable) != sum {
		return nil, fmt.Errorf("%w: checksum of a snapshot frame", ErrCorrupt)
	}
	return data, nil
}
