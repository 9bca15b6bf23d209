package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Reader reads a backup once, and checks all of it. It is used by one goroutine. Errors about the file match ErrCorrupt;
// others are of reading it. The caller must Close it.
type Reader struct {
	r       io.Reader
	sum     *xxhash.Digest
	decoder *zstd.Decoder
	summary Summary
	order   order

	at      int64 // bytes read
	section int   // number of the present section, from 1
	begin   int64 // where it begins
	kind    uint32
	ended   bool
	version uint64 // of the format

	payload, block []byte // scratch
}

// NewReader reads the begin of a backup, with its manifest. Reads are as large as sections, and small ones for what is
// between them.
func NewReader(r io.Reader) (*Reader, error) {
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	b := &Reader{r: r, sum: xxhash.New(), decoder: decoder}
	if err := b.prefix(); err != nil {
		decoder.Close()
		return nil, err
	}
	return b, nil
}

func (b *Reader) prefix() error {
	var p [prefixBytes]byte
	if err := b.read(p[:], "the file's first bytes"); err != nil {
		return err
	}
	if string(p[:len(magic)]) != magic {
		return fmt.Errorf("%w: it begins with %q, a backup with %q", ErrCorrupt, p[:len(magic)], magic)
	}
	if b.version = binary.LittleEndian.Uint64(p[len(magic):]); b.version < 1 || b.version > formatVersion {
		return fmt.Errorf("%w: its format is of version %d, this program reads 1 to %d", ErrCorrupt, b.version, formatVersion)
	}
	h, payload, err := b.next()
	if err != nil {
		return err
	}
	m := &kithv1.BackupManifest{}
	if h.kind != kindManifest || h.partition != 0 || h.events != 0 {
		return b.corrupt("is not the manifest")
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return b.corrupt(err.Error())
	}
	if n := len(m.Partitions); n == 0 || n > maxPartition {
		return b.corrupt(fmt.Sprintf("says %d partitions", n))
	}
	b.summary = Summary{Manifest: m, Partitions: make([]Counts, len(m.Partitions))}
	return nil
}

// Close frees what the Reader holds. It does not close the io.Reader.
func (b *Reader) Close() { b.decoder.Close() }

// Manifest says of what the backup is.
func (b *Reader) Manifest() *kithv1.BackupManifest { return b.summary.Manifest }

// Next returns the next block, which the caller may keep. After the last one it checks the end of the backup, and that nothing follows it,
// and returns io.EOF.
func (b *Reader) Next() (Block, error) {
	if b.ended {
		return Block{}, io.EOF
	}
	h, payload, err := b.next()
	switch {
	case err != nil:
		return Block{}, err
	case h.kind == kindEvents:
		events, err := b.unpack(h, payload)
		return Block{Partition: h.partition, Events: events}, err
	case h.kind == kindRecords && b.version > 1, h.kind == kindJoined && b.version > 2:
		kind, records, err := b.unpackRecords(h, payload)
		return Block{Partition: h.partition, Kind: kind, Records: records}, err
	case h.kind == kindEnd:
		if err := b.end(h, payload); err != nil {
			return Block{}, err
		}
		b.ended = true
		return Block{}, io.EOF
	}
	return Block{}, b.corrupt("is out of its place")
}

// Summary returns what the backup has. It is complete once Next has returned io.EOF.
func (b *Reader) Summary() Summary { return b.summary }

// unpack returns the events of a section.
func (b *Reader) unpack(h header, payload []byte) ([]fusion.Event, error) {
	var err error
	if b.block, err = b.decoder.DecodeAll(payload, b.block[:0]); err != nil {
		return nil, b.corrupt(err.Error())
	}
	events, err := store.DecodeBatch(b.block)
	if err != nil {
		return nil, b.corrupt(err.Error())
	}
	if len(events) == 0 || len(events) != int(h.events) {
		return nil, b.corrupt(fmt.Sprintf("holds %d events, its header says %d", len(events), h.events))
	}
	if err := b.order.count(b.summary.Partitions, h.partition, events); err != nil {
		return nil, b.corrupt(err.Error())
	}
	return events, nil
}

// unpackRecords returns the records of a section.
func (b *Reader) unpackRecords(h header, payload []byte) (kind catalog.Kind, records []catalog.Record, err error) {
	if b.block, err = b.decoder.DecodeAll(payload, b.block[:0]); err != nil {
		return 0, nil, b.corrupt(err.Error())
	}
	if kind, records, err = store.DecodeRecords(b.block); err != nil {
		return 0, nil, b.corrupt(err.Error())
	}
	if h.kind == kindJoined {
		kind = catalog.Joined
	}
	if len(records) == 0 || len(records) != int(h.events) {
		return 0, nil, b.corrupt(fmt.Sprintf("holds %d records, its header says %d", len(records), h.events))
	}
	if err := b.order.countRecords(b.summary.Partitions, h.partition, kind, records); err != nil {
		return 0, nil, b.corrupt(err.Error())
	}
	return kind, records, nil
}

// end checks the last section and the checksum of all.
func (b *Reader) end(h header, payload []byte) error {
	each := 8 * countsOf[b.version]
	if h.partition != 0 || h.events != 0 || len(payload) != each*len(b.summary.Partitions) {
		return b.corrupt(fmt.Sprintf("has %d bytes for %d partitions", len(payload), len(b.summary.Partitions)))
	}
	for p, got := range b.summary.Partitions {
		var want Counts
		for i, x := range want.fields()[:each/8] {
			*x = binary.LittleEndian.Uint64(payload[each*p+8*i:])
		}
		if got != want {
			return b.corrupt(fmt.Sprintf("counts %d events of %d users, %d products, %d profiles and %d joined keys of partition %d, there are %d of %d, %d, %d and %d",
				want.Events, want.Users, want.Products, want.Profiles, want.Joined, p, got.Events, got.Users, got.Products, got.Profiles, got.Joined))
		}
	}
	if err := checkCounts(b.summary.Manifest, b.summary.Partitions); err != nil {
		return b.corrupt(err.Error())
	}
	sum := b.sum.Sum64()
	var last [sumBytes]byte
	if err := b.read(last[:], "the checksum of the file"); err != nil {
		return err
	}
	if want := binary.LittleEndian.Uint64(last[:]); sum != want {
		return fmt.Errorf("%w: checksum of the file is %016x, want %016x", ErrCorrupt, sum, want)
	}
	b.summary.SizeBytes = b.at
	switch n, err := io.ReadFull(b.r, last[:1]); {
	case n > 0:
		return fmt.Errorf("%w: bytes follow its end at %d", ErrCorrupt, b.at)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read backup: %w", err)
	}
	return nil
}

// next reads a section and checks it. The payload is good until the next call.
func (b *Reader) next() (header, []byte, error) {
	b.section++
	b.begin, b.kind = b.at, 0
	var head [headerBytes + sumBytes]byte
	if err := b.read(head[:], b.name()); err != nil {
		return header{}, nil, err
	}
	h, err := decodeHeader(head[:])
	if err != nil {
		return h, nil, b.corrupt(err.Error())
	}
	if b.kind = h.kind; h.length > maxPayload {
		return h, nil, b.corrupt(fmt.Sprintf("has %d bytes; want at most %d", h.length, maxPayload))
	}
	n := int(h.length)
	if cap(b.payload) < n+sumBytes {
		b.payload = make([]byte, n+sumBytes)
	}
	p := b.payload[:n+sumBytes]
	if err := b.read(p, b.name()); err != nil {
		return h, nil, err
	}
	if got, want := xxhash.Sum64(p[:n]), binary.LittleEndian.Uint64(p[n:]); got != want {
		return h, nil, b.corrupt(fmt.Sprintf("checksum is %016x, want %016x", got, want))
	}
	return h, p[:n], nil
}

// name names the present section for people.
func (b *Reader) name() string {
	kind := ""
	if k, ok := kindNames[b.kind]; ok {
		kind = " (" + k + ")"
	}
	return fmt.Sprintf("section %d%s at byte %d", b.section, kind, b.begin)
}

// corrupt returns an error about the present section.
func (b *Reader) corrupt(what string) error {
	return fmt.Errorf("%w: %s: %s", ErrCorrupt, b.name(), what)
}

// read fills p, which is a part of what is named.
func (b *Reader) read(p []byte, what string) error {
	n, err := io.ReadFull(b.r, p)
	_, _ = b.sum.Write(p[:n]) // never fails
	b.at += int64(n)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it is cut short after %d bytes, in %s", ErrCorrupt, b.at, what)
	case err != nil:
		return fmt.Errorf("read backup: %w", err)
	}
	return nil
}

// Verify reads a whole backup and returns what it has. show, if it is not nil, is told how many events have been read.
func Verify(r io.Reader, show func(events uint64)) (Summary, error) {
	b, err := NewReader(r)
	if err != nil {
		return Summary{}, err
	}
	defer b.Close()
	var n uint64
	for {
		block, err := b.Next()
		if errors.Is(err, io.EOF) {
			return b.Summary(), nil
		}
		if err != nil {
			return Summary{}, err
		}
		if n += uint64(len(block.Events)); show != nil {
			show(n)
		}
	}
}
