package consensus

import (
	"io"
	"strings"

	"github.com/hashicorp/raft"
)

// transport is that of raft with five changes: it looks up members by id, names whom it calls, so that nobody else at that address
// answers (see Mux), has pipelines of its own, a leader's is silent while its disk stands still, and it counts what goes to whom.
type transport struct {
	*raft.NetworkTransport
	resolve func(nodeID string) (addr string, ok bool)
	calls   <-chan raft.RPC
	disk    *standstill

	followers *followers
}

var (
	_ raft.Transport   = transport{}
	_ raft.WithPreVote = transport{}
	_ raft.WithClose   = transport{}
)

// target returns what layer.Dial understands: the id of the member, and its address now, or else the one that it was added with.
func (t transport) target(id raft.ServerID, added raft.ServerAddress) raft.ServerAddress {
	if t.resolve != nil {
		if addr, ok := t.resolve(string(id)); ok {
			added = raft.ServerAddress(addr)
		}
	}
	return raft.ServerAddress(id) + "@" + added
}

// splitTarget takes apart what target made.
func splitTarget(target raft.ServerAddress) (member, addr string) {
	at := strings.LastIndexByte(string(target), '@')
	return string(target[:max(at, 0)]), string(target[at+1:])
}

// Consumer implements raft.Transport.
func (t transport) Consumer() <-chan raft.RPC { return t.calls }

// AppendEntriesPipeline implements raft.Transport.
func (t transport) AppendEntriesPipeline(id raft.ServerID, added raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, t.target(id, added))
	if err != nil {
		return nil, err
	}
	return newPipeline(p, t.disk, func() { t.followers.sent(id) }), nil
}

// AppendEntries implements raft.Transport. Heartbeats are sent by it, too.
func (t transport) AppendEntries(id raft.ServerID, added raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.disk.await(); err != nil {
		return err
	}
	err := t.NetworkTransport.AppendEntries(id, t.target(id, added), req, resp)
	if err == nil {
		t.followers.heard(id)
	}
	return err
}

// RequestVote implements raft.Transport.
func (t transport) RequestVote(id raft.ServerID, added raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, t.target(id, added), req, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t transport) RequestPreVote(
	id raft.ServerID, added raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	return t.NetworkTransport.RequestPreVote(id, t.target(id, added), req, resp)
}

// InstallSnapshot implements raft.Transport.
func (t transport) InstallSnapshot(
	id raft.ServerID, added raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	return t.NetworkTransport.InstallSnapshot(id, t.target(id, added), req, resp, data)
}

// TimeoutNow implements raft.Transport.
func (t transport) TimeoutNow(id raft.ServerID, added raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, t.target(id, added), req, resp)
}
