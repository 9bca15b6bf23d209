package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) partitionsCommand() *cobra.Command {
	return a.lookCommand(&cobra.Command{
		Use:   "partitions",
		Short: "List the partitions: leaders, events, replicas and how far they lag",
		Long: `List the partitions with their leaders, what they hold, and their replicas. A replica that has
not applied all that its leader has is so many entries of the log behind; a few are usual
while events come in.`,
		Example: "  kith cluster partitions",
	}, func(s *kithv1.StatusResponse) error {
		if a.json() {
			return a.printJSON(map[string]any{"partitions": statusView(s).Partitions})
		}
		return a.printPartitions(s)
	})
}

func (a *app) printPartitions(s *kithv1.StatusResponse) error {
	if len(s.Partitions) == 0 {
		return a.printf("No partitions yet; the cluster is still forming.\n")
	}
	var rows [][]any
	for _, p := range s.Partitions {
		var replicas []string
		for _, r := range p.ReplicaStatus {
			replicas = append(replicas, replicaText(r))
		}
		leader := p.Leader
		if leader == "" {
			leader = "none"
		}
		rows = append(rows, []any{p.Partition, leader, count(p.Events), count(p.Users), count(p.AppliedIndex), strings.Join(replicas, ", ")})
	}
	return a.printTable("", columns{">partition", "leader", ">events", ">users", ">index", "replicas"}, rows)
}

// replicaText names a replica and what is wrong with it.
func replicaText(r *kithv1.ReplicaStatus) string {
	switch {
	case !r.Answered:
		return r.Node + " (no answer)"
	case r.Lag > 0:
		return fmt.Sprintf("%s (%s behind)", r.Node, count(r.Lag))
	}
	return r.Node
}

// uptime returns how long a member has been running, by its own clock.
func uptime(m *kithv1.Member) time.Duration {
	if m.StartedUnixMs == 0 {
		return 0
	}
	now := time.Now().Add(time.Duration(m.ClockOffsetMs) * time.Millisecond)
	return max(0, now.Sub(time.UnixMilli(m.StartedUnixMs))).Truncate(time.Second)
}

// memberFigures are the columns of a member that only it can tell: uptime, size of its data, free space.
func memberFigures(m *kithv1.Member) []any {
	if !m.Answered {
		return []any{"", "", ""}
	}
	free := ""
	if m.DiskTotalBytes > 0 {
		free = fmt.Sprintf("%s of %s", size(m.DiskFreeBytes), size(m.DiskTotalBytes))
	}
	return []any{uptime(m).String(), size(m.DataBytes), free}
}
