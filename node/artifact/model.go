package artifact

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	modelMagic = "kithmodl"
	// modelBuffer is how much of a model is written at once.
	modelBuffer = 1 << 18
)

// Model is the file of a trained model. What is in it is between the kind of model and those who ask.
type Model struct {
	file    []byte
	content []byte
}

// WriteModel writes what content writes to the file of a model, whose name must be one that ValidModel takes. An error of content is returned as it is, and
// there is no file then. Cost: O(size), and 256 KiB.
func (s *Store) WriteModel(version uint64, model string, content func(io.Writer) error) (Info, error) {
	f, err := s.Create(version, ModelName(model))
	if err != nil {
		return Info{}, err
	}
	defer f.Abort()
	out := &counter{to: bufio.NewWriterSize(f, modelBuffer)}
	if _, err := out.to.Write(head(modelMagic)); err != nil {
		return Info{}, fmt.Errorf("write artifact: %w", err)
	}
	if err := content(out); err != nil {
		return Info{}, err
	}
	end := make([]byte, -out.n&(alignment-1), 2*alignment)
	end = binary.LittleEndian.AppendUint64(end, uint64(out.n))
	if _, err := out.to.Write(end); err != nil {
		return Info{}, fmt.Errorf("write artifact: %w", err)
	}
	if err := out.to.Flush(); err != nil {
		return Info{}, fmt.Errorf("write artifact: %w", err)
	}
	return f.end()
}

// counter counts what is written.
type counter struct {
	to *bufio.Writer
	n  int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// OpenModel maps a model. Errors match fs.ErrNotExist if there is no file and ErrCorrupt if it is damaged. The caller must Close it. Cost: O(size), to
// check it; no memory but the mapping.
func OpenModel(path string) (*Model, error) {
	data, _, err := load(path, modelMagic)
	if err != nil {
		return nil, err
	}
	rest := data[headBytes : len(data)-sumBytes]
	content, err := contentOf(rest)
	if err != nil {
		return nil, errors.Join(corrupt(path, err.Error()), unmap(data))
	}
	return &Model{data, content}, nil
}

// contentOf cuts the content out of what is between the head and the checksum.
func contentOf(rest []byte) ([]byte, error) {
	if len(rest) < alignment || len(rest)%alignment != 0 {
		return nil, errors.New("too short for its size")
	}
	room := len(rest) - alignment
	size := binary.LittleEndian.Uint64(rest[room:])
	if size > uint64(room) || (size+alignment-1)&^(alignment-1) != uint64(room) {
		return nil, fmt.Errorf("size is %d, with room for %d", size, room)
	}
	return rest[:size:size], nil
}

// Content returns what was written. It begins at a multiple of 8 bytes of memory, is valid until Close, and must not be changed: writing to it ends the process.
func (m *Model) Content() []byte { return m.content }

// Close frees the mapping. Closing again does nothing.
func (m *Model) Close() error {
	file := m.file
	*m = Model{} // a late reader finds nothing rather than what is mapped there next
	return unmap(file)
}

// The content of a model that learned of products may have, behind what the kind of model wrote, the keys of those that are not in the dictionary:
//
//	keys, each its length as uvarint and its bytes | length of all that u64 | number of keys u64

// AppendItems appends the keys of the items that a model knows beyond those of the dictionary, in the order of their ids.
func AppendItems(dst []byte, keys []string) []byte {
	before := len(dst)
	for _, key := range keys {
		dst = binary.AppendUvarint(dst, uint64(len(key)))
		dst = append(dst, key...)
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(dst)-before))
	return binary.LittleEndian.AppendUint64(dst, uint64(len(keys)))
}

// CutItems takes off the end of content what AppendItems appended. The keys share nothing with it. An error matches ErrCorrupt.
func CutItems(content []byte) (rest []byte, keys []string, err error) {
	const tail = 16
	if len(content) < tail {
		return nil, nil, fmt.Errorf("%w: %d bytes with items behind them", ErrCorrupt, len(content))
	}
	end := len(content) - tail
	size, n := binary.LittleEndian.Uint64(content[end:]), binary.LittleEndian.Uint64(content[end+8:])
	if size > uint64(end) || n > size {
		return nil, nil, fmt.Errorf("%w: %d items in %d of %d bytes", ErrCorrupt, n, size, end)
	}
	b := content[end-int(size) : end]
	keys = make([]string, n)
	for i := range keys {
		length, used := binary.Uvarint(b)
		if used <= 0 || length > uint64(len(b)-used) {
			return nil, nil, fmt.Errorf("%w: key of item %d of %d", ErrCorrupt, i, n)
		}
		keys[i], b = string(b[used:used+int(length)]), b[used+int(length):]
	}
	if len(b) > 0 {
		return nil, nil, fmt.Errorf("%w: %d bytes behind the keys of items", ErrCorrupt, len(b))
	}
	at := end - int(size)
	return content[:at:at], keys, nil
}
