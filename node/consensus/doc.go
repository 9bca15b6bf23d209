// Package consensus runs raft groups: replicated logs that drive a state
// machine on each of their members.
//
// It is hashicorp/raft with the decisions that kith makes once: every group of
// a process shares one TCP listener (Mux), the log is a raft-wal with small
// segments, members are known by ids whose addresses may change (Config.Resolve),
// futures become calls with a context, and the errors say whether a proposal
// may still happen.
//
// # Promises
//
// A proposal that returned without error is in the log of a majority and in the
// state machine of this member; it survives the loss of any minority, and the
// kill of all. ErrNotLeader says that it did not happen; ErrUnknownOutcome that it may have
// or may yet happen, so commands carry ids and are idempotent.
//
// ReadIndex makes a read linearizable without writing to the log: once in each
// term a barrier shows that everything acknowledged by earlier leaders is
// applied here, and each read asks a majority whether this member still leads.
//
// # Files
//
//	DIR/wal/                    log and stable store of raft-wal, segments of 4 MiB
//	DIR/snapshots/TERM-INDEX-T/ snapshots: meta.json and state.bin
//
// state.bin, and the stream that is sent to a member that lags too far behind,
// is the state of the FSM in checked frames:
//
//	"KITHSNAP" | version u16 | applied index u64 | crc32c of these 18 bytes u32
//	{ length u32 > 0 | crc32c of the data u32 | data }...
//	0 u32 | crc32c of nothing: 0 u32
//
// All integers are little-endian. A stream that is cut or changed makes Restore of the FSM
// see an error that matches ErrCorrupt instead of the end of the stream.
package consensus
