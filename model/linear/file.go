package linear

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/kith-io/kith/model"
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
		if err := peers.Put(nameCounts, model.Append(nil, s.Plan.Counts...)); err != nil {
			return err
		}
	}
	size := 4
	for _, r := range rows {
		size += 8 + entrySize*len(r.Entries)
	}
	b := make([]byte, 0, size)
	b = model.Append(b, uint32(len(rows)))
	for _, r := range rows {
		b = model.Append(b, r.Item, uint32(len(r.Entries)))
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
	r := model.NewReader(b)
	counts := model.Numbers[int64](r, uint64(shape.Items))
	if err := r.End(); err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	parts := make([][]byte, shape.Workers()) // their entries
	starts := make([]uint64, shape.Items+1)
	next := 0
	for worker := range parts {
		if parts[worker], err = get(ctx, worker, nameRows); err != nil {
			return err
		}
		r := model.NewReader(parts[worker])
		head, total := model.NewReader(r.Take(uint64(r.Uint32()), 8)), uint64(0)
		for head.Len() > 0 {
			item, size := int(head.Uint32()), head.Uint32()
			if item < next || item >= shape.Items {
				return fmt.Errorf("rows of worker %d: row %d, want one from %d on and below %d", worker, item, next, shape.Items)
			}
			starts[item+1] = uint64(size)
			total += uint64(size)
			next = item + 1
		}
		parts[worker] = r.Take(total, entrySize)
		if err := r.End(); err != nil {
			return fmt.Errorf("rows of worker %d: %w", worker, err)
		}
	}
	for i := range shape.Items {
		starts[i+1] += starts[i]
	}
	flags := uint32(0)
	if ones {
		flags = flagOnes
	}
	head := append(make([]byte, 0, headerSize), magic...)
	head = model.Append(head, version, flags)
	head = model.Append(head, uint64(shape.Items), uint64(shape.Users), starts[shape.Items])
	head = model.Append(head, popularity.Order(counts)...)
	out := bufio.NewWriter(w)
	for _, b := range append([][]byte{head, model.Bytes(starts)}, parts...) {
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
	r := model.NewReader(b)
	r.Magic(magic)
	r.Version(version)
	flags, items, users, entries := r.Uint32(), r.Uint64(), r.Uint64(), r.Uint64()
	if flags > flagOnes || users > math.MaxUint32 || items > math.MaxUint32 {
		r.Fail("%d items, %d users, flags %d", items, users, flags)
	}
	order, starts, rows := model.Numbers[uint32](r, items), r.Take(items+1, 8), r.Take(entries, entrySize)
	if err := errors.Join(r.End(), popularity.CheckOrder(order)); err != nil {
		return nil, err
	}
	m := &Model{users: int(users), ones: flags == flagOnes, order: order, starts: starts, entries: rows}
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
