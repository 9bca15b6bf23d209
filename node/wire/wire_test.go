package wire_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

func TestSentinelsCrossTheWire(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code codes.Code
	}{
		{wire.ErrNotLeader, codes.Unavailable},
		{wire.ErrStaleEpoch, codes.Unavailable},
		{wire.ErrNoReplica, codes.Unavailable},
		{wire.ErrUnknownOutcome, codes.Unavailable},
		{wire.ErrNotReady, codes.Unavailable},
		{wire.ErrUnknownUser, codes.NotFound},
		{wire.ErrUnknownItem, codes.NotFound},
		{wire.ErrUnknownRecord, codes.NotFound},
		{wire.ErrNoModel, codes.FailedPrecondition},
		{wire.ErrUnknownVersion, codes.NotFound},
		{wire.ErrUnknownJob, codes.NotFound},
		{wire.ErrJobRunning, codes.FailedPrecondition},
		{wire.ErrBuildLost, codes.Aborted},
		{similarity.ErrNotFollowed, codes.FailedPrecondition},
		{wire.ErrUnknownScene, codes.NotFound},
		{wire.ErrUnknownExperiment, codes.NotFound},
		{wire.ErrScenesChanged, codes.FailedPrecondition},
		{wire.ErrInvalid, codes.InvalidArgument},
		{wire.ErrCorrupt, codes.DataLoss},
		{wire.ErrOverloaded, codes.ResourceExhausted},
		{wire.ErrDiskFull, codes.ResourceExhausted},
		{wire.ErrLimited, codes.ResourceExhausted},
		{wire.ErrUnauthenticated, codes.Unauthenticated},
		{wire.ErrForbidden, codes.PermissionDenied},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
	} {
		wrapped := fmt.Errorf("recommend for u1: %w", tt.err)
		sent := wire.ToStatus(wrapped)
		if got := status.Code(sent); got != tt.code {
			t.Errorf("code of %v: got %v, want %v", tt.err, got, tt.code)
		}
		// What arrives has no Go error in it, only the status.
		got := wire.FromStatus(status.FromProto(status.Convert(sent).Proto()).Err())
		if !errors.Is(got, tt.err) {
			t.Errorf("%v arrived as %v", tt.err, got)
		}
		// A node that hands an error on keeps its meaning.
		if again := wire.FromStatus(wire.ToStatus(got)); !errors.Is(again, tt.err) {
			t.Errorf("%v arrived over two hops as %v", tt.err, again)
		}
	}
	if got := status.Code(wire.ToStatus(errors.New("boom"))); got != codes.Internal {
		t.Errorf("unknown error: got code %v, want Internal", got)
	}
	if wire.ToStatus(nil) != nil || wire.FromStatus(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestLeaderHintCrossesTheWire(t *testing.T) {
	err := wire.FromStatus(wire.ToStatus(fmt.Errorf("append: %w", &wire.NotLeaderError{Leader: "n2"})))
	hint := (*wire.NotLeaderError)(nil)
	if !errors.As(err, &hint) || hint.Leader != "n2" {
		t.Fatalf("got %v, want a hint to n2", err)
	}
}

func TestRetryHintCrossesTheWire(t *testing.T) {
	err := fmt.Errorf("append: %w", &wire.OverloadedError{RetryIn: 250 * time.Millisecond})
	for hop := range 3 {
		if got := wire.RetryIn(err); got != 250*time.Millisecond || !errors.Is(err, wire.ErrOverloaded) || !wire.Retryable(err) {
			t.Fatalf("after %d hops: got %v with a hint of %v, want ErrOverloaded with one of 250ms", hop, err, got)
		}
		sent := status.Convert(wire.ToStatus(err))
		if !slices.ContainsFunc(sent.Details(), func(d any) bool {
			info, ok := d.(*errdetails.RetryInfo)
			return ok && info.RetryDelay.AsDuration() == 250*time.Millisecond
		}) {
			t.Fatalf("after %d hops: details are %v, want google.rpc.RetryInfo with 250ms", hop, sent.Details())
		}
		err = wire.FromStatus(status.FromProto(sent.Proto()).Err())
	}
	limited := wire.FromStatus(wire.ToStatus(&wire.LimitedError{RetryIn: time.Second}))
	if got := wire.RetryIn(limited); got != time.Second || !errors.Is(limited, wire.ErrLimited) || errors.Is(limited, wire.ErrOverloaded) || !wire.Retryable(limited) {
		t.Errorf("too many calls arrived as %v with a hint of %v", limited, got)
	}
	if got := wire.RetryIn(wire.ErrNotReady); got != 0 {
		t.Errorf("hint of another error: got %v, want 0", got)
	}
}

func TestEventsRoundTrip(t *testing.T) {
	events := []fusion.Event{
		{ID: "1", User: "u", Item: "i", Behavior: fusion.Rating, Value: 0, Time: 5},
		{User: "u", Item: "j", Behavior: fusion.View, Value: 2.5, Context: map[string]string{"page": "7"}},
	}
	if d := cmp.Diff(events, wire.EventsFromProto(wire.EventsToProto(events))); d != "" {
		t.Error(d)
	}
	if got := wire.EventFromProto(&kithv1.Event{User: "u", Item: "i", Behavior: "view"}); got.Value != 1 {
		t.Errorf("unset value: got %v, want 1", got.Value)
	}
	if bad := wire.EventsFromProto([]*kithv1.Event{nil}); bad[0].Validate() == nil {
		t.Error("a nil message became a valid event")
	}
}

func TestOutcome(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "ok"},
		{&wire.NotLeaderError{Leader: "b"}, "not_leader"},
		{fmt.Errorf("partition 3: %w", wire.ErrStaleEpoch), "stale_epoch"},
		{wire.FromStatus(wire.ToStatus(fmt.Errorf("%w %q", wire.ErrUnknownUser, "anna"))), "unknown_user"},
		{fmt.Errorf("call: %w", context.DeadlineExceeded), "deadline_exceeded"},
		{wire.FromStatus(status.Error(codes.DeadlineExceeded, "late")), "deadline_exceeded"},
		{fmt.Errorf("call: %w", context.Canceled), "canceled"},
		{status.Error(codes.Canceled, "gone"), "canceled"},
		{fmt.Errorf("node b: %w", status.Error(codes.Unavailable, "connection refused to 10.0.0.7")), "unavailable"},
		{status.Error(codes.Internal, "of user anna"), "internal"},
		{errors.New("of user anna"), "internal"},
	} {
		if got := wire.Outcome(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestModels(t *testing.T) {
	for text, want := range map[string]string{
		"als": "als", " als ": "als", "als( factors = 64 )": "als(factors=64)", "als:als": "als", "big:als(b=2,a=x)": "big:als(a=x,b=2)",
	} {
		specs, err := wire.ParseModels([]string{text})
		if err != nil || len(specs) != 1 || wire.ModelText(specs[0]) != want {
			t.Errorf("%q: got %v, %v; want %s", text, specs, err, want)
		}
	}
	for _, text := range []string{"", ":als", "als(", "als(x)", "x:", "(a=1)"} {
		if specs, err := wire.ParseModels([]string{text}); err == nil {
			t.Errorf("%q: got %v, want an error", text, specs)
		}
	}
}
