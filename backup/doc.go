// Package backup is the file of a backup: the events of a cluster up to one cut, its records, and what it was a backup of. A Writer
// makes one, a Reader reads it from the begin to the end, as from a pipe. Both hold one block at a time in memory.
//
// # Layout
//
// All integers are little-endian, all checksums are 64-bit xxHash.
//
//	"kithbkup" | format version u64 (3) | section ... | checksum of all bytes before u64
//
// A section is
//
//	kind u32 | partition u32 | events or records u32 | length of the payload u32 | checksum of these 16 bytes u64 |
//	payload | checksum of the payload u64
//
// and these are the sections, in this order:
//
//	kind 1, once: the manifest, a kith.v1.BackupManifest in the binary form of protobuf
//	kind 2, any number: events of one partition. The payload is one zstd frame of a batch, in the encoding of the log
//	  of a partition (store.EncodeBatch). Partitions do not descend; within one, users ascend by key, and the events
//	  of a user by id, over all of its sections: so no event can be in a file twice.
//	kind 4, any number: records of one kind and partition. The payload is one zstd frame of store.EncodeRecords. Partitions do
//	  not descend; within one, products come before profiles, each ascending by key.
//	kind 5, any number, behind the profiles of a partition: keys of users that are joined to others, ascending, as records whose
//	  attribute "to" is the other (catalog.Joined).
//	kind 3, once: the end, counts for each partition of the manifest: events, users, products, profiles and joined keys, each u64
//
// Version 1 has no records, and counts events and users only; version 2 has no joined keys and does not count them.
//
// A file that is cut short lacks its end. A bit that has changed anywhere makes a checksum wrong, and the error names
// the section and where it begins.
package backup
