package artifact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/similarity"
)

// ErrCorrupt is matched by every error about a damaged file.
var ErrCorrupt = similarity.ErrCorrupt

// What all kinds of files have in common; the layout is in the package comment.
const (
	dictionaryMagic = "kithdict"
	listsMagic      = "kithlist"
	rowsMagic       = "kithrows"

	formatVersion = 1
	headBytes     = 16 // magic number and version
	sumBytes      = 8
	alignment     = 8 // of sections
	// pieceBytes is how much is read or written and summed at a time, while it is in the processor's cache.
	pieceBytes = 128 << 10
)

// maxIDs bounds how many users or items there are, so that ids and ids + 1 fit 32 bits.
const maxIDs = math.MaxUint32

// corrupt is an error that matches ErrCorrupt. It takes text, not an error, because other sentinels that a check may match,
// such as similarity.ErrShape, are about the arguments of a caller.
func corrupt(path, what string) error {
	return fmt.Errorf("%s: %w: %s", path, ErrCorrupt, what)
}

// refuse is the error of a writer whose arguments would make a file that cannot be opened.
func refuse(name string, err error) error {
	if errors.Is(err, similarity.ErrShape) {
		return fmt.Errorf("write artifact %s: %w", name, err)
	}
	return fmt.Errorf("write artifact %s: %w: %w", name, similarity.ErrShape, err)
}

// write makes a file of sections.
func (s *Store) write(version uint64, name, magic string, sections ...[]byte) (Info, error) {
	f, err := s.Create(version, name)
	if err != nil {
		return Info{}, err
	}
	defer f.Abort()
	for _, section := range slices.Insert(sections, 0, head(magic)) {
		if err := f.section(section); err != nil {
			return Info{}, err
		}
	}
	return f.endChecked()
}

// head returns what a file begins with.
func head(magic string) []byte { return binary.LittleEndian.AppendUint64([]byte(magic), formatVersion) }

// section writes a section, filled up.
func (f *File) section(section []byte) error {
	for _, p := range [][]byte{section, make([]byte, -len(section)&(alignment-1))} {
		if _, err := f.Write(p); err != nil {
			return fmt.Errorf("write artifact: %w", err)
		}
	}
	return nil
}

// end writes the checksum and commits the file.
func (f *File) end() (Info, error) {
	if _, err := f.Write(binary.LittleEndian.AppendUint64(nil, f.sum.Sum64())); err != nil {
		return Info{}, fmt.Errorf("write artifact: %w", err)
	}
	return f.Commit(nil)
}

// endChecked is end of a file of which all has been checked that its reader checks.
func (f *File) endChecked() (Info, error) {
	content := content{f.size, f.sum.Sum64()}
	info, err := f.end()
	if err == nil {
		f.store.checked.add(f.version, f.name, content)
	}
	return info, err
}

// reader is what a file is read by.
type reader interface {
	// check checks all that accesses go by.
	check() error
	// ready makes what is not in the file.
	ready()
}

// openFile maps a file, makes a reader of its sections, and checks all of it.
func openFile[T reader](path, magic string, parse func(*sections) (T, error)) (T, error) {
	r, _, err := openKnown(path, magic, parse, content{})
	return r, err
}

// openIn is openFile of a file of a store. What its sections hold is looked at once, as long as the content is the same.
func openIn[T reader](s *Store, version uint64, name, magic string, parse func(*sections) (T, error)) (T, error) {
	known := s.checked.of(version, name)
	r, is, err := openKnown(s.Path(version, name), magic, parse, known)
	if err == nil && is != known {
		s.checked.add(version, name, is)
	}
	return r, err
}

// openKnown is openFile; a file with the known content is read from end to end, but what its sections hold is not looked at.
func openKnown[T reader](path, magic string, parse func(*sections) (T, error), known content) (T, content, error) {
	var none T
	data, sum, err := load(path, magic)
	if err != nil {
		return none, content{}, err
	}
	is := content{uint64(len(data) - sumBytes), sum}
	s := &sections{file: data, rest: data[headBytes : len(data)-sumBytes]}
	reader, err := parse(s)
	if err == nil {
		err = s.end()
	}
	if err == nil && is != known {
		err = reader.check()
	}
	if err != nil {
		return none, content{}, errors.Join(corrupt(path, err.Error()), unmap(data))
	}
	reader.ready()
	return reader, is, nil
}

// load maps a file after a check of its magic number, format version and checksum, which it returns.
func load(path, magic string) (data []byte, sum uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open artifact: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	stat, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("open artifact: %w", err)
	}
	size := stat.Size()
	if size < headBytes+sumBytes || size > math.MaxInt {
		return nil, 0, corrupt(path, fmt.Sprintf("has %d bytes", size))
	}
	digest := xxhash.New()
	if _, err := io.CopyBuffer(digest, io.NewSectionReader(f, 0, size-sumBytes), make([]byte, min(size, pieceBytes))); err != nil {
		return nil, 0, fmt.Errorf("open artifact: %w", err)
	}
	if data, err = mapFile(f, int(size)); err != nil {
		return nil, 0, fmt.Errorf("map artifact %s: %w", path, err)
	}
	sum = digest.Sum64()
	if what := checkFrame(data, magic, sum); what != "" {
		return nil, 0, errors.Join(corrupt(path, what), unmap(data))
	}
	return data, sum, nil
}

// checkFrame says what is wrong with the first and last bytes of a file, whose checksum is sum.
func checkFrame(data []byte, magic string, sum uint64) string {
	if got := string(data[:len(magic)]); got != magic {
		return fmt.Sprintf("magic number is %q, want %q", got, magic)
	}
	if got := binary.LittleEndian.Uint64(data[len(magic):]); got != formatVersion {
		return fmt.Sprintf("format version is %d, want %d", got, formatVersion)
	}
	if want := binary.LittleEndian.Uint64(data[len(data)-sumBytes:]); sum != want {
		return fmt.Sprintf("checksum is %016x, want %016x", sum, want)
	}
	return ""
}

// sections cuts a mapped file into its sections.
type sections struct {
	file []byte
	rest []byte // between the sections that were cut and the checksum
	// short is set once a section was longer than the rest.
	short bool
}

// cut takes a section of n elements. After the first that does not fit it returns nil.
func cut[T element](s *sections, n uint64) []T {
	var zero T
	size := uint64(unsafe.Sizeof(zero))
	room := uint64(len(s.rest)) // a multiple of the alignment, or the last cut fails
	if s.short || n > room/size {
		s.short = true
		return nil
	}
	used := n * size
	padded := (used + alignment - 1) &^ (alignment - 1)
	if padded > room {
		s.short = true
		return nil
	}
	section := s.rest[:used]
	s.rest = s.rest[padded:]
	return view[T](section)
}

// sizes takes the first section.
func (s *sections) sizes(n uint64) ([]uint64, error) {
	sizes := cut[uint64](s, n)
	if s.short {
		return nil, errors.New("too short for its sizes")
	}
	return sizes, nil
}

// end checks that the sections fill the file.
func (s *sections) end() error {
	if s.short || len(s.rest) != 0 {
		return errors.New("sizes do not agree with the length of the file")
	}
	return nil
}

// checkStarts checks that start cuts n elements into pieces, in order.
func checkStarts(start []int64, n int) error {
	if len(start) == 0 || start[0] != 0 || start[len(start)-1] != int64(n) || !slices.IsSorted(start) {
		return fmt.Errorf("starts do not ascend from 0 to %d", n)
	}
	return nil
}
