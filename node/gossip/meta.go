package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hashicorp/memberlist"
)

// Meta is what a node says about itself.
type Meta struct {
	// ID names the node for all time. It must not be empty, and never changes.
	ID string
	// Zone is where the node stands, for the spread of replicas. May be empty.
	Zone string
	// GRPCAddr and RaftAddr are host:port as others reach them.
	GRPCAddr, RaftAddr string
	// Version is the version of the program.
	Version string
	// ClusterID is empty until the node is part of a cluster. Nodes of
	// different clusters do not see each other.
	ClusterID string
	// Weight is the share of the data that the node takes, relative to others. Finite.
	Weight float64
	// BootstrapExpect is the number of servers that the node waits for before a
	// new cluster is made.
	BootstrapExpect int
	// HasState says that the node is part of a control group already.
	HasState bool
	// Folder names the data folder of the node. Nodes of earlier versions do not tell.
	Folder string
	// Level is the highest level of the control log that the node knows. Nodes of earlier versions do not tell: 0.
	Level uint32
}

// metaVersion is the first byte of an encoded Meta. The layout:
//
//	version u8 | flags u8 (1: HasState, 2: about to leave) | weight float64 bits, little-endian |
//	BootstrapExpect uvarint | ID, Zone, GRPCAddr, RaftAddr, Version, ClusterID, Folder, each with its length as uvarint |
//	Level uvarint
//
// Folder and Level came later and may be missing.
// Later versions may add at the end: what is left over there is skipped.
const metaVersion = 1

// Bits of the flags.
const (
	flagState   = 1 << iota // Meta.HasState
	flagLeaving             // the node is about to say goodbye
)

var errBadMeta = errors.New("malformed metadata of a node")

// encode returns the wire form of m, or an error if m is invalid or longer
// than the 512 bytes that memberlist takes.
func (m *Meta) encode() ([]byte, error) {
	if m.ID == "" {
		return nil, errors.New("node metadata: ID must not be empty")
	}
	if math.IsNaN(m.Weight) || math.IsInf(m.Weight, 0) {
		return nil, fmt.Errorf("node metadata: Weight %v: must be finite", m.Weight)
	}
	if m.BootstrapExpect < 0 || m.BootstrapExpect > math.MaxInt32 {
		return nil, fmt.Errorf("node metadata: BootstrapExpect %d: out of range", m.BootstrapExpect)
	}
	b := []byte{metaVersion, 0}
	if m.HasState {
		b[1] |= flagState
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.Weight))
	b = binary.AppendUvarint(b, uint64(m.BootstrapExpect))
	for _, s := range m.texts() {
		b = binary.AppendUvarint(b, uint64(len(*s)))
		b = append(b, *s...)
	}
	b = binary.AppendUvarint(b, uint64(m.Level))
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("node metadata: %d bytes encoded, at most %d fit: shorten ids, zone or addresses", len(b), memberlist.MetaMaxSize)
	}
	return b, nil
}

// texts returns the strings of m in the order of the wire.
func (m *Meta) texts() []*string {
	return []*string{&m.ID, &m.Zone, &m.GRPCAddr, &m.RaftAddr, &m.Version, &m.ClusterID, &m.Folder}
}

// isLeaving reports whether the encoded metadata b announces a goodbye.
func isLeaving(b []byte) bool { return len(b) > 1 && b[1]&flagLeaving != 0 }

// decodeMeta reads what encode wrote. The result shares nothing with b.
func decodeMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) < 10 {
		return m, fmt.Errorf("%w: %d bytes", errBadMeta, len(b))
	}
	if b[0] < metaVersion {
		return m, fmt.Errorf("%w: version %d", errBadMeta, b[0])
	}
	m.HasState = b[1]&flagState != 0
	m.Weight = math.Float64frombits(binary.LittleEndian.Uint64(b[2:]))
	if math.IsNaN(m.Weight) || math.IsInf(m.Weight, 0) {
		return Meta{}, fmt.Errorf("%w: weight %v", errBadMeta, m.Weight)
	}
	b = b[10:]
	expect, n := binary.Uvarint(b)
	if n <= 0 || expect > math.MaxInt32 {
		return Meta{}, fmt.Errorf("%w: bootstrap-expect", errBadMeta)
	}
	m.BootstrapExpect = int(expect)
	b = b[n:]
	for _, s := range m.texts() {
		if s == &m.Folder && len(b) == 0 {
			break
		}
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return Meta{}, fmt.Errorf("%w: cut short", errBadMeta)
		}
		*s = string(b[n : n+int(size)])
		b = b[n+int(size):]
	}
	if m.ID == "" {
		return Meta{}, fmt.Errorf("%w: no id", errBadMeta)
	}
	if len(b) > 0 {
		level, n := binary.Uvarint(b)
		if n <= 0 || level > math.MaxUint32 {
			return Meta{}, fmt.Errorf("%w: level", errBadMeta)
		}
		m.Level = uint32(level)
	}
	return m, nil
}
