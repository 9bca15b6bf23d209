package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// statusPause is the pause between two looks at how a member empties.
	statusPause = 300 * time.Millisecond
	// moveTimeout is the usual time to wait for the replicas of a member to go elsewhere.
	moveTimeout = 10 * time.Minute
)

func (a *app) leaveCommand() *cobra.Command {
	return a.intentCommand("leave", kithv1.MemberIntent_MEMBER_INTENT_LEAVE, "Take a server out of the cluster for good", `Take a server out of the cluster for good. Its replicas and its vote go to the others, while
events and queries go on; then it is forgotten and its process stops. Its data folder cannot
be used to join again. With fewer servers than replicas are wanted, each partition has one
replica less from then on.`)
}

func (a *app) drainCommand() *cobra.Command {
	return a.intentCommand("drain", kithv1.MemberIntent_MEMBER_INTENT_DRAIN, "Move the data of a server elsewhere", `Move the replicas and the vote of a server elsewhere. It remains a member, answers calls, and
computes for builds; with --off it gets replicas again. A server that is only restarted need
not be drained.`)
}

func (a *app) intentCommand(use string, intent kithv1.MemberIntent, short, long string) *cobra.Command {
	var r remote
	var wait, off bool
	cmd := &cobra.Command{
		Use:     use + " MEMBER",
		Short:   short,
		Long:    long,
		Example: "  kith cluster members\n  kith cluster " + use + " 3f9a2c71d05b88e4 --wait",
		Args:    oneArg("the id of a member; 'kith cluster members' lists them"),
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			req := &kithv1.SetIntentRequest{Member: args[0], Intent: intent}
			if off {
				req.Intent = kithv1.MemberIntent_MEMBER_INTENT_UNSPECIFIED
			}
			err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := kithv1.NewClusterServiceClient(conn).SetIntent(ctx, req)
				return err
			})
			if err != nil {
				return err
			}
			m := &kithv1.Member{Id: args[0], Intent: req.Intent}
			if wait && !off {
				if m, err = a.emptied(ctx, c, m); err != nil {
					return err
				}
			}
			return a.printIntent(m)
		}),
	}
	r.register(cmd, moveTimeout)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it holds nothing")
	if intent == kithv1.MemberIntent_MEMBER_INTENT_DRAIN {
		cmd.Flags().BoolVar(&off, "off", false, "take it into use again")
	}
	return cmd
}

// emptied waits until a member holds nothing, or has left. It returns what the member is then.
func (a *app) emptied(ctx context.Context, c *client, m *kithv1.Member) (*kithv1.Member, error) {
	now := m
	_, err := a.untilMoved(ctx, c, "member "+m.Id, func(s *kithv1.StatusResponse) (left int, done bool) {
		now = &kithv1.Member{Id: m.Id, Intent: m.Intent, State: kithv1.MemberState_MEMBER_STATE_LEFT}
		for _, x := range s.Members {
			if x.Id == m.Id {
				now = x
			}
		}
		drained := m.Intent == kithv1.MemberIntent_MEMBER_INTENT_DRAIN && now.Replicas == 0 && !now.Voter && !losing(s, m.Id)
		return int(now.Replicas), now.State == kithv1.MemberState_MEMBER_STATE_LEFT || drained
	})
	return now, err
}

// untilMoved looks at the cluster until done, and shows how many replicas are left to move. It returns how many moved meanwhile.
func (a *app) untilMoved(ctx context.Context, c *client, what string, look func(*kithv1.StatusResponse) (left int, done bool)) (moved int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	c.patient() // the server that is asked may be the one that leaves
	p := a.progress(what)
	defer p.end()
	left, most := 0, 0
	for {
		s, err := c.status(ctx)
		if err != nil {
			return 0, err
		}
		if s.Epoch > 0 && s.Coordinator != "" { // a server that starts knows nobody yet
			var done bool
			if left, done = look(s); done {
				return most, nil
			}
			most = max(most, left)
			p.set("moves replicas", int64(most-left), int64(most))
		}
		select {
		case <-time.After(statusPause):
		case <-ctx.Done():
			return 0, fmt.Errorf("%s: %s still to be moved after %v; the cluster goes on, see 'kith status'", what, plural(left, "replica is", "replicas are"), c.timeout)
		}
	}
}

// losing reports whether a move that concerns a member is under way.
func losing(s *kithv1.StatusResponse, member string) bool {
	for _, m := range s.Moves {
		if m.Remove == member {
			return true
		}
	}
	return false
}

func (a *app) printIntent(m *kithv1.Member) error {
	if a.json() {
		return a.printJSON(map[string]any{"member": m.Id, "state": memberState(m), "replicas": m.Replicas})
	}
	text := "will lose its replicas; 'kith status' shows how far it is"
	switch {
	case m.State == kithv1.MemberState_MEMBER_STATE_LEFT:
		text = "has left the cluster"
	case m.State != kithv1.MemberState_MEMBER_STATE_UNSPECIFIED:
		text = "holds nothing any more"
	case m.Intent == kithv1.MemberIntent_MEMBER_INTENT_UNSPECIFIED:
		text = "is in use again"
	}
	return a.printf("%s %s.\n", m.Id, text)
}

// memberState says in a word how a member is.
func memberState(m *kithv1.Member) string {
	if m.State == kithv1.MemberState_MEMBER_STATE_ALIVE || m.State == kithv1.MemberState_MEMBER_STATE_UNSPECIFIED {
		switch m.Intent {
		case kithv1.MemberIntent_MEMBER_INTENT_DRAIN:
			return "draining"
		case kithv1.MemberIntent_MEMBER_INTENT_LEAVE:
			return "leaving"
		}
	}
	if m.State == kithv1.MemberState_MEMBER_STATE_UNSPECIFIED {
		return "alive"
	}
	return stateName(m.State)
}

// movesText says which replicas are on their way.
func movesText(s *kithv1.StatusResponse) string {
	text := ""
	for i, m := range s.Moves {
		if i > 0 {
			text += "; "
		}
		switch {
		case m.Add == "":
			text += fmt.Sprintf("%d off %s", m.Partition, m.Remove)
		case m.Remove == "":
			text += fmt.Sprintf("%d also to %s", m.Partition, m.Add)
		default:
			text += fmt.Sprintf("%d from %s to %s", m.Partition, m.Remove, m.Add)
		}
	}
	switch {
	case s.MovesLeft == 0:
		return text
	case text == "":
		return fmt.Sprintf("%d wait", s.MovesLeft)
	}
	return fmt.Sprintf("%s; %d more", text, s.MovesLeft)
}
