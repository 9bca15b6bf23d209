// Package db reads tables and queries of PostgreSQL and of MySQL or MariaDB as rows of package source.
//
// Rows are read in pages, in the order of a cursor: one or several columns that grow, such as updated_at and id. A page begins at the cursor
// of the last row, that value included, and leaves out the rows that it has in common with what was read: so rows that share a value are never
// lost, neither between pages nor between runs, and memory holds a mark for each row of one value. Without a cursor the table
// is read by one statement, and memory holds a mark for each row.
//
// Values are text: numbers exactly as the server has them, moments by RFC 3339 in UTC, truth values as true and false, and nothing for
// NULL. The line of a record is a number made of its values, since a table has no lines, and its part tells equal rows apart: so the
// same rows give the same records in any order.
//
// The session is read-only.
package db
