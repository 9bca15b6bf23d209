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
		Moves: s.Moves, MovesLeft: uint32(s.MovesLeft()), ErasurePublicKey: s.PublicKey(),
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
			Intent: m.Intent, Folder: m.Folder,
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
	infos := a.infos(ctx, alive)
	for _, m := range resp.Members {
		describe(m, infos[m.Id])
	}
	resp.Partitions = partitions(s, infos)
	if v := s.Version(s.Active); v != nil {
		resp.ActiveCreatedUnixMs = v.Version.CreatedUnixMs
	}
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

// answer is what a member said of itself, and when it did.
type answer struct {
	*kithv1.InfoResponse
	// at is the middle of the call, by the clock of this process.
	at time.Time
}

// infos asks all living members how they and their replicas are. Those that do not answer in time are left out.
func (a *API) infos(ctx context.Context, alive []string) map[string]answer {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	out := map[string]answer{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, id := range alive {
		wg.Go(func() {
			conn, err := a.peers.Conn(ctx, id)
			if err != nil {
				return // shown as one that does not answer
			}
			began := time.Now()
			info, err := kithv1.NewPartitionServiceClient(conn).Info(ctx, &kithv1.InfoRequest{})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = answer{info, began.Add(time.Since(began) / 2)}
		})
	}
	wg.Wait()
	return out
}

// describe adds to a member what it said of itself.
func describe(m *kithv1.Member, info answer) {
	if info.InfoResponse == nil {
		return
	}
	m.Answered = true
	m.StartedUnixMs, m.DataBytes = info.StartedUnixMs, info.DataBytes
	m.DiskTotalBytes, m.DiskFreeBytes = info.DiskTotalBytes, info.DiskFreeBytes
	if info.NowUnixMs != 0 { // a member of an earlier version does not tell
		m.ClockOffsetMs = info.NowUnixMs - info.at.UnixMilli()
	}
}

// partitions puts together what the members said of their replicas. The leader's figures count; a replica that thinks that
// it leads may be wrong for a moment after a partition of the network, and then the one that has applied more counts.
func partitions(s *coordinator.State, infos map[string]answer) []*kithv1.PartitionStatus {
	var cut []uint64
	if j := s.Job(s.Active); j != nil {
		cut = j.Cut
	}
	held := make([]map[string]*kithv1.ReplicaInfo, len(s.Replicas)) // by node
	for id, info := range infos {
		for _, r := range info.Replicas {
			if int64(r.Partition) >= int64(len(held)) {
				continue
			}
			if held[r.Partition] == nil {
				held[r.Partition] = map[string]*kithv1.ReplicaInfo{}
			}
			held[r.Partition][id] = r
		}
	}
	out := make([]*kithv1.PartitionStatus, len(s.Replicas))
	for p, nodes := range s.Replicas {
		status := &kithv1.PartitionStatus{Partition: uint32(p), Replicas: nodes}
		if p < len(cut) {
			status.ModelIndex = cut[p]
		}
		for id, r := range held[p] {
			if r.Leader && (status.Leader == "" || r.AppliedIndex > status.AppliedIndex) {
				status.Leader, status.AppliedIndex, status.Events, status.Users = id, r.AppliedIndex, r.Events, r.Users
				status.Products, status.Profiles, status.Erased = r.Products, r.Profiles, r.Erased
			}
		}
		for _, id := range nodes {
			replica := &kithv1.ReplicaStatus{Node: id}
			if r := held[p][id]; r != nil {
				replica.Answered, replica.AppliedIndex = true, r.AppliedIndex
				if r.AppliedIndex < status.AppliedIndex {
					replica.Lag = status.AppliedIndex - r.AppliedIndex
				}
			}
			status.ReplicaStatus = append(status.ReplicaStatus, replica)
		}
		out[p] = status
	}
	return out
}
