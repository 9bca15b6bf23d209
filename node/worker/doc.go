// Package worker does the compute side of a build on one node: it counts and exports the partitions that the coordinator
// asks it for, runs tasks (the items of a block with those of a side), and merges the partial lists of items. The
// coordinator says what to do when; the worker keeps what it has made until the job is dropped, so that every call may be
// repeated.
//
//	worker.go  the service, its jobs, and their end
//	shard.go   where rows come from: the event store or a table
//	export.go  counts, dictionary, block parts
//	tasks.go   blocks and sides from their parts, and tasks
//	limited.go how a node with a memory limit does with less: one side at a time (turn.go), the rest in files (spool.go)
//	merge.go   partial lists of a partition's items, and their merge to an artifact
//	files.go   artifacts between nodes
package worker
