// Package capacity predicts what a build of neighbor lists takes, without one: for a Matrix, known exactly (Counted) or by
// the law that it follows (Expected), it cuts the build into tasks with the planner of the cluster itself, gives them to
// nodes as a build begins, and adds up for each node work, traffic, memory and time. Calibrate measures what the work costs
// on this machine.
//
//	size, law or rows -> Matrix -> coordinator.NewPlan -> Predict, Simulate -> WriteReport
//	                        \-> Sample -> Calibrate -> Cost -/
//
// What it does not know: the network beyond a bandwidth, other load on the machines, machines that differ from the one
// that was measured, reading and fusing the events before the count, copies of the result to replicas, and what a process
// holds beside the tasks: the dictionary, the event stores, and memory that waits to be collected. It takes the shards as evenly spread over the nodes, and work as it is given out, before nodes that
// run dry take from others.
package capacity
