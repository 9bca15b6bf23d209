package dense

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Sealed returns a file with its checksum, so that a fuzzer gets behind it.
func Sealed(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli))
}

// Dim is that of the vectors.
func (g *Index) Dim() int { return g.v.dim }
