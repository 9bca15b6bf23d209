package similarity

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// Form of encoded lists, all integers little endian or unsigned varints:
//
//	magic "klst", version 1
//	varint  first item, number of lists, number of entries
//	for each list: varint length, then for each entry
//	  varint  score: difference of the ordered bits to the entry before
//	  varint  id
//	8 bytes xxhash64 of everything before
//
// Scores of a list descend, so the differences are not negative and short.
const (
	listsMagic   = "klst"
	listsVersion = 1
	sumBytes     = 8
)

// AppendLists appends the encoded form of l, for the wire or a file, and returns
// the extended slice. l must be in rank order. Cost: O(lists + entries), about
// five bytes an entry.
func AppendLists(dst []byte, l *Lists) []byte {
	begin := len(dst)
	dst = append(dst, listsMagic...)
	dst = append(dst, listsVersion)
	dst = binary.AppendUvarint(dst, uint64(l.Lo))
	dst = binary.AppendUvarint(dst, uint64(l.Len()))
	dst = binary.AppendUvarint(dst, uint64(len(l.Entries)))
	for i := range l.Len() {
		list := l.Entries[l.Start[i]:l.Start[i+1]]
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		prev := uint32(math.MaxUint32)
		for _, n := range list {
			b := orderedBits(n.Score)
			dst = binary.AppendUvarint(dst, uint64(prev-b))
			dst = binary.AppendUvarint(dst, uint64(n.ID))
			prev = b
		}
	}
	return appendSum(dst, begin)
}

// DecodeLists reads what AppendLists wrote. It checks the checksum, the rank order
// and all ranges; errors match ErrCorrupt. Memory is bounded by a small multiple
// of len(b), whatever b claims. The result does not refer to b.
func DecodeLists(b []byte) (*Lists, error) {
	d, err := openSum(b, listsMagic, listsVersion)
	if err != nil {
		return nil, fmt.Errorf("decode lists: %w", err)
	}
	l, err := decodeLists(d)
	if err != nil {
		return nil, fmt.Errorf("decode lists: %w", err)
	}
	return l, nil
}

func decodeLists(d *decoder) (*Lists, error) {
	lo := d.uint(math.MaxUint32)
	count := d.uint(min(1<<32-lo, uint64(len(d.b)))) // a list takes a byte or more
	total := d.uint(uint64(len(d.b)) / 2)            // an entry takes two or more
	if d.bad {
		return nil, fmt.Errorf("bad header: %w", ErrCorrupt)
	}
	l := &Lists{Lo: uint32(lo), Start: make([]int64, count+1), Entries: make([]Neighbor, 0, total)}
	for i := range count {
		size := d.uint(total - uint64(len(l.Entries)))
		bits, id := uint32(math.MaxUint32), uint32(0)
		for k := range size {
			delta := d.uint(uint64(bits))
			next := uint32(d.uint(math.MaxUint32))
			bits -= uint32(delta)
			s := scoreOfBits(bits)
			if d.bad || s == 0 || !(math.Abs(float64(s)) <= math.MaxFloat32) ||
				uint64(next) == lo+i || (k > 0 && delta == 0 && next <= id) {
				return nil, fmt.Errorf("bad entry %d of item %d: %w", k, lo+i, ErrCorrupt)
			}
			id = next
			l.Entries = append(l.Entries, Neighbor{ID: id, Score: s})
		}
		l.Start[i+1] = int64(len(l.Entries))
	}
	if d.bad || len(d.b) != 0 || uint64(len(l.Entries)) != total {
		return nil, fmt.Errorf("lists do not fill the data: %w", ErrCorrupt)
	}
	return l, nil
}

// appendSum appends the checksum of dst[begin:].
func appendSum(dst []byte, begin int) []byte {
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[begin:]))
}

// openSum checks magic number, version and checksum and returns a decoder of what
// is between the version and the checksum.
func openSum(b []byte, magic string, version byte) (*decoder, error) {
	head := len(magic) + 1
	if len(b) < head+sumBytes || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("not %q data of at least %d bytes: %w", magic, head+sumBytes, ErrCorrupt)
	}
	if b[len(magic)] != version {
		return nil, fmt.Errorf("%q version %d, want %d: %w", magic, b[len(magic)], version, ErrCorrupt)
	}
	body := b[:len(b)-sumBytes]
	if got, want := xxhash.Sum64(body), binary.LittleEndian.Uint64(b[len(body):]); got != want {
		return nil, fmt.Errorf("%q checksum is %016x, want %016x: %w", magic, got, want, ErrCorrupt)
	}
	return &decoder{b: body[head:]}, nil
}

// decoder reads varints from b. After the first bad value bad stays set and all
// reads give 0.
type decoder struct {
	b   []byte
	bad bool
}

// uint reads a varint of at most limit.
func (d *decoder) uint(limit uint64) uint64 {
	// Most values fit one byte.
	if len(d.b) > 0 && d.b[0] < 0x80 && uint64(d.b[0]) <= limit && !d.bad {
		v := uint64(d.b[0])
		d.b = d.b[1:]
		return v
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}
