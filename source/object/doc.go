// Package object reads the objects of an S3-compatible store as files of package source: s3://bucket/key is one object, s3://bucket/logs/ all below
// a folder, and s3://bucket/logs/*.csv.gz all that match a pattern, in which * stands for any characters but slashes, and ** for any.
//
// Objects are read in the order of their keys, as one table: columns may stand in another order in each, but must be there. An object
// streams through; when its connection breaks, the rest is asked for. It is known by key and ETag, so one that was replaced
// while it is read is an error, and one that was replaced since is read again.
package object
