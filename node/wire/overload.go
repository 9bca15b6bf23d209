package wire

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"
)

// ErrOverloaded means that the node has as much to do as it may take; see RetryIn.
var ErrOverloaded = errors.New("the node has as much to do as it may take")

// ErrDiskFull means that the disk of the node has no room beyond its reserve, so that it takes no new data.
var ErrDiskFull = errors.New("the disk is full")

// OverloadedError is an ErrOverloaded that says when to come back.
type OverloadedError struct{ RetryIn time.Duration }

// Error implements error.
func (e *OverloadedError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrOverloaded, e.RetryIn)
}

// Is makes errors.Is(err, ErrOverloaded) true.
func (e *OverloadedError) Is(target error) bool { return target == ErrOverloaded }

// ErrLimited means that the caller has made as many calls as it may for the moment.
var ErrLimited = errors.New("more calls than this caller may make")

// LimitedError is an ErrLimited that says when to come back.
type LimitedError struct{ RetryIn time.Duration }

// Error implements error.
func (e *LimitedError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrLimited, e.RetryIn)
}

// Is makes errors.Is(err, ErrLimited) true.
func (e *LimitedError) Is(target error) bool { return target == ErrLimited }

// RetryIn returns how long the node that refused asks to wait, or 0 if err does not say.
func RetryIn(err error) time.Duration {
	if e := (*OverloadedError)(nil); errors.As(err, &e) {
		return e.RetryIn
	}
	if e := (*LimitedError)(nil); errors.As(err, &e) {
		return e.RetryIn
	}
	return 0
}

// retryInfo is the hint in the form in which any client of gRPC understands it.
func retryInfo(pause time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(pause)}
}

// retryIn returns the hint among the details of a status, or 0 if there is none.
func retryIn(details []any) time.Duration {
	for _, d := range details {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return max(0, info.GetRetryDelay().AsDuration())
		}
	}
	return 0
}
