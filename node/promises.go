package node

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kith-io/kith/durable"
	"github.com/kith-io/kith/partition"
)

// heldFile is the name of the file that says of which groups this node is a full member.
const heldFile = "held"

// promises knows of which partitions this node is a full member: it may have voted and acknowledged. It is kept apart from the folders of
// the partitions, so that one that is gone is noticed: to begin anew with an empty one would be to forget that. It is safe for
// concurrent use.
type promises struct {
	path string

	mu  sync.Mutex
	ids map[partition.ID]bool
}

// openPromises reads the file in a folder. There is none in folders of earlier programs; it is made as replicas are opened.
func openPromises(dir string) (*promises, error) {
	h := &promises{path: filepath.Join(dir, heldFile), ids: map[partition.ID]bool{}}
	f, err := os.Open(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		id, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: %w; write a line for each folder in 'partitions' into it, its number", h.path, err)
		}
		h.ids[partition.ID(id)] = true
	}
	return h, lines.Err()
}

func (h *promises) has(id partition.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[id]
}

// set notes, durably, whether this node is a full member.
func (h *promises) set(id partition.ID, is bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids[id] == is {
		return nil
	}
	var next []partition.ID
	for other := range h.ids {
		if other != id {
			next = append(next, other)
		}
	}
	if is {
		next = append(next, id)
	}
	slices.Sort(next)
	var text strings.Builder
	for _, id := range next {
		_, _ = fmt.Fprintln(&text, id)
	}
	if err := durable.Replace(h.path, []byte(text.String()), 0o640); err != nil {
		return fmt.Errorf("note what this node holds: %w", err)
	}
	if is {
		h.ids[id] = true
	} else {
		delete(h.ids, id)
	}
	return nil
}
