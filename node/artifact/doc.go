// Package artifact keeps the files of model versions: it writes them durably, checks them, maps them into memory and
// reads them.
//
// A [Store] is a folder with one folder for each version. A version has four kinds of files: one dictionary (the keys
// and counts of the items by dense id), for each partition the neighbor lists of its items and the rows of its
// users, and one file for each model that was trained. Two more kinds may lie beside them, where they were made and nowhere else, for builds
// that follow (docs/adr/0032): the norms of the items, and for each partition the rest, what comes behind the neighbor lists. No record of a
// version names them, nobody copies them ([Shared]), and who finds none does without. A file is immutable: it is written to a temporary name, synced, renamed, and its folder synced, and never
// changed after. Writing a name again replaces the file as a whole; who has mapped the old one goes on reading it.
//
// # Integrity
//
// A file carries its own checksum, and is known to others by its [Info]: size and checksum of the whole content. The
// second is compared when a copy is committed, the first when a file is opened: OpenDictionary, OpenLists, OpenRows, OpenModel, OpenRest and OpenNorms read
// the file once from end to end, which costs about what the disk or the page cache gives and leaves it in the cache.
// They read it by read(2) rather than through the mapping, where a disk error would end the process (SIGBUS) instead of
// being an error. Then they check all that later accesses go by: sizes of sections, starts that ascend, ids in range.
// So damaged bytes are found here, as an error that matches [ErrCorrupt], and never later as a panic. A writer makes
// the same checks, with errors that match similarity.ErrShape: what was written can be opened. The methods of a
// [Store] that open files leave the second part out for content that this process has checked before, as it was written or
// opened: the checksum tells that it is the same.
//
// Readers are views of the mapped file. They are safe for concurrent use, but not with their Close, after which no slice
// that they returned may be touched. Strings that they return are copies.
//
// # Layout
//
// All numbers are little endian. A file is
//
//	8 bytes  magic number: "kithdict", "kithlist", "kithrows", "kithmodl", "kithrest" or "kithnorm"
//	8 bytes  format version, 1
//	sections, each filled up with zeros to a multiple of 8 bytes
//	8 bytes  xxhash64 of everything before
//
// The first section holds the sizes that give the length of each of the others, which fill the file exactly. Equal
// content gives equal bytes.
//
// Dictionary of n items; slots is 2n+1:
//
//	uint64 × 2      n, bytes of all keys
//	int64 × n+1     start of each key, and the end of the last
//	bytes           keys, by dense id
//	uint64 × n      counts
//	uint32 × slots  hash table: dense id + 1, or 0 for an empty slot
//
// A key's place in the table is the high word of xxhash64(key) × slots, or the next free slot after it, cyclically. The
// keys are put in by ascending id, so the popular ones are found first.
//
// Lists of n items:
//
//	uint64 × 2       n, number of entries
//	uint32 × n       dense ids of the items, ascending
//	int64 × n+1      start of each list, and the end of the last
//	entries          uint32 dense id and float32 score each, in rank order
//
// Rest of n items:
//
//	uint64 × 2       n, number of entries
//	uint32 × n       dense ids of the items, ascending
//	int64 × n+1      start of the neighbors of each item, and the end of the last
//	float32 × n      bounds: no pair that is neither in the list of the item nor here has a score above it
//	entries          as those of lists
//
// Norms of n items:
//
//	uint64           n
//	float64 × n      sums of the squares of the weights, by dense id
//
// Rows of n users:
//
//	uint64 × 6       dense id of the first user, n, bytes of all keys, number of items (columns), number of entries,
//	                 1 if there are weights or 0 if all are one
//	int64 × n+1      start of each key, and the end of the last
//	bytes            keys of the users, ascending
//	int64 × n+1      start of each row, and the end of the last
//	uint32 × entries dense ids of items, ascending within a row
//	float32 × entries weights, if there are any
//
// The transposed rows are not stored: they are as large as the rows, and each replica would have to copy them. A
// similarity.Searcher makes them, with weights of its own.
package artifact
