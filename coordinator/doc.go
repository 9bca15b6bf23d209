// Package coordinator decides and routes. It has four parts:
//
//   - State, the pure state machine of the control group: members, shard map, jobs, model versions. It holds decisions,
//     never data.
//   - Builder, which drives a build over the nodes and records in the control group what is done. A build that stops
//     anywhere is taken up again by the next coordinator, because every step can be repeated without harm.
//   - Router, with which any node brings events to their partitions and answers queries from all of them.
//   - Leader, the loop that runs on the node that leads the control group.
package coordinator
