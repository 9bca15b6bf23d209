// Package wire converts between the domain and the generated types, and between sentinel errors and gRPC statuses, so
// that errors.Is(err, wire.ErrNotLeader) holds on both sides of a connection.
package wire
