package clean

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion/record"
)

// ErrCorrupt means that a temporary file is not what was written to it.
var ErrCorrupt = record.ErrCorrupt

// Form of a temporary file: the magic, whose last byte is the version, then blocks of
//
//	4 bytes  size of the content, little endian
//	         content
//	8 bytes  xxhash64 of size and content
const (
	magic     = "kithcln\x01"
	blockHead = 4
	blockSum  = 8
	// maxBlock bounds what a damaged size makes us allocate; a block holds at least one entry, whatever its size.
	maxBlock = 1 << 30
)

// blockFile is a temporary file of blocks, which is appended to and then read. It is for one goroutine at a time.
type blockFile struct {
	f    *os.File
	size int64
}

func createBlocks(dir, name string) (*blockFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	b := &blockFile{f: f}
	if err := b.write([]byte(magic)); err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return b, nil
}

func (b *blockFile) write(p []byte) error {
	n, err := b.f.Write(p)
	b.size += int64(n)
	if err != nil {
		return fmt.Errorf("write temporary file: %w", err)
	}
	return nil
}

// remove closes and removes the file. It may be called again, and of nil.
func (b *blockFile) remove() error {
	if b == nil || b.f == nil {
		return nil
	}
	f := b.f
	b.f = nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// begin checks the head of the file and returns where blocks begin.
func (b *blockFile) begin() (int64, error) {
	head := make([]byte, len(magic))
	if err := readFull(b.f, head, 0); err != nil {
		return 0, err
	}
	if string(head) != magic {
		return 0, fmt.Errorf("begins with %q, want %q: %w", head, magic, ErrCorrupt)
	}
	return int64(len(magic)), nil
}

// read reads the block at a place into *buf, which grows if need be, and returns its content and the place after it.
func (b *blockFile) read(at int64, buf *[]byte) (content []byte, next int64, err error) {
	var head [blockHead]byte
	if err := readFull(b.f, head[:], at); err != nil {
		return nil, 0, err
	}
	size := int64(binary.LittleEndian.Uint32(head[:]))
	next = at + blockHead + size + blockSum
	if size == 0 || size > maxBlock || next > b.size {
		return nil, 0, fmt.Errorf("block of %d bytes at byte %d of %d: %w", size, at, b.size, ErrCorrupt)
	}
	whole := int(next - at)
	if cap(*buf) < whole {
		*buf = make([]byte, whole)
	}
	*buf = (*buf)[:whole]
	if err := readFull(b.f, *buf, at); err != nil {
		return nil, 0, err
	}
	content, err = openBlock(*buf)
	if err != nil {
		return nil, 0, fmt.Errorf("block at byte %d: %w", at, err)
	}
	return content, next, nil
}

// openBlock returns the content of a block.
func openBlock(b []byte) ([]byte, error) {
	if len(b) < blockHead+blockSum || int64(binary.LittleEndian.Uint32(b)) != int64(len(b)-blockHead-blockSum) {
		return nil, fmt.Errorf("%d bytes: %w", len(b), ErrCorrupt)
	}
	end := len(b) - blockSum
	if got, want := xxhash.Sum64(b[:end]), binary.LittleEndian.Uint64(b[end:]); got != want {
		return nil, fmt.Errorf("checksum is %016x, want %016x: %w", got, want, ErrCorrupt)
	}
	return b[blockHead:end], nil
}

func readFull(r io.ReaderAt, p []byte, at int64) error {
	_, err := r.ReadAt(p, at)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("temporary file ends before byte %d: %w", at+int64(len(p)), ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("read temporary file: %w", err)
	}
	return nil
}

// blockWriter collects entries and writes them as blocks of about a size.
type blockWriter struct {
	file *blockFile
	size int
	// buf has room for the head and then the entries.
	buf []byte
}

func newBlockWriter(f *blockFile, size int) *blockWriter {
	return &blockWriter{file: f, size: size, buf: make([]byte, blockHead, blockHead+size+size/4)}
}

// empty reports whether the next entry begins a block.
func (w *blockWriter) empty() bool { return len(w.buf) == blockHead }

// end ends the entry that was appended to buf, and writes the block if it is full.
func (w *blockWriter) end() error {
	if len(w.buf) < w.size {
		return nil
	}
	return w.flush()
}

func (w *blockWriter) flush() error {
	if w.empty() {
		return nil
	}
	size := len(w.buf) - blockHead
	if size > maxBlock {
		return fmt.Errorf("a record of %d bytes; at most %d can be cleaned", size, maxBlock)
	}
	binary.LittleEndian.PutUint32(w.buf, uint32(size))
	w.buf = binary.LittleEndian.AppendUint64(w.buf, xxhash.Sum64(w.buf))
	err := w.file.write(w.buf)
	w.buf = w.buf[:blockHead]
	return err
}
