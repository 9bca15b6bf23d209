package coordinator

import (
	"context"

	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// mostHandovers is how many leaders change at one look: in each change the partition takes no events for a moment.
	mostHandovers = 4
	// handoverLag is how many entries the next leader may be behind: raft gives up a change that takes longer than an election.
	handoverLag = 1000
)

// evenLeaders brings leaders of partitions to where fewer are, while nothing else goes on. Elections do not look at that, so after restarts
// one member may lead most partitions, and do most of the work of events and reads. It looks once in SteadyAfter.
func (p *placement) evenLeaders(ctx context.Context) {
	s := p.State()
	if p.cfg.Now().Sub(p.evened) < p.cfg.SteadyAfter || !s.Formed || len(s.Moves) > 0 || s.Running() != nil {
		return
	}
	p.evened = p.cfg.Now()
	var members []string
	for _, m := range s.Members {
		if !p.watch.steady(m.Id, p.cfg.SteadyAfter) {
			return // it may come back, and catches up first
		}
		members = append(members, m.Id)
	}
	infos := p.infos(ctx, members)
	if len(infos) < len(members) {
		return
	}
	able := func(id string) bool { return infos[id] != nil && Stays(s.Member(id)) && !infos[id].DiskFull }
	leaders := make([]string, len(s.Replicas))
	applied := map[string]map[uint32]uint64{}
	for id, info := range infos {
		applied[id] = map[uint32]uint64{}
		for _, r := range info.Replicas {
			applied[id][r.Partition] = r.AppliedIndex
			if r.Leader && int(r.Partition) < len(leaders) {
				leaders[r.Partition] = id
			}
		}
	}
	for range mostHandovers {
		h, ok := partition.NextHandover(s.Replicas, leaders, able)
		if of := uint32(h.Partition); !ok || applied[h.To][of]+handoverLag < applied[h.From][of] {
			return
		}
		if err := p.handOver(ctx, h); err != nil {
			p.cfg.Logger.Info("leader of a partition stays where it is", "partition", h.Partition, "node", h.From, "err", err)
			return
		}
		p.cfg.Logger.Info("evened out the leaders of partitions", "partition", h.Partition, "from", h.From, "to", h.To)
		leaders[h.Partition] = h.To
	}
}

func (p *placement) handOver(ctx context.Context, h partition.Handover) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := p.peers.Conn(ctx, h.From)
	if err != nil {
		return err
	}
	_, err = kithv1.NewPartitionServiceClient(conn).TransferLeader(ctx, &kithv1.TransferLeaderRequest{Partition: uint32(h.Partition), To: h.To})
	return err
}
