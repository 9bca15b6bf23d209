package client

import (
	"context"

	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Status is the cluster as a node sees it.
type Status struct {
	// ID is that of the cluster.
	ID string
	// Ready says that all partitions have leaders, so that all calls can be answered.
	Ready bool
	// Version is that of the active model; 0 for none.
	Version uint64
	Nodes   []Node
}

// Node is a member of the cluster.
type Node struct {
	ID   string
	Addr string
	// Alive says that it answers the others, Leaving that it is on its way out.
	Alive, Leaving bool
}

// Status asks how the cluster is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	resp, err := call(ctx, c, c.read("status", ""), func(ctx context.Context, conn *grpc.ClientConn) (*kithv1.StatusResponse, error) {
		return kithv1.NewClusterServiceClient(conn).Status(ctx, &kithv1.StatusRequest{})
	})
	if err != nil {
		return nil, err
	}
	s := &Status{ID: resp.ClusterId, Ready: resp.Ready, Version: resp.ActiveVersion}
	for _, m := range resp.Members {
		if m.State != kithv1.MemberState_MEMBER_STATE_LEFT {
			s.Nodes = append(s.Nodes, Node{
				ID: m.Id, Addr: m.GrpcAddr, Alive: m.State == kithv1.MemberState_MEMBER_STATE_ALIVE,
				Leaving: m.Intent == kithv1.MemberIntent_MEMBER_INTENT_LEAVE,
			})
		}
	}
	return s, nil
}

// members returns the addresses of the nodes to which calls may go, or an error if there is none.
func (c *Client) members(ctx context.Context) (addrs []string, err error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range s.Nodes {
		if n.Alive && !n.Leaving && n.Addr != "" {
			addrs = append(addrs, n.Addr)
		}
	}
	if len(addrs) == 0 {
		return nil, NotReady
	}
	return addrs, nil
}
