package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrClosed means that the client or the appender was closed.
var ErrClosed = errors.New("closed")

// Reason is a condition that a server tells. It is an error, for errors.Is.
type Reason string

// The reasons that shops meet.
const (
	// NoModel means that no model version has been published yet, and no fallback was allowed.
	NoModel Reason = "NO_MODEL"
	// UnknownUser means that no event of the user is stored, and no fallback was allowed.
	UnknownUser Reason = "UNKNOWN_USER"
	// UnknownItem means that the item is not in the model.
	UnknownItem Reason = "UNKNOWN_ITEM"
	// Invalid means that an argument is out of its bounds.
	Invalid Reason = "INVALID"
	// Unauthenticated means that no key or certificate was shown, or one that is not valid.
	Unauthenticated Reason = "UNAUTHENTICATED"
	// Forbidden means that the key or certificate has no role that the call needs.
	Forbidden Reason = "FORBIDDEN"
	// RateLimited means that the key has made as many calls as it may for the moment.
	RateLimited Reason = "RATE_LIMITED"
	// Overloaded means that the node has as much to do as it may take.
	Overloaded Reason = "OVERLOADED"
	// DiskFull means that the node takes no new data for want of room.
	DiskFull Reason = "DISK_FULL"
	// NotReady means that the cluster is still forming, or has lost a majority.
	NotReady Reason = "NOT_READY"
	// NoMajority means that too few replicas of a partition live for writes and fresh reads.
	NoMajority Reason = "NO_MAJORITY"
	// NoLeader means that a partition has had no leader for longer than an election takes.
	NoLeader Reason = "NO_LEADER"
)

// Error implements error.
func (r Reason) Error() string { return string(r) }

// Error is the error of a call. errors.Is matches its Reason and, where time is over or the caller gave up, the errors of
// package context.
type Error struct {
	// Op is what was asked for, such as "recommend".
	Op string
	// Code is that of gRPC.
	Code codes.Code
	// Reason is empty where the server told none: it was not reached, or does not know what is wrong.
	Reason Reason
	// Message is for people.
	Message string
	// RetryIn is how long the server asks to wait; 0 if it does not say.
	RetryIn time.Duration
	// Addr is the node that was asked last, and Attempts how often any was.
	Addr     string
	Attempts int

	cause error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Attempts > 1 {
		return fmt.Sprintf("%s: %s (node %s, %d attempts)", e.Op, e.Message, e.Addr, e.Attempts)
	}
	return fmt.Sprintf("%s: %s (node %s)", e.Op, e.Message, e.Addr)
}

// Is implements errors.Is for reasons.
func (e *Error) Is(target error) bool {
	r, ok := target.(Reason)
	return ok && r == e.Reason
}

// Unwrap returns the status of gRPC, joined with the error of the context if that is why there was no further attempt.
func (e *Error) Unwrap() error { return e.cause }

// domain of the details that carry a reason.
const domain = "kith"

// failure converts the error of an attempt.
func failure(op, addr string, err error) *Error {
	st := status.Convert(err)
	e := &Error{Op: op, Code: st.Code(), Message: st.Message(), Addr: addr, cause: err}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.Domain == domain {
				e.Reason = Reason(d.Reason)
			}
		case *errdetails.RetryInfo:
			e.RetryIn = max(0, d.GetRetryDelay().AsDuration())
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled): // never came to a server
	case e.Code == codes.DeadlineExceeded:
		e.cause = errors.Join(err, context.DeadlineExceeded)
	case e.Code == codes.Canceled:
		e.cause = errors.Join(err, context.Canceled)
	}
	return e
}

// passes reports whether another attempt, perhaps at another node, may succeed: no server was reached, or it said so, or it took too long.
// Details come with all conditions of kith, so that Unavailable and ResourceExhausted are the codes of those that pass.
func (e *Error) passes() bool {
	switch e.Code {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted: // without a reason a message was too large
		return e.Reason != ""
	}
	return false
}

// faulty reports whether the error speaks against the node, rather than for the state of the cluster or about the request.
func (e *Error) faulty() bool {
	switch e.Code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		return e.Reason == ""
	}
	return false
}
