package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/erasure"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) clusterCommand() *cobra.Command {
	cmd := a.statusCommand("cluster")
	cmd.Short = "Show, change, back up and restore the cluster"
	cmd.Example = "  kith cluster status\n  kith cluster members\n  kith cluster leave 3f9a2c71d05b88e4 --wait\n  kith cluster backup shop.kith"
	cmd.AddCommand(a.statusCommand("status"), a.membersCommand(), a.partitionsCommand(), a.leaveCommand(), a.drainCommand(), a.rebalanceCommand())
	cmd.AddCommand(a.backupCommand(), a.verifyCommand(), a.restoreCommand())
	return cmd
}

func (a *app) statusCommand(use string) *cobra.Command {
	return a.lookCommand(&cobra.Command{
		Use:     use,
		Short:   "Show how the cluster is: members, partitions, builds",
		Example: "  kith status\n  kith status -o json",
	}, a.printStatus)
}

func (a *app) membersCommand() *cobra.Command {
	return a.lookCommand(&cobra.Command{
		Use:     "members",
		Short:   "List the members of the cluster",
		Example: "  kith cluster members",
	}, func(s *kithv1.StatusResponse) error {
		if a.json() {
			return a.printJSON(map[string]any{"members": statusView(s).Members})
		}
		return a.printMembers(s)
	})
}

// lookCommand makes a command that asks for the status of the cluster and shows something of it.
func (a *app) lookCommand(cmd *cobra.Command, show func(*kithv1.StatusResponse) error) *cobra.Command {
	var r remote
	cmd.Args = noArgs
	cmd.RunE = a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
		s, err := c.status(ctx)
		if err != nil {
			return err
		}
		return show(s)
	})
	r.register(cmd, queryTimeout)
	return cmd
}

func (c *client) status(ctx context.Context) (resp *kithv1.StatusResponse, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewClusterServiceClient(conn).Status(ctx, &kithv1.StatusRequest{})
		return err
	})
	return resp, err
}

// The forms in which the state of a cluster is printed as JSON.
type (
	jsonMember struct {
		ID          string  `json:"id"`
		State       string  `json:"state"`
		Coordinator bool    `json:"coordinator"`
		Voter       bool    `json:"voter"`
		Replicas    uint32  `json:"replicas"`
		GRPCAddr    string  `json:"grpc_addr"`
		RaftAddr    string  `json:"raft_addr"`
		Zone        string  `json:"zone"`
		Weight      float64 `json:"weight"`
		Version     string  `json:"version"`
		Folder      string  `json:"folder,omitempty"`
		// What follows is known of members that answer.
		Answered      bool    `json:"answered"`
		Started       string  `json:"started,omitempty"`
		UptimeSeconds float64 `json:"uptime_seconds,omitempty"`
		DataBytes     uint64  `json:"data_bytes,omitempty"`
		DiskFree      uint64  `json:"disk_free_bytes,omitempty"`
		DiskTotal     uint64  `json:"disk_total_bytes,omitempty"`
		ClockOffsetMs int64   `json:"clock_offset_ms,omitempty"`
	}
	jsonReplica struct {
		Node     string `json:"node"`
		Answered bool   `json:"answered"`
		Index    uint64 `json:"applied_index"`
		Lag      uint64 `json:"lag"`
	}
	jsonPartition struct {
		Partition uint32   `json:"partition"`
		Replicas  []string `json:"replicas"`
		Leader    string   `json:"leader"`
		Index     uint64   `json:"applied_index"`
		Events    uint64   `json:"events"`
		Users     uint64   `json:"users"`
		// ReplicaStatus has the replicas in the same order.
		ReplicaStatus []jsonReplica `json:"replica_status"`
	}
	jsonStatus struct {
		ClusterID     string          `json:"cluster_id"`
		Node          string          `json:"node"`
		Coordinator   string          `json:"coordinator"`
		Ready         bool            `json:"ready"`
		Epoch         uint64          `json:"epoch"`
		ActiveVersion uint64          `json:"active_version"`
		Replication   uint32          `json:"replication"`
		Events        uint64          `json:"events"`
		Users         uint64          `json:"users"`
		Products      uint64          `json:"products"`
		Profiles      uint64          `json:"profiles"`
		Erased        uint64          `json:"erased_users"`
		PublicKey     string          `json:"erasure_public_key,omitempty"`
		Members       []jsonMember    `json:"members"`
		Partitions    []jsonPartition `json:"partitions"`
		Jobs          []jsonJob       `json:"jobs"`
		Moves         []jsonMove      `json:"moves"`
		MovesLeft     uint32          `json:"moves_left"`
	}
	jsonMove struct {
		Partition uint32 `json:"partition"`
		Add       string `json:"add,omitempty"`
		Remove    string `json:"remove,omitempty"`
		Switched  bool   `json:"switched"`
	}
)

func statusView(s *kithv1.StatusResponse) jsonStatus {
	out := jsonStatus{
		ClusterID: s.ClusterId, Node: s.Node, Coordinator: s.Coordinator, Ready: s.Ready, Epoch: s.Epoch,
		ActiveVersion: s.ActiveVersion, Replication: s.ReplicationFactor,
		Members: []jsonMember{}, Partitions: []jsonPartition{}, Jobs: []jsonJob{}, Moves: []jsonMove{}, MovesLeft: s.MovesLeft,
	}
	if len(s.ErasurePublicKey) > 0 {
		out.PublicKey = erasure.EncodeKey(s.ErasurePublicKey)
	}
	for _, m := range s.Members {
		out.Members = append(out.Members, jsonMember{
			ID: m.Id, State: memberState(m), Coordinator: m.Coordinator, Voter: m.Voter, Replicas: m.Replicas,
			GRPCAddr: m.GrpcAddr, RaftAddr: m.RaftAddr, Zone: m.Zone, Weight: m.Weight, Version: m.Version, Folder: m.Folder,
			Answered: m.Answered, Started: timeOf(m.StartedUnixMs), UptimeSeconds: uptime(m).Seconds(),
			DataBytes: m.DataBytes, DiskFree: m.DiskFreeBytes, DiskTotal: m.DiskTotalBytes, ClockOffsetMs: m.ClockOffsetMs,
		})
	}
	for _, p := range s.Partitions {
		view := jsonPartition{
			Partition: p.Partition, Replicas: p.Replicas, Leader: p.Leader, Index: p.AppliedIndex, Events: p.Events, Users: p.Users,
			ReplicaStatus: []jsonReplica{},
		}
		for _, r := range p.ReplicaStatus {
			view.ReplicaStatus = append(view.ReplicaStatus, jsonReplica{r.Node, r.Answered, r.AppliedIndex, r.Lag})
		}
		out.Partitions = append(out.Partitions, view)
		out.Events += p.Events
		out.Users += p.Users
		out.Products += p.Products
		out.Profiles += p.Profiles
		out.Erased += p.Erased
	}
	for _, j := range s.Jobs {
		out.Jobs = append(out.Jobs, jobView(j))
	}
	for _, m := range s.Moves {
		out.Moves = append(out.Moves, jsonMove{m.Partition, m.Add, m.Remove, m.Switched})
	}
	return out
}

func stateName(s kithv1.MemberState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "MEMBER_STATE_"))
}

func (a *app) printStatus(s *kithv1.StatusResponse) error {
	view := statusView(s)
	if a.json() {
		return a.printJSON(view)
	}
	state := "ready"
	if !s.Ready {
		state = "not ready"
	}
	orNone := func(x string) string {
		if x == "" {
			return "none"
		}
		return x
	}
	version := "none; build one with 'kith build --wait'"
	if s.ActiveVersion > 0 {
		version = fmt.Sprint(s.ActiveVersion)
	}
	facts := [][2]string{
		{"cluster", orNone(s.ClusterId) + ", " + state},
		{"coordinator", orNone(s.Coordinator)},
		{"model", version},
		{"data", fmt.Sprintf("%s, %s", plural(view.Events, "event", "events"), plural(view.Users, "user", "users"))},
		{"partitions", partitionsText(s)},
	}
	if view.Products > 0 || view.Profiles > 0 || view.Erased > 0 {
		facts = slices.Insert(facts, 4, [2]string{"catalog", fmt.Sprintf("%s, %s; %s erased",
			plural(view.Products, "product", "products"), plural(view.Profiles, "profile", "profiles"), plural(view.Erased, "user", "users"))})
	}
	for _, j := range s.Jobs {
		if !coordinator.Ended(j) {
			again := ""
			if n := len(j.EarlierIds); n > 0 {
				again = ", begun again " + plural(uint64(n), "time", "times")
			}
			facts = append(facts, [2]string{"build", fmt.Sprintf("%d: %s, %d of %d tasks%s", j.Id, phaseName(j.Phase), j.TasksDone, j.TasksTotal, again)})
		}
	}
	if len(s.Moves) > 0 || s.MovesLeft > 0 {
		facts = append(facts, [2]string{"moves", movesText(s)})
	}
	if err := a.printFacts(facts); err != nil {
		return err
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printMembers(s)
}

// partitionsText says how many partitions there are and which of them cannot take events.
func partitionsText(s *kithv1.StatusResponse) string {
	var headless []string
	for _, p := range s.Partitions {
		if p.Leader == "" {
			headless = append(headless, fmt.Sprint(p.Partition))
		}
	}
	text := fmt.Sprintf("%d, each on %s", len(s.Partitions), replicasText(s))
	if len(headless) > 0 {
		text += "; without a leader: " + strings.Join(headless, ", ")
	}
	return text
}

// replicasText says on how many nodes partitions are, and on how many they should be.
func replicasText(s *kithv1.StatusResponse) string {
	if len(s.Partitions) == 0 {
		return plural(s.ReplicationFactor, "node", "nodes")
	}
	least, most := len(s.Partitions[0].Replicas), 0
	for _, p := range s.Partitions {
		least, most = min(least, len(p.Replicas)), max(most, len(p.Replicas))
	}
	text := plural(most, "node", "nodes")
	if least < most {
		text = fmt.Sprintf("%d to %s", least, text)
	}
	if least < int(s.ReplicationFactor) {
		text += fmt.Sprintf(" (%d with more members)", s.ReplicationFactor)
	}
	return text
}

func (a *app) printMembers(s *kithv1.StatusResponse) error {
	if len(s.Members) == 0 {
		return a.printf("No members yet; the cluster is still forming.\n")
	}
	var rows [][]any
	for _, m := range s.Members {
		role := "member"
		switch {
		case m.Coordinator:
			role = "coordinator"
		case m.Voter:
			role = "voter"
		}
		row := []any{m.Id, memberState(m), role, m.Replicas, m.GrpcAddr, m.Zone, m.Version}
		rows = append(rows, append(row, memberFigures(m)...))
	}
	return a.printTable("", columns{"member", "state", "role", ">replicas", "address", "zone", "version", ">uptime", ">data", ">disk free"}, rows)
}
