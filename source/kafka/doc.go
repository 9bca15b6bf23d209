// Package kafka reads topics of Kafka as rows of package source, as a member of a consumer group.
//
// The value of a message is an object of JSON or a row of CSV. Beside what is asked of it, a row has the columns _key, _partition, _offset and
// _timestamp. The line of a record is the offset, from 1, and its part the partition.
//
// Offsets are committed by Commit alone, which the caller calls for a position when all records up to it are durable. So after a crash
// or a rebalance messages are read again, and none is lost. This holds because a partition's messages are handed out in order from its
// committed offset, and those that were fetched before a partition went to another member are handed out all the same.
//
// Reading ends at the offsets where the partitions ended when it began, or with Follow when its context ends.
package kafka
