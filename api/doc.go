// Package api is the public face of a kith process: the gRPC services that callers use, on any node. It checks and
// converts what comes in, and leaves the work to package coordinator.
package api
