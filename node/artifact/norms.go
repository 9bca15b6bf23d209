package artifact

import (
	"fmt"
	"math"
)

const normsMagic = "kithnorm"

// Norms gives the sums of the squares of the weights of the items, for a build that follows (docs/adr/0032). It is safe for
// concurrent use, but not with Close.
type Norms struct {
	file    []byte
	squares []float64
}

// WriteNorms writes the sum of the squares of the weights of each item, by dense id. If one is negative or not finite the error
// matches similarity.ErrShape. Cost: O(items).
func (s *Store) WriteNorms(version uint64, squares []float64) (Info, error) {
	n := &Norms{squares: squares}
	if err := n.check(); err != nil {
		return Info{}, refuse(NormsName, err)
	}
	return s.write(version, NormsName, normsMagic, section([]uint64{uint64(len(squares))}), section(squares))
}

// OpenNorms maps norms. Errors match fs.ErrNotExist if there is no file and ErrCorrupt if it is damaged. The caller must Close
// it. Cost: O(size), to check it; no memory but the mapping.
func OpenNorms(path string) (*Norms, error) {
	return openFile(path, normsMagic, parseNorms)
}

// parseNorms cuts the sections; openFile checks them.
func parseNorms(s *sections) (*Norms, error) {
	sizes, err := s.sizes(1)
	if err != nil {
		return nil, err
	}
	return &Norms{file: s.file, squares: cut[float64](s, sizes[0])}, nil
}

// check checks what is promised of the numbers.
func (n *Norms) check() error {
	if uint64(len(n.squares)) > maxIDs {
		return fmt.Errorf("%d items", len(n.squares))
	}
	for i, x := range n.squares {
		if !(x >= 0) || !finite(x) {
			return fmt.Errorf("sum of squares of item %d is %v", i, x)
		}
	}
	return nil
}

func (n *Norms) ready() {}

func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }

// Squares returns the sum of the squares of the weights of each item, by dense id. The slice is valid until Close and must not be
// changed: writing to it ends the process.
func (n *Norms) Squares() []float64 { return n.squares }

// Close frees the mapping. Closing again does nothing.
func (n *Norms) Close() error {
	file := n.file
	*n = Norms{} // a late reader finds nothing rather than what is mapped there next
	return unmap(file)
}
