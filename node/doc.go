// Package node is the working side of a kith process: the replicas of the partitions that it holds, each a raft group
// with an event store; the files of the model versions that it serves; and the two internal services by which other
// nodes use them. What it should hold it reads from the decisions of the control group (Control).
//
//	peers.go       connections to other nodes
//	node.go        the loop that makes what is held follow the decisions
//	replica.go     one partition: store and raft group; the rows of a build
//	partitions.go  PartitionService: append, history, cut, popular
//	versions.go    model versions: which files, opened once, closed when nobody reads
//	early.go       files of a version that are open before the first query
//	query.go       QueryService: the local part of a query
package node
