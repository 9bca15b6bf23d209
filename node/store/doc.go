// Package store keeps the events of one partition, and the records of its products and users, in an embedded ordered store
// (Pebble). It is the state machine of the partition's raft group.
//
// # Files
//
//	DIR/CURRENT          name of the directory in use; replaced by rename
//	DIR/data-NNNNNN/     the Pebble store
//	DIR/scratch-changed  while the store is closed: who has changed lately (changedfile.go)
//	DIR/checkpoint-N/    hard links for a snapshot that is being written
//	DIR/scratch-N        for a moment: notes about events (runs.go), in a file that has no name while it is used
//
// Restore writes a new data directory, syncs it and then replaces CURRENT, so a
// crash leaves the old state or the new one. What CURRENT does not name is
// deleted by Open.
//
// # Keys
//
//	'e' user 0x00 id  ->  event: its raft index, and all of it but user and id (codec.go)
//	'u' user          ->  number of the user's events, uvarint
//	'c' item          ->  number of the item's events, uvarint
//	'p' item          ->  record of a product, as package catalog encodes it
//	'q' user          ->  record of a user, the same
//	't' hash          ->  tombstone of an erased user (erase.go)
//	'x' hash hash     ->  what stays of a key that was erased with the user of the first hash, which it was joined to (erased.go)
//	'h'               ->  key of the hash, 32 bytes; there once a user has been erased
//	'a' user          ->  alias of a user that is joined to another (join.go)
//	'j' user          ->  nothing; there while the join is under way
//	's' index user    ->  nothing; there while the events are, which do not count from the raft index (u64, big-endian) on
//	'b' user 0x00 key ->  a key that is joined to the user, whose partition may be another one
//	'm'               ->  version u8, applied raft index, events, users, and in version 2 products, profiles, erased users, index of
//	                      the last erasure, in version 3 aliases, joins under way, keys under 's', joins so far: uint64, little-endian
//
// The hash of a user is HMAC-SHA256 of its key. User and id hold no NUL byte, so events are in order of user, then id. A key that is not
// there is a count of zero. The counts are written by the batch that writes the events; they are read first in
// any case, to keep the most popular items at hand, so they need no merge
// operator.
//
// # Durability
//
// Pebble runs without a log of its own: the raft log is durable before Apply
// sees a command. The applied index is in the same atomic batch as the data, and Pebble
// flushes batches in order, so after a crash the store is as it was at some applied
// index, and raft gives it the rest again. raft forgets its log up to a snapshot; a
// snapshot is done only after a flush, so the store is never behind the log.
//
// # Snapshots
//
// A snapshot is a tar stream: the files of a Pebble checkpoint by name, then SHA256SUMS,
// one line for each file as sha256sum writes it. It may hold more commands
// than the log had at the time of Snapshot, as the checkpoint is taken
// when it is written; Apply skips those.
package store
