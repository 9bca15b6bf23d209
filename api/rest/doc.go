// Package rest answers requests of HTTP with the methods of gRPC services: the google.api.http annotations of the protocol say which, and the
// JSON is that of Protocol Buffers. There is no code for a single route.
//
// A request becomes a call of the registered implementation within the process, through the same interceptors of the guard as a call of gRPC, so that the same
// conditions hold. It is strict where others are lenient: an unknown field or parameter is an error that names it, since a filter with a typing
// error must not become an answer without a filter.
//
// A method that streams its answer is joined into one JSON object, as its messages are chunks of an answer; a client that accepts
// application/x-ndjson gets each message as a line when it comes.
package rest
