// Package server composes a kith process from its parts, and starts and stops them in the right order:
//
//	listeners -> raft listener (Mux) -> control group -> node, coordinator, api -> gRPC -> gossip
//
// Stopping goes the other way: the process says goodbye and stops taking calls before its groups close, and the raft
// listener goes last, because groups hand over their leadership through it.
//
// Neighbors runs a build over a table on nodes embedded in the process, without raft and gossip.
package server
