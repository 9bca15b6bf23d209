package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// infoTimeout bounds the question to each member: a status is most wanted when some do not answer.
const infoTimeout = time.Second

// Status implements kithv1.ClusterServiceServer.
func (a *API) Status(ctx context.Context, _ *kithv1.StatusRequest) (*kithv1.StatusResponse, error) {
	s := a.coordinator.State()
	leader, _ := a.coordinator.Leader()
	resp := &kithv1.StatusResponse{
		ClusterId: s.Cluster.GetClusterId(), Node: a.peers.Self(), Coordinator: leader, Epoch: s.Epoch,
		ActiveVersion: s.Active, ReplicationFactor: s.Cluster.GetReplicationFactor(),
		Moves: s.Moves,
	}
	for _, j := range slices.Backward(s.Jobs) {
		resp.Jobs = append(resp.Jobs, j.Job)
	}
	voters := map[string]bool{}
	for _, id := range a.coordinator.Voters() {
		voters[id] = true
	}
	alive := a.peers.Alive()
	for _, m := range s.Members {
		member := &kithv1.Member{
			Id: m.Id, GrpcAddr: m.GrpcAddr, RaftAddr: m.RaftAddr, Zone: m.Zone, Version: m.Version, Weight: m.Weight,
			State: kithv1.MemberState_MEMBER_STATE_DEAD, Voter: voters[m.Id], Coordinator: m.Id == leader,
			Intent: m.Intent,
		}
		if slices.Contains(alive, m.Id) {
			member.State = kithv1.MemberState_MEMBER_STATE_ALIVE
		}
		for _, nodes := range s.Replicas {
			if slices.Contains(nodes, m.Id) {
				member.Replicas++
			}
		}
		resp.Members = append(resp.Members, member)
	}
	resp.Partitions = a.partitions(ctx, s, alive)
	resp.Ready = leader != "" && s.Epoch > 0
	for _, p := range resp.Partitions {
		resp.Ready = resp.Ready && p.Leader != ""
	}
	return resp, nil
}

// SetIntent implements kithv1.ClusterServiceServer.
func (a *API) SetIntent(ctx context.Context, req *kithv1.SetIntentRequest) (*kithv1.SetIntentResponse, error) {
	if _, known := kithv1.MemberIntent_name[int32(req.Intent)]; !known {
		return nil, fmt.Errorf("%w: intent %d", wire.ErrInvalid, req.Intent)
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	_, err := a.coordinator.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetIntent{SetIntent: &kithv1.SetIntent{
		Id: req.Member, Intent: req.Intent,
	}}})
	return &kithv1.SetIntentResponse{}, err
}

// partitions asks all living members for their replicas. The leader's figures count; a replica that thinks that it leads
// may be wrong for a moment after a partition of the network, and then the one that has applied more counts.
func (a *API) partitions(ctx context.Context, s *coordinator.State, alive []string) []*kithv1.PartitionStatus {
	out := make([]*kithv1.PartitionStatus, len(s.Replicas))
	for p, nodes := range s.Replicas {
		out[p] = &kithv1.PartitionStatus{Partition: uint32(p), Replicas: nodes}
	}
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, id := range alive {
		wg.Go(func() {
			conn, err := a.peers.Conn(ctx, id)
			if err != nil {
				return // shown as without leader
			}
			info, err := kithv1.NewPartitionServiceClient(conn).Info(ctx, &kithv1.InfoRequest{})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range info.Replicas {
				if int(r.Partition) >= len(out) || !r.Leader {
					continue
				}
				if p := out[r.Partition]; p.Leader == "" || r.AppliedIndex > p.AppliedIndex {
					p.Leader, p.AppliedIndex, p.Events, p.Users = id, r.AppliedIndex, r.Events, r.Users
				}
			}
		})
	}
	wg.Wait()
	return out
}
