package coordinator

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Approver answers a server that wants to bootstrap a cluster with some voters.
type Approver func(ctx context.Context, proposer string, voters []string) error

// Register adds the internal service of the control group to a server.
func (c *Coordinator) Register(r grpc.ServiceRegistrar, approve Approver) {
	kithv1.RegisterControlServiceServer(r, &service{c: c, approve: approve})
}

type service struct {
	kithv1.UnimplementedControlServiceServer
	c       *Coordinator
	approve Approver
}

// Propose implements kithv1.ControlServiceServer: only the leader accepts.
func (s *service) Propose(ctx context.Context, req *kithv1.ProposeRequest) (*kithv1.ProposeResponse, error) {
	index, id, err := s.c.propose(ctx, req.Command)
	if err != nil {
		return nil, err
	}
	return &kithv1.ProposeResponse{Index: index, Id: id}, nil
}

// ReadIndex implements kithv1.ControlServiceServer: only the leader answers.
func (s *service) ReadIndex(ctx context.Context, _ *kithv1.ReadIndexRequest) (*kithv1.ReadIndexResponse, error) {
	index, err := s.c.group.ReadIndex(ctx)
	if err != nil {
		return nil, s.c.convert(err)
	}
	return &kithv1.ReadIndexResponse{Index: index}, nil
}

// Standing implements kithv1.ControlServiceServer.
func (s *service) Standing(ctx context.Context, req *kithv1.StandingRequest) (*kithv1.StandingResponse, error) {
	if err := s.c.Confirm(ctx); err != nil {
		return nil, err
	}
	state := s.c.State()
	own := state.Cluster.GetClusterId()
	switch {
	case own == "":
		return nil, fmt.Errorf("%w: it has not been made yet", wire.ErrNotReady)
	case req.ClusterId != "" && req.ClusterId != own:
		return nil, fmt.Errorf("%w: server %s is of cluster %s, this one of %s", wire.ErrInvalid, req.Id, req.ClusterId, own)
	}
	if err := upgrade([]*kithv1.MemberRecord{{Id: req.Id, Level: req.Level}}, state.Level, "cluster "+own); err != nil {
		return nil, err // in the place of a standing, as programs of before levels take one that they do not know for a good one
	}
	return &kithv1.StandingResponse{Standing: state.standing(req.Id, req.Folder)}, nil
}

// Approve implements kithv1.ControlServiceServer.
func (s *service) Approve(ctx context.Context, req *kithv1.ApproveRequest) (*kithv1.ApproveResponse, error) {
	return &kithv1.ApproveResponse{}, s.approve(ctx, req.Proposer, req.Voters)
}
