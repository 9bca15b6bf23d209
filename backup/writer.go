package backup

import (
	"cmp"
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

// Writer writes a backup. It is used by one goroutine. After an error it is of no more use.
type Writer struct {
	w        io.Writer
	sum      *xxhash.Digest
	encoder  *zstd.Encoder
	manifest *kithv1.BackupManifest
	counts   []Counts
	order    order
	size     int64

	block, packed, frame []byte // scratch
}

// NewWriter begins a backup. Writes are as large as sections.
func NewWriter(w io.Writer, m *kithv1.BackupManifest) (*Writer, error) {
	encoder, err := newEncoder()
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	b := &Writer{w: w, sum: xxhash.New(), encoder: encoder, manifest: m, counts: make([]Counts, len(m.Partitions))}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("backup: manifest: %w", err)
	}
	if err := b.write(binary.LittleEndian.AppendUint64([]byte(magic), formatVersion)); err != nil {
		return nil, err
	}
	return b, b.section(header{kind: kindManifest}, payload)
}

// Add writes a block of events of a partition. Partitions must not descend, and the events of one must ascend by
// user and id over all calls. The events must be valid and have ids, and be under 8 MiB together.
func (b *Writer) Add(partition uint32, events []fusion.Event) error {
	if len(events) == 0 {
		return nil
	}
	for i := range events {
		if err := store.Check(&events[i]); err != nil {
			return fmt.Errorf("backup: event %q of user %q: %w", events[i].ID, events[i].User, err)
		}
	}
	if err := b.order.count(b.counts, partition, events); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	b.block = store.EncodeBatch(b.block[:0], events)
	return b.pack(header{kind: kindEvents, partition: partition, events: uint32(len(events))})
}

// AddRecords writes a block of records of a partition. They come after all events: partitions must not descend, the kinds of one neither,
// and keys must ascend over all calls. The records must pass Check, and be under 8 MiB together.
func (b *Writer) AddRecords(partition uint32, kind catalog.Kind, records []catalog.Record) error {
	if len(records) == 0 {
		return nil
	}
	for i := range records {
		if err := records[i].Check(); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	if err := b.order.countRecords(b.counts, partition, kind, records); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	h := header{kind: kindRecords, partition: partition, events: uint32(len(records))}
	if kind == catalog.Joined {
		h.kind, kind = kindJoined, catalog.Profile // in the form of records about users
	}
	b.block = store.EncodeRecords(b.block[:0], kind, records)
	return b.pack(h)
}

// pack writes a section of the block.
func (b *Writer) pack(h header) error {
	if len(b.block) > maxBlock {
		return fmt.Errorf("backup: block of %d bytes; want at most %d", len(b.block), maxBlock)
	}
	b.packed = b.encoder.EncodeAll(b.block, b.packed[:0])
	return b.section(h, b.packed)
}

// Close writes the end of the backup, without which it is not one, and returns what it has. An error means that
// partitions lack events that the manifest promises, or is of writing. It does not close the io.Writer.
func (b *Writer) Close() (Summary, error) {
	s := Summary{Manifest: b.manifest, Partitions: b.counts}
	if err := checkCounts(b.manifest, b.counts); err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	var payload []byte
	for _, c := range b.counts {
		for _, x := range c.fields() {
			payload = binary.LittleEndian.AppendUint64(payload, *x)
		}
	}
	if err := b.section(header{kind: kindEnd}, payload); err != nil {
		return s, err
	}
	err := b.write(binary.LittleEndian.AppendUint64(nil, b.sum.Sum64()))
	s.SizeBytes = b.size
	return s, errors.Join(err, b.encoder.Close())
}

// section writes a section. The length of its header is set here.
func (b *Writer) section(h header, payload []byte) error {
	if len(payload) > maxPayload {
		return fmt.Errorf("backup: %s of %d bytes; want at most %d", kindNames[h.kind], len(payload), maxPayload)
	}
	h.length = uint32(len(payload))
	b.frame = append(h.append(b.frame[:0]), payload...)
	return b.write(binary.LittleEndian.AppendUint64(b.frame, xxhash.Sum64(payload)))
}

func (b *Writer) write(p []byte) error {
	if _, err := b.w.Write(p); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	_, _ = b.sum.Write(p) // never fails
	b.size += int64(len(p))
	return nil
}

// order checks that events and records come in the order of a backup, and counts them.
type order struct {
	begun     bool
	partition uint32
	user, id  string
	// kind and key are of the last record.
	records bool
	kind    catalog.Kind
	key     string
}

// count adds the events of a block to the counts of its partition.
func (o *order) count(counts []Counts, partition uint32, events []fusion.Event) error {
	if int64(partition) >= int64(len(counts)) {
		return fmt.Errorf("partition %d of %d", partition, len(counts))
	}
	if o.records {
		return fmt.Errorf("partition %d: events after records", partition)
	}
	if o.begun && partition < o.partition {
		return fmt.Errorf("partition %d after %d", partition, o.partition)
	}
	if !o.begun || partition > o.partition {
		*o = order{begun: true, partition: partition}
	}
	c := &counts[partition]
	for i := range events {
		e := &events[i]
		if e.User < o.user || e.User == o.user && e.ID <= o.id {
			return fmt.Errorf("partition %d: event %q of user %q after %q of %q", partition, e.ID, e.User, o.id, o.user)
		}
		if e.User != o.user {
			c.Users++
		}
		c.Events++
		o.user, o.id = e.User, e.ID
	}
	return nil
}

// countRecords adds the records of a block to the counts of its partition.
func (o *order) countRecords(counts []Counts, partition uint32, kind catalog.Kind, records []catalog.Record) error {
	if int64(partition) >= int64(len(counts)) {
		return fmt.Errorf("partition %d of %d", partition, len(counts))
	}
	if !o.records {
		*o = order{records: true, partition: partition, kind: kind}
	}
	if c := cmp.Or(cmp.Compare(partition, o.partition), cmp.Compare(kind, o.kind)); c < 0 {
		return fmt.Errorf("records of kind %v of partition %d after kind %v of %d", kind, partition, o.kind, o.partition)
	} else if c > 0 {
		o.partition, o.kind, o.key = partition, kind, ""
	}
	for i := range records {
		if key := records[i].Key; key <= o.key {
			return fmt.Errorf("partition %d: %v %q after %q", partition, kind, key, o.key)
		}
		o.key = records[i].Key
	}
	*counts[partition].records(kind) += uint64(len(records))
	return nil
}

// checkCounts compares what came with what the manifest promises.
func checkCounts(m *kithv1.BackupManifest, counts []Counts) error {
	for p, want := range m.Partitions {
		if got := counts[p]; got.Events != want.Events || got.Users != want.Users {
			return fmt.Errorf("partition %d has %d events of %d users, the manifest says %d of %d",
				p, got.Events, got.Users, want.Events, want.Users)
		}
	}
	return nil
}

// Summary is what a backup has.
type Summary struct {
	Manifest *kithv1.BackupManifest
	// Partitions have their counts in order.
	Partitions []Counts
	SizeBytes  int64
}

// Total adds the partitions up.
func (s *Summary) Total() Counts {
	var t Counts
	for _, c := range s.Partitions {
		t.Events += c.Events
		t.Users += c.Users
		t.Products += c.Products
		t.Profiles += c.Profiles
		t.Joined += c.Joined
	}
	return t
}

// ActiveSpec returns what the active model version was built with, or nil.
func (s *Summary) ActiveSpec() *kithv1.BuildSpec {
	for _, v := range s.Manifest.Versions {
		if v.Version == s.Manifest.ActiveVersion && v.Version != 0 {
			return v.Spec
		}
	}
	return nil
}
