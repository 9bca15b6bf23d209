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
	data, err := load(path, modelMagic)
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
