package backup

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
)

// ErrCorrupt is matched by every error about a file that is damaged, cut short, or not a backup.
var ErrCorrupt = errors.New("damaged backup")

const (
	magic = "kithbkup"
	// formatVersion is what is written. Version 1, which has no records, and version 2, which has no joined keys, are read, too.
	formatVersion = 3

	prefixBytes  = 16 // magic number and format version
	headerBytes  = 16 // of a section, without its checksum
	sumBytes     = 8
	maxPayload   = 16 << 20
	maxBlock     = 16 << 20 // a block of events, unpacked
	maxPartition = 1 << 20  // far more than a cluster can have
)

// Kinds of sections.
const (
	kindManifest = 1 + iota
	kindEvents
	kindEnd
	kindRecords
	kindJoined
)

// countsOf is how many counts of a partition the end section has, by version of the format.
var countsOf = [...]int{1: 2, 2: 4, 3: 5}

// kindNames are for people.
var kindNames = map[uint32]string{kindManifest: "manifest", kindEvents: "events", kindEnd: "end", kindRecords: "records", kindJoined: "joined keys"}

// header is what a section begins with. Events are the number of events or records.
type header struct{ kind, partition, events, length uint32 }

func (h header) append(dst []byte) []byte {
	at := len(dst)
	for _, x := range []uint32{h.kind, h.partition, h.events, h.length} {
		dst = binary.LittleEndian.AppendUint32(dst, x)
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[at:]))
}

// decodeHeader reads what append wrote.
func decodeHeader(b []byte) (h header, err error) {
	if got, want := xxhash.Sum64(b[:headerBytes]), binary.LittleEndian.Uint64(b[headerBytes:]); got != want {
		return h, fmt.Errorf("checksum of its header is %016x, want %016x", got, want)
	}
	for i, x := range []*uint32{&h.kind, &h.partition, &h.events, &h.length} {
		*x = binary.LittleEndian.Uint32(b[4*i:])
	}
	return h, nil
}

// Counts of a file or of one partition of it. Products and Profiles include those that are deleted.
// Joined are keys of users that are joined to others.
type Counts struct{ Events, Users, Products, Profiles, Joined uint64 }

// fields are the counts in the order of the end section.
func (c *Counts) fields() []*uint64 {
	return []*uint64{&c.Events, &c.Users, &c.Products, &c.Profiles, &c.Joined}
}

// records returns the count of records of a kind.
func (c *Counts) records(kind catalog.Kind) *uint64 {
	switch kind {
	case catalog.Profile:
		return &c.Profiles
	case catalog.Joined:
		return &c.Joined
	}
	return &c.Products
}

// Block is a part of a backup: events, or records of one kind, of one partition.
type Block struct {
	Partition uint32
	Events    []fusion.Event
	Kind      catalog.Kind // of Records
	Records   []catalog.Record
}

// newEncoder and newDecoder work on whole blocks, on the goroutine of their caller.
func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
}
