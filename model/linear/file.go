package linear

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Form of the file, all integers little endian:
//
//	8 bytes  magic
//	uint32   version, flags
//	uint64   items, users, entries
//	uint32   for each item: the next in order of popularity
//	uint64   for each item, and once more: the number of its first entry
//	entries  uint32 item, float32 weight; items ascend within a row
const (
	magic      = "kithlinr"
	version    = 1
	headerSize = 8 + 4 + 4 + 3*8
	flagOnes   = 1
	entrySize  = 8
)

// ErrFile is matched by the error of Read for bytes that are no whole file.
var ErrFile = errors.New("damaged file of a linear model")

// Names under which the workers put what WriteFile reads: worker 0 the counts of all items, and every one rows of the matrix.
const (
	nameCounts = "counts"
	nameRows   = "matrix"
)

// Row is the row of an item in the matrix: to which items it adds how much. The items ascend.
type Row struct {
	Item    uint32
	Entries []similarity.Neighbor
}

// PutMatrix puts rows of the matrix, whose items ascend and come after those of workers before this one. Rows without entries may be left out.
func (s *Shard) PutMatrix(peers train.Peers, rows []Row) error {
	if s.Data.Worker == 0 {
		if err := peers.Put(nameCounts, appendUint64s(nil, s.Plan.Counts)); err != nil {
			return err
		}
	}
	size := 4
	for _, r := range rows {
		size += 8 + entrySize*len(r.Entries)
	}
	b := make([]byte, 0, size)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(rows)))
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint32(b, r.Item)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Entries)))
	}
	for _, r := range rows {
		b = appendEntries(b, r.Entries)
	}
	return peers.Put(nameRows, b)
}

func appendEntries(b []byte, entries []similarity.Neighbor) []byte {
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint32(b, e.ID)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(e.Score))
	}
	return b
}

// WriteFile makes the file of what the workers have put by PutMatrix. ones says that all items of a history count alike.
func WriteFile(ctx context.Context, shape train.Shape, ones bool, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	b, err := get(ctx, 0, nameCounts)
	if err != nil {
		return err
	}
	counts, err := uint64s(b, shape.Items)
	if err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	parts := make([][]byte, shape.Workers()) // their entries
	starts := make([]uint64, shape.Items+1)
	next := 0
	for worker := range parts {
		if parts[worker], err = get(ctx, worker, nameRows); err != nil {
			return err
		}
		part := parts[worker]
		if len(part) < 4 || uint64(len(part)-4)/8 < uint64(binary.LittleEndian.Uint32(part)) {
			return fmt.Errorf("rows of worker %d: %w", worker, io.ErrUnexpectedEOF)
		}
		n := int(binary.LittleEndian.Uint32(part))
		head, entries, total := part[4:4+8*n], part[4+8*n:], uint64(0)
		for ; len(head) > 0; head = head[8:] {
			item, size := int(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint32(head[4:])
			if item < next || item >= shape.Items {
				return fmt.Errorf("rows of worker %d: row %d, want one from %d on and below %d", worker, item, next, shape.Items)
			}
			starts[item+1] = uint64(size)
			total += uint64(size)
			next = item + 1
		}
		if total*entrySize != uint64(len(entries)) {
			return fmt.Errorf("rows of worker %d: %d bytes for %d entries", worker, len(entries), total)
		}
		parts[worker] = entries
	}
	for i := range shape.Items {
		starts[i+1] += starts[i]
	}
	signed := make([]int64, len(counts))
	for i, n := range counts {
		signed[i] = int64(n)
	}
	flags := uint32(0)
	if ones {
		flags = flagOnes
	}
	head := append(make([]byte, 0, headerSize), magic...)
	head = binary.LittleEndian.AppendUint32(head, version)
	head = binary.LittleEndian.AppendUint32(head, flags)
	for _, n := range []uint64{uint64(shape.Items), uint64(shape.Users), starts[shape.Items]} {
		head = binary.LittleEndian.AppendUint64(head, n)
	}
	for _, id := range popularity.Order(signed) {
		head = binary.LittleEndian.AppendUint32(head, id)
	}
	out := bufio.NewWriter(w)
	for _, b := range append([][]byte{head, appendUint64s(nil, starts)}, parts...) {
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return out.Flush()
}

// Read makes a model of a file, which it keeps. Errors match ErrFile. Cost: O(items + entries), 8 bytes an item.
func Read(file []byte) (*Model, error) {
	m, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return m, nil
}

func read(b []byte) (*Model, error) {
	switch {
	case len(b) < headerSize || string(b[:8]) != magic:
		return nil, fmt.Errorf("not %q with a header of %d bytes", magic, headerSize)
	case binary.LittleEndian.Uint32(b[8:]) != version:
		return nil, fmt.Errorf("version %d, want %d", binary.LittleEndian.Uint32(b[8:]), version)
	}
	flags := binary.LittleEndian.Uint32(b[12:])
	items, users, entries := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])
	b = b[headerSize:]
	size := uint64(len(b))
	if flags > flagOnes || users > math.MaxUint32 || items > math.MaxUint32 || entries > size/entrySize || size != 4*items+8*(items+1)+entrySize*entries {
		return nil, fmt.Errorf("%d bytes for %d items and %d entries, flags %d", size, items, entries, flags)
	}
	order, starts, rows := b[:4*items], b[4*items:4*items+8*(items+1)], b[4*items+8*(items+1):]
	m := &Model{users: int(users), ones: flags == flagOnes, order: make([]uint32, items), starts: starts, entries: rows}
	seen := make([]bool, items)
	for i := range m.order {
		id := binary.LittleEndian.Uint32(order[4*i:])
		if uint64(id) >= items || seen[id] {
			return nil, fmt.Errorf("item %d of %d is in the order of popularity at %d, out of bounds or twice", id, items, i)
		}
		m.order[i], seen[id] = id, true
	}
	if binary.LittleEndian.Uint64(starts) != 0 || binary.LittleEndian.Uint64(starts[8*items:]) != entries {
		return nil, fmt.Errorf("rows do not span the %d entries", entries)
	}
	for i := range items {
		lo, hi := binary.LittleEndian.Uint64(starts[8*i:]), binary.LittleEndian.Uint64(starts[8*i+8:])
		if lo > hi || hi > entries {
			return nil, fmt.Errorf("row %d has the entries from %d to %d of %d", i, lo, hi, entries)
		}
		next := uint64(0)
		for row := rows[entrySize*lo : entrySize*hi]; len(row) > 0; row = row[entrySize:] {
			e := entryOf(row)
			if uint64(e.ID) < next || uint64(e.ID) >= items || !(math.Abs(float64(e.Score)) <= math.MaxFloat32) {
				return nil, fmt.Errorf("row %d has item %d with weight %v", i, e.ID, e.Score)
			}
			next = uint64(e.ID) + 1
		}
	}
	m.init()
	return m, nil
}

func entryOf(b []byte) similarity.Neighbor {
	x := binary.LittleEndian.Uint64(b)
	return similarity.Neighbor{ID: uint32(x), Score: math.Float32frombits(uint32(x >> 32))}
}

func appendUint64s(b []byte, x []uint64) []byte {
	for _, n := range x {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func uint64s(b []byte, n int) ([]uint64, error) {
	if len(b) != 8*n {
		return nil, fmt.Errorf("%d bytes, want %d numbers", len(b), n)
	}
	x := make([]uint64, n)
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return x, nil
}
