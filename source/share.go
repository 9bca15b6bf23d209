package source

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// Share is a part of the files of sources, for several readers that each take their own. The zero Share is all.
type Share struct {
	// Part is from 1 to Of.
	Part, Of int
}

// maxShares bounds Of.
const maxShares = 1024

// ParseShare reads a share such as 2/3: the second of three.
func ParseShare(s string) (Share, error) {
	part, of, ok := strings.Cut(s, "/")
	p, err1 := strconv.Atoi(part)
	n, err2 := strconv.Atoi(of)
	if !ok || err1 != nil || err2 != nil || p < 1 || p > n || n > maxShares {
		return Share{}, fmt.Errorf("%w: share %q; want one such as 2/3, of up to %d", ErrOptions, s, maxShares)
	}
	return Share{p, n}, nil
}

// String returns a share as ParseShare reads it, and "" for all.
func (s Share) String() string {
	if s.All() {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Part, s.Of)
}

// All reports whether nothing is left out.
func (s Share) All() bool { return s.Of <= 1 }

// First reports whether this is the share that does what is to be done once.
func (s Share) First() bool { return s.Part <= 1 }

// Has reports whether a file of some name is in the share. Each name is in one of the shares, whatever other names there are.
func (s Share) Has(name string) bool {
	if s.All() {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	// The low bits of FNV depend on the low bits of the text alone.
	x := h.Sum64()
	x ^= x >> 32
	x *= 0x9e3779b97f4a7c15
	return int(x>>32)%s.Of == s.Part-1
}
