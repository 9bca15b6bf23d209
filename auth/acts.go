package auth

import (
	"errors"
	"strconv"

	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/audit"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// note takes note of a call that has ended, or was refused: it writes an act to the audit log, if it is one. A log that cannot be written is told of and
// does not undo what was done.
func (g *Guard) note(c *call, req any, err error) {
	if turnedAway(err) {
		g.cfg.Refused(wire.Reason(err))
	}
	if rule, _ := RuleOf(c.name); !rule.Audited {
		return
	}
	caller := c.caller
	if caller == nil {
		caller = &Caller{Kind: "unknown"}
	}
	entry := audit.Entry{
		Time: c.began.UTC(), Node: g.cfg.Node, Kind: caller.Kind, ID: caller.ID, Name: caller.Name, From: c.from, Act: c.name, What: arguments(req),
		Outcome: outcome(err), Seconds: g.cfg.Now().Sub(c.began).Seconds(),
	}
	g.mu.Lock()
	if turnedAway(err) && !g.refusals.Allow() {
		g.skipped++
		g.mu.Unlock()
		return
	}
	entry.Skipped, g.skipped = g.skipped, 0
	g.mu.Unlock()
	if err := g.cfg.Audit.Write(entry); err != nil {
		g.cfg.Log.Error("an administrative act is not in the audit log", "act", c.name, "kind", caller.Kind, "id", caller.ID, "err", err)
	}
}

// turnedAway reports whether the Guard refused the call.
func turnedAway(err error) bool {
	return errors.Is(err, wire.ErrUnauthenticated) || errors.Is(err, wire.ErrForbidden) || errors.Is(err, wire.ErrLimited)
}

func outcome(err error) string {
	if err == nil {
		return "OK"
	}
	if reason := wire.Reason(err); reason != "INTERNAL" {
		return reason
	}
	return status.Code(err).String()
}

// arguments returns what an act is about, without keys of users.
func arguments(req any) map[string]string {
	switch r := req.(type) {
	case *kithv1.SetIntentRequest:
		return map[string]string{"member": r.Member, "intent": r.Intent.String()}
	case *kithv1.SetScenesRequest:
		return map[string]string{
			"from_version": strconv.FormatUint(r.Set.GetVersion(), 10), "scenes": strconv.Itoa(len(r.Set.GetScenes())),
			"experiments": strconv.Itoa(len(r.Set.GetExperiments())),
		}
	case *kithv1.ActivateRequest:
		return map[string]string{"version": strconv.FormatUint(r.Version, 10)}
	case *kithv1.CancelRequest:
		return map[string]string{"job": strconv.FormatUint(r.Id, 10)}
	case *kithv1.BuildRequest:
		return map[string]string{"measure": r.GetSpec().GetMeasure(), "k": strconv.FormatUint(uint64(r.GetSpec().GetK()), 10)}
	case *kithv1.DeleteRecordsRequest:
		return map[string]string{"kind": r.Kind.String(), "keys": strconv.Itoa(len(r.Keys))}
	case *kithv1.DeleteRecordRequest:
		return map[string]string{"kind": r.Kind.String(), "keys": "1"}
	}
	return nil
}
