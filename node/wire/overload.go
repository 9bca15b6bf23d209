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

// RetryIn returns how long the node that refused asks to wait, or 0 if err does not say.
func RetryIn(err error) time.Duration {
	if e := (*OverloadedError)(nil); errors.As(err, &e) {
		return e.RetryIn
	}
	return 0
}

// retryInfo is the hint in the form in which any client of gRPC understands it.
func (e *OverloadedError) retryInfo() *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryIn)}
}

// overloaded returns the hint among the details of a status; it says 0 if there is none.
func overloaded(details []any) *OverloadedError {
	for _, d := range details {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return &OverloadedError{RetryIn: max(0, info.GetRetryDelay().AsDuration())}
		}
	}
	return &OverloadedError{}
}
