// Package similarity computes exact neighbor lists of sparse data: for each
// item the K items most similar to it, with a measure such as cosine. It is the
// hot path of kith, and pure: no network, clock, logger or random source.
//
// The users×items matrix is cut into blocks of consecutive items. A [Block] has its
// items by user lists, a [Side] has the rows of all users for a run of blocks. [Run]
// forms the sums of the items of a Block with all items of a Side and keeps the K best
// of each. [Merge] joins lists from several Sides. [Build] does all of it in one
// process; a cluster sends blocks with [AppendPart], [NewBlock] and [NewSide] and lists
// with [AppendLists] and [DecodeLists], and comes to the same bits, because the sum of
// a pair is formed in one task, in ascending user order, and every cut to K follows
// one total order: score descending, then id ascending.
//
// [Searcher] finds the nearest rows of a query row at query time.
//
// The design, its invariants and the error bound are in DESIGN.md.
package similarity
