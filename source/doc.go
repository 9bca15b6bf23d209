// Package source reads files of the outside world into raw records: delimited
// text (CSV, TSV, any separator), the line formats "user item item ..." and
// "item item ..." (baskets), JSON lines, and Parquet; plain, gzip or zstd; from a path, from all
// files of a folder or pattern, or from standard input. A Track lets a later reading go on where one ended.
//
// A record is a list of fields as they stand in the file, with a line number.
// What the fields mean is the business of package fusion.
//
// Reading streams in constant memory. A damaged row is returned as a *RowError
// and does not end the reading: the next call goes on after it. Only an I/O
// error, or damage to the format itself (a broken gzip stream, a Parquet file
// without footer), ends it.
package source
