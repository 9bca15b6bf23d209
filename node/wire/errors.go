package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/kith-io/kith/similarity"
)

// Conditions that cross the wire.
var (
	// ErrNotLeader means that the node does not lead the group that was asked for; see LeaderHint.
	ErrNotLeader = errors.New("not the leader")
	// ErrStaleEpoch means that the caller's shard map is not that of the node; ask again with a newer one.
	ErrStaleEpoch = errors.New("stale epoch of the shard map")
	// ErrNoReplica means that the node holds no replica of the partition.
	ErrNoReplica = errors.New("no replica of the partition here")
	// ErrUnknownOutcome means that a command may or may not have been applied; repeating it is safe.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrNotReady means that the cluster is still forming, or has lost a majority.
	ErrNotReady = errors.New("cluster is not ready")
	// ErrNoMajority means that so few replicas of a partition live that it cannot take writes or fresh reads.
	ErrNoMajority = errors.New("too few replicas answer")
	// ErrNoLeader means that a partition has had no leader for longer than an election takes.
	ErrNoLeader = errors.New("no leader")
	// ErrUnknownUser means that no event of the user is stored.
	ErrUnknownUser = errors.New("unknown user")
	// ErrUnknownItem means that the item is not in the model.
	ErrUnknownItem = errors.New("unknown item")
	// ErrUnknownRecord means that there is no record at the key.
	ErrUnknownRecord = errors.New("no record at the key")
	// ErrNoModel means that no model version has been published yet.
	ErrNoModel = errors.New("no model version yet")
	// ErrUnknownVersion means that the model version is not kept, or not here.
	ErrUnknownVersion = errors.New("unknown model version")
	// ErrUnknownJob means that there is no record of the job.
	ErrUnknownJob = errors.New("unknown job")
	// ErrJobRunning means that another build is running.
	ErrJobRunning = errors.New("another build is running")
	// ErrBuildLost means that the node does not have, or no longer has, its part of a build: it must be made again.
	ErrBuildLost = errors.New("part of the build is not here")
	// ErrUnknownMember means that no member has the id.
	ErrUnknownMember = errors.New("unknown member")
	// ErrLastMember means that no other member would keep the data.
	ErrLastMember = errors.New("no other member stays to take over the data of the last one")
	// ErrErased means that a user was erased meanwhile, or a build has removed what was joined to another, so that what there was before is gone: what was begun then
	// must begin again.
	ErrErased = errors.New("a user was erased, or joined to another, meanwhile")
	// ErrMoved means that a key is joined to another, which is to be asked for; see MovedError.
	ErrMoved = errors.New("joined to another key")
	// ErrJoining means that a key is being joined to another; it takes a moment.
	ErrJoining = errors.New("being joined to another key")
	// ErrUnknownScene means that no scene has the name.
	ErrUnknownScene = errors.New("unknown scene")
	// ErrUnknownExperiment means that no experiment has the name.
	ErrUnknownExperiment = errors.New("unknown experiment")
	// ErrScenesChanged means that scenes were replaced since they were read.
	ErrScenesChanged = errors.New("scenes have changed meanwhile")
	// ErrInvalid means that an argument is out of its bounds.
	ErrInvalid = errors.New("invalid argument")
	// ErrCorrupt means that stored data is damaged.
	ErrCorrupt = errors.New("damaged data")
	// ErrUnauthenticated means that the caller did not show who it is, or with what is not or no longer valid.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrUnknownModel means that a model version was trained without a model of the name.
	ErrUnknownModel = errors.New("unknown model")
	// ErrTraining means that a model cannot be trained as it is asked for: the same again would end alike.
	ErrTraining = errors.New("cannot train")
	// ErrUpgrade means that a server must run a newer program first.
	ErrUpgrade = errors.New("needs a newer program")
	// ErrForbidden means that the caller is known and has no role that the call needs.
	ErrForbidden = errors.New("not allowed")
)

// domain of the ErrorInfo details that carry the reason.
const domain = "kith"

// row is a sentinel with its code and its reason.
type row struct {
	err    error
	code   codes.Code
	reason string
}

// rowOf returns the row of an error, or nil.
func rowOf(err error) *row {
	for i := range table {
		if errors.Is(err, table[i].err) {
			return &table[i]
		}
	}
	return nil
}

// table holds every sentinel with its code and its reason, which is stable. The first that an error matches counts: those that
// sum up others come first.
var table = []row{
	{ErrNoMajority, codes.Unavailable, "NO_MAJORITY"},
	{ErrNoLeader, codes.Unavailable, "NO_LEADER"},
	{ErrNotLeader, codes.Unavailable, "NOT_LEADER"},
	{ErrStaleEpoch, codes.Unavailable, "STALE_EPOCH"},
	{ErrNoReplica, codes.Unavailable, "NO_REPLICA"},
	{ErrUnknownOutcome, codes.Unavailable, "UNKNOWN_OUTCOME"},
	{ErrNotReady, codes.Unavailable, "NOT_READY"},
	{ErrUnknownUser, codes.NotFound, "UNKNOWN_USER"},
	{ErrUnknownItem, codes.NotFound, "UNKNOWN_ITEM"},
	{ErrUnknownRecord, codes.NotFound, "UNKNOWN_RECORD"},
	{ErrNoModel, codes.FailedPrecondition, "NO_MODEL"},
	{ErrUnknownVersion, codes.NotFound, "UNKNOWN_VERSION"},
	{ErrUnknownJob, codes.NotFound, "UNKNOWN_JOB"},
	{ErrJobRunning, codes.FailedPrecondition, "JOB_RUNNING"},
	{ErrBuildLost, codes.Aborted, "BUILD_LOST"},
	{similarity.ErrNotFollowed, codes.FailedPrecondition, "NOT_FOLLOWED"},
	{ErrUnknownMember, codes.NotFound, "UNKNOWN_MEMBER"},
	{ErrLastMember, codes.FailedPrecondition, "LAST_MEMBER"},
	{ErrErased, codes.Aborted, "ERASED"},
	{ErrMoved, codes.FailedPrecondition, "MOVED"},
	{ErrJoining, codes.Unavailable, "JOINING"},
	{ErrUnknownScene, codes.NotFound, "UNKNOWN_SCENE"},
	{ErrUnknownExperiment, codes.NotFound, "UNKNOWN_EXPERIMENT"},
	{ErrScenesChanged, codes.FailedPrecondition, "SCENES_CHANGED"},
	{ErrInvalid, codes.InvalidArgument, "INVALID"},
	{ErrCorrupt, codes.DataLoss, "CORRUPT"},
	{ErrOverloaded, codes.ResourceExhausted, "OVERLOADED"},
	{ErrDiskFull, codes.ResourceExhausted, "DISK_FULL"},
	{ErrLimited, codes.ResourceExhausted, "RATE_LIMITED"},
	{ErrUnknownModel, codes.NotFound, "UNKNOWN_MODEL"},
	{ErrTraining, codes.FailedPrecondition, "TRAINING"},
	{ErrUpgrade, codes.FailedPrecondition, "UPGRADE"},
	{ErrUnauthenticated, codes.Unauthenticated, "UNAUTHENTICATED"},
	{ErrForbidden, codes.PermissionDenied, "FORBIDDEN"},
}

// NotLeaderError is an ErrNotLeader that names the leader, if the node knows it.
type NotLeaderError struct{ Leader string }

// Error implements error.
func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return ErrNotLeader.Error() + ": no leader known"
	}
	return fmt.Sprintf("%v: the leader is %s", ErrNotLeader, e.Leader)
}

// Is makes errors.Is(err, ErrNotLeader) true.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// MovedError is an ErrMoved that names the key.
type MovedError struct{ To string }

// Error implements error.
func (e *MovedError) Error() string { return fmt.Sprintf("%v: %.80q", ErrMoved, e.To) }

// Is makes errors.Is(err, ErrMoved) true.
func (e *MovedError) Is(target error) bool { return target == ErrMoved }

// remote is a sentinel that came over the wire with the text of the other side.
type remote struct {
	sentinel error
	text     string
	status   *status.Status
}

func (e *remote) Error() string              { return e.text }
func (e *remote) Unwrap() error              { return e.sentinel }
func (e *remote) GRPCStatus() *status.Status { return e.status }

// ToStatus converts an error to one that gRPC sends. Errors that match no sentinel and carry no status of their own
// become Internal.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	if row := rowOf(err); row != nil {
		info := &errdetails.ErrorInfo{Reason: row.reason, Domain: domain}
		if hint := (*NotLeaderError)(nil); errors.As(err, &hint) && hint.Leader != "" {
			info.Metadata = map[string]string{"leader": hint.Leader}
		}
		if moved := (*MovedError)(nil); errors.As(err, &moved) {
			info.Metadata = map[string]string{"to": moved.To}
		}
		details := []protoadapt.MessageV1{info}
		if pause := RetryIn(err); pause > 0 {
			details = append(details, protoadapt.MessageV1Of(retryInfo(pause)))
		}
		st, detailErr := status.New(row.code, err.Error()).WithDetails(details...)
		if detailErr != nil {
			return status.Error(row.code, err.Error())
		}
		return st.Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

// Reason returns the stable reason of an error, as clients of gRPC find it in the details; "DEADLINE_EXCEEDED" or "INTERNAL" for others.
func Reason(err error) string {
	if row := rowOf(err); row != nil {
		return row.reason
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "DEADLINE_EXCEEDED"
	}
	return "INTERNAL"
}

// Outcome returns what became of a call in a word for metrics and logs: "ok", or the reason of the error in small letters; for errors without one "canceled",
// "unavailable" or "internal". The words are few.
func Outcome(err error) string {
	if err == nil {
		return "ok"
	}
	reason := strings.ToLower(Reason(err))
	if reason != "internal" {
		return reason
	}
	switch code := status.Code(err); {
	case code == codes.Canceled, errors.Is(err, context.Canceled):
		return "canceled"
	case code == codes.Unavailable:
		return "unavailable"
	}
	return reason
}

// FromStatus converts an error that gRPC returned into one that matches its sentinel again.
func FromStatus(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range st.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.Domain != domain {
			continue
		}
		for _, row := range table {
			if row.reason != info.Reason {
				continue
			}
			switch {
			case errors.Is(row.err, ErrNotLeader):
				return &NotLeaderError{Leader: info.Metadata["leader"]}
			case errors.Is(row.err, ErrMoved) && info.Metadata["to"] != "":
				return &MovedError{To: info.Metadata["to"]}
			}
			sentinel := row.err
			switch {
			case errors.Is(row.err, ErrOverloaded):
				sentinel = &OverloadedError{RetryIn: retryIn(st.Details())}
			case errors.Is(row.err, ErrLimited):
				sentinel = &LimitedError{RetryIn: retryIn(st.Details())}
			}
			return &remote{sentinel: sentinel, text: st.Message(), status: st}
		}
	}
	switch st.Code() {
	case codes.Canceled:
		return fmt.Errorf("%w: %w", context.Canceled, err)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// passing are the conditions under which asking again may succeed.
var passing = []error{ErrNotLeader, ErrStaleEpoch, ErrNoReplica, ErrUnknownOutcome, ErrNotReady, ErrNoMajority, ErrNoLeader, ErrOverloaded, ErrDiskFull, ErrLimited, ErrJoining}

// Retryable reports whether asking again, perhaps another node, may succeed. Wait for RetryIn before.
func Retryable(err error) bool { return Answered(err) || status.Code(err) == codes.Unavailable }

// Answered reports whether a node said itself that asking again may succeed, so that there is one.
func Answered(err error) bool {
	return slices.ContainsFunc(passing, func(s error) bool { return errors.Is(err, s) })
}

// UnaryServer converts the errors of handlers.
func UnaryServer(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	return resp, ToStatus(err)
}

// StreamServer converts the errors of stream handlers.
func StreamServer(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return ToStatus(handler(srv, stream))
}

// UnaryClient converts the errors of calls.
func UnaryClient(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return FromStatus(invoker(ctx, method, req, reply, cc, opts...))
}

// StreamClient converts the errors of streams.
func StreamClient(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, FromStatus(err)
	}
	return &clientStream{s}, nil
}

type clientStream struct{ grpc.ClientStream }

// RecvMsg converts the error of the stream.
func (s *clientStream) RecvMsg(m any) error { return FromStatus(s.ClientStream.RecvMsg(m)) }
