// Package partition decides what goes where: keys to partitions, partitions to
// replicas on members, items to blocks, blocks to sides, and tasks to nodes. All of it
// is pure functions: equal arguments give equal results on every node, and nothing
// depends on the order in which members are listed.
//
//	key -> Of -> partition ID -> Replicas, Plan -> member ids
//	loads of items -> Blocks -> Sides -> TaskCosts -> Assign -> nodes
package partition
