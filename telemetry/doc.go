// Package telemetry tells operators how a process does: figures for Prometheus about the calls that it serves and makes, traces by
// OpenTelemetry, ids of requests in the log, and profiles of the Go runtime.
//
// What is about one part of kith (partitions, builds, members) is told by that part, as a prometheus.Collector. Labels take their values from
// what is fixed in the program or in the cluster: methods, reasons, partitions. No user, item, key or text of a caller is a label, an attribute of a
// span, or in a line of the log.
package telemetry
