package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// leaderPause is how often the coordinator compares what is with what should be, besides at every change that it hears
// of.
const leaderPause = time.Second

// passTimeout bounds one such look: a decision that cannot be made must not hold up the notice that another leads.
const passTimeout = 15 * time.Second

// Config of a Coordinator. All fields but Models are required.
type Config struct {
	// Partitions, Replication and Expect are used once, when the cluster is made: the number of partitions, the replicas of
	// each, and the number of members that must be there before partitions are placed.
	Partitions, Replication, Expect int
	// DeadAfter is how long a member may not answer before its replicas go elsewhere and it is forgotten; SteadyAfter how long a new one
	// must have answered before it gets replicas and votes.
	DeadAfter, SteadyAfter time.Duration
	// StallAfter is how long a build may come no further before it is given up where moves of replicas wait for its end, or a partition
	// has lost its majority.
	StallAfter time.Duration
	// RankingBytes bounds what is kept in memory of rankings for users, so that queries need not make them of events again. It changes only speed; 0 keeps none.
	RankingBytes int64
	// BuildEvery is how often a model is built without being asked for, when events have come; 0 means never.
	BuildEvery time.Duration
	// Kinds are the kinds of models that builds can train, and Models those of the builds that were not asked for; none means those of the active version.
	Kinds  []*train.Kind
	Models []*kithv1.ModelSpec
	// NewID returns an id that is unique: for the cluster and for requests.
	NewID  func() string
	Now    func() time.Time
	Logger *slog.Logger
}

// Coordinator is this process's part in the control group: it knows the state, brings proposals to the leader, and does
// the coordinator's work while this process leads.
type Coordinator struct {
	*Control
	cfg    Config
	router *Router
	// tables has room for the passes over all events that this process drives.
	tables *semaphore.Weighted
	// buildTimes are those of the builds that this process drove to their end.
	buildTimes *prometheus.HistogramVec
	// restarts are the builds that this process made begin again.
	restarts prometheus.Counter
}

// New returns a Coordinator for a process whose node is local.
func New(cfg Config, control *Control, local Local) *Coordinator {
	c := &Coordinator{Control: control, cfg: cfg, tables: semaphore.NewWeighted(tablePasses), buildTimes: newBuildTimes(), restarts: newRestarts()}
	c.router = NewRouter(c, control.peers, local, cfg.Now)
	c.router.rankings = newRankings(cfg.RankingBytes)
	return c
}

var _ Log = (*Coordinator)(nil)

// Router returns the router of this process.
func (c *Coordinator) Router() *Router { return c.router }

// Leader returns the node id of the coordinator of the cluster.
func (c *Coordinator) Leader() (string, bool) { return c.group.Leader() }

// Propose implements Log from any node: it brings the command to the leader, and waits until this process has applied it
// too, so that the caller sees what it did.
func (c *Coordinator) Propose(ctx context.Context, cmd *kithv1.ControlCommand) (uint64, error) {
	pause := firstPause
	for {
		id, err := c.proposeOnce(ctx, cmd)
		if err == nil || !wire.Retryable(err) {
			return id, err
		}
		if !sleep(ctx, pause) {
			return 0, fmt.Errorf("propose to the control group: %w", errors.Join(ctx.Err(), err))
		}
		pause = min(2*pause, maxPause)
	}
}

func (c *Coordinator) proposeOnce(ctx context.Context, cmd *kithv1.ControlCommand) (uint64, error) {
	leader, ok := c.group.Leader()
	switch {
	case !ok:
		return 0, fmt.Errorf("%w: the control group has no leader", wire.ErrNotReady)
	case leader == c.peers.Self():
		_, id, err := c.propose(ctx, cmd)
		return id, err
	}
	conn, err := c.peers.Conn(ctx, leader)
	if err != nil {
		return 0, err
	}
	try, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	resp, err := kithv1.NewControlServiceClient(conn).Propose(try, &kithv1.ProposeRequest{Command: cmd})
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", wire.ErrUnknownOutcome, err)
		}
		return 0, fmt.Errorf("coordinator %s: %w", leader, err)
	}
	if err := c.group.WaitApplied(ctx, resp.Index); err != nil {
		return 0, err
	}
	return resp.Id, nil
}

// propose writes to the log of the group that this process leads.
func (c *Coordinator) propose(ctx context.Context, cmd *kithv1.ControlCommand) (index, id uint64, err error) {
	if err := known(cmd); err != nil { // of a newer member
		return 0, 0, fmt.Errorf("coordinator %s: %w", c.peers.Self(), err)
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(cmd)
	if err != nil {
		return 0, 0, err
	}
	index, result, err := c.group.Propose(ctx, data)
	if err != nil {
		return 0, 0, c.convert(err)
	}
	id, _ = result.(uint64)
	return index, id, nil
}

// Build starts a build, or returns the one that runs with the same spec, if somebody asked for it. One that runs because its time had come is canceled: it may lack events that
// the caller has seen stored. Errors match wire.ErrJobRunning, wire.ErrInvalid, or wire.ErrUpgrade.
func (c *Coordinator) Build(ctx context.Context, spec *kithv1.BuildSpec) (uint64, error) {
	spec, err := c.complete(ctx, spec)
	if err != nil {
		return 0, err
	}
	if err := c.Confirm(ctx); err != nil { // a build may have begun that this process does not know of
		return 0, err
	}
	for {
		if j := c.State().Running(); ofSchedule(j) {
			if _, _, err := c.Cancel(ctx, j.Job.Id, "a build that was asked for"); err != nil {
				return 0, err
			}
		}
		id, err := c.createJob(ctx, spec, c.cfg.NewID())
		switch {
		case err == nil && !ofSchedule(c.State().Job(id)), err != nil && !errors.Is(err, wire.ErrJobRunning):
			return id, err
		case err != nil: // by one that this process may not know of yet
			if confirm := c.Confirm(ctx); confirm != nil {
				return 0, confirm
			}
			if j := c.State().Running(); j != nil && !ofSchedule(j) {
				return 0, err
			}
		}
	}
}

// complete returns a spec with every default spelled out, after a check.
func (c *Coordinator) complete(ctx context.Context, spec *kithv1.BuildSpec) (*kithv1.BuildSpec, error) {
	spec = Normalize(spec)
	if err := completeModels(spec, c.cfg.Kinds); err != nil {
		return nil, err
	}
	if _, _, err := wire.ParseSpec(spec); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if c.State().Epoch == 0 {
		return nil, fmt.Errorf("%w: it has no shard map yet", wire.ErrNotReady)
	}
	return spec, c.requireFor(ctx, spec)
}

// createJob starts a build of a complete spec, or returns the one that runs with the same.
func (c *Coordinator) createJob(ctx context.Context, spec *kithv1.BuildSpec, request string) (uint64, error) {
	return c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_CreateJob{CreateJob: &kithv1.CreateJob{
		Spec: spec, RequestId: request, CreatedUnixMs: c.cfg.Now().UnixMilli(),
	}}})
}

// Run does the coordinator's work whenever this process leads, until ctx is done.
func (c *Coordinator) Run(ctx context.Context) error {
	var following sync.WaitGroup
	following.Go(func() { c.followProducts(ctx) })
	defer following.Wait()
	changes := c.group.LeadershipChanges()
	ticker := time.NewTicker(leaderPause)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if c.group.IsLeader() {
			if err := c.lead(ctx); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("stopped coordinating", "err", err)
			}
		}
		select {
		case <-changes:
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// lead works as the coordinator until leadership is lost. Everything that it starts ends before it returns.
func (c *Coordinator) lead(ctx context.Context) error {
	// What earlier leaders decided must be in the state before it is acted upon.
	if err := c.group.Barrier(ctx); err != nil {
		return err
	}
	c.cfg.Logger.Info("coordinating", "node", c.peers.Self())
	ctx, cancel := context.WithCancel(ctx)
	place := newPlacement(c)
	var builds sync.WaitGroup // and other work beside
	defer place.wait()
	defer builds.Wait()
	defer cancel()
	building := uint64(0)
	ended := make(chan error, 1) // at most one build runs
	builds.Go(func() { c.endJoins(ctx) })
	if c.cfg.BuildEvery > 0 {
		builds.Go(func() { c.schedule(ctx) })
	}
	ticker := time.NewTicker(leaderPause)
	defer ticker.Stop()
	for {
		if !c.group.IsLeader() {
			return wire.ErrNotLeader
		}
		stateChanged, peersChanged := c.Changed(), c.peers.Changed()
		work, done := context.WithTimeout(ctx, passTimeout)
		err := errors.Join(c.reconcile(work), place.pass(work, ctx))
		done()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, wire.ErrNotLeader) || errors.Is(err, consensus.ErrNotLeader):
			return wire.ErrNotLeader
		case err != nil:
			c.cfg.Logger.Warn("reconcile members", "err", err)
		}
		if j := c.State().Running(); j != nil && building == 0 {
			building = j.Job.Id
			builds.Go(func() { ended <- c.build(ctx, j.Job.Id, place.strides) })
		}
		select {
		case <-stateChanged:
		case <-peersChanged:
		case <-ticker.C:
		case err := <-ended:
			if err != nil && ctx.Err() == nil {
				c.cfg.Logger.Error("build", "job", building, "err", err)
			}
			building = 0
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Coordinator) build(ctx context.Context, job uint64, strides *strides) error {
	began := c.cfg.Now()
	c.cfg.Logger.Info("build begins or goes on", "job", job)
	// Servers of before levels make jobs with models, too: they take them for others.
	err := c.requireFor(ctx, c.State().Job(job).GetJob().GetSpec())
	switch {
	case err == nil:
		err = c.drive(ctx, job, strides)
	case errors.Is(err, wire.ErrUpgrade):
		err = errors.Join(err, c.failJob(ctx, job, err.Error()))
	}
	rec := c.State().Job(job)
	if rec != nil && Ended(rec.Job) {
		c.buildTimes.WithLabelValues(jobOutcome(rec.Job)).Observe(buildTime(rec.Job).Seconds())
	}
	if err == nil && rec.GetJob().GetPhase() == kithv1.JobPhase_JOB_PHASE_DONE {
		c.cfg.Logger.Info("build published", "job", job, "took", c.cfg.Now().Sub(began).Round(time.Millisecond))
	}
	return err
}

// drive brings a build to its end, or makes it begin again, for another drive.
func (c *Coordinator) drive(ctx context.Context, job uint64, strides *strides) error {
	b := NewBuilder(BuilderConfig{
		Log: c, Rows: true, Kinds: c.cfg.Kinds, Now: c.cfg.Now, Logger: c.cfg.Logger,
		Nodes:    buildNodes{slowPeers{c.peers, c.peers.Bulk()}, c.router},
		Progress: func(phase kithv1.JobPhase, done, _ int) { strides.note(job, phase, done) },
	})
	err := b.Run(ctx, job)
	if errors.Is(err, wire.ErrErased) && ctx.Err() == nil {
		return c.restart(ctx, job, err)
	}
	return err
}

// reconcile makes the decisions follow what membership shows: it initializes the cluster, records members, adds them to
// the control group, and places the partitions when enough members are there.
func (c *Coordinator) reconcile(ctx context.Context) error {
	s := c.State()
	if s.Cluster == nil {
		_, err := c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{
			ClusterId: c.cfg.NewID(), Partitions: uint32(c.cfg.Partitions), ReplicationFactor: uint32(c.cfg.Replication),
		}}})
		if err != nil {
			return err
		}
		if _, err := c.secrets(ctx); err != nil {
			return err
		}
	}
	for _, p := range c.peers.All() {
		if !p.Alive || slices.Contains(c.State().Left, p.ID) {
			continue
		}
		known := c.State().Member(p.ID)
		if p.ID != c.peers.Self() && !sameFolder(known, p.Folder) { // who coordinates has the log, and so is the member
			continue // it is told so when it asks, and ends
		}
		m := &kithv1.MemberRecord{
			Id: p.ID, Zone: p.Zone, Weight: p.Weight, GrpcAddr: p.GRPCAddr, RaftAddr: p.RaftAddr, Version: p.Version,
			Intent: known.GetIntent(), Folder: cmp.Or(p.Folder, known.GetFolder()), Level: p.Level,
		}
		if proto.Equal(m, known) || m.Level < c.State().Level { // one with an earlier program is told so when it asks
			continue
		}
		if _, err := c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_UpsertMember{UpsertMember: &kithv1.UpsertMember{Member: m}}}); err != nil {
			return err
		}
	}
	if err := c.addFollowers(ctx); err != nil {
		return err
	}
	return c.placePartitions(ctx)
}

// addFollowers adds members to the control group that are not in it, without a vote: they learn the decisions.
func (c *Coordinator) addFollowers(ctx context.Context) error {
	members, err := c.group.Members()
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range c.peers.All() {
		if !p.Alive || c.State().Member(p.ID) == nil || slices.ContainsFunc(members, func(m consensus.Member) bool { return m.ID == p.ID }) {
			continue
		}
		c.cfg.Logger.Info("member joins the control group", "node", p.ID, "addr", p.RaftAddr)
		if err := c.group.AddNonvoter(ctx, p.ID, p.RaftAddr, 0); err != nil {
			errs = append(errs, fmt.Errorf("add %s to the control group: %w", p.ID, err))
		}
	}
	return errors.Join(errs...)
}

// placePartitions makes the first shard map.
func (c *Coordinator) placePartitions(ctx context.Context) error {
	s := c.State()
	if s.Epoch > 0 {
		return nil
	}
	var members []partition.Member
	for _, p := range c.peers.All() {
		if p.Alive {
			members = append(members, partition.Member{ID: p.ID, Zone: p.Zone, Weight: p.Weight})
		}
	}
	if len(members) < c.cfg.Expect {
		return nil
	}
	set := &kithv1.SetShardMap{Epoch: 1}
	for _, nodes := range partition.Plan(members, int(s.Cluster.Partitions), int(s.Cluster.ReplicationFactor)) {
		set.Partitions = append(set.Partitions, &kithv1.Replicas{Nodes: nodes})
	}
	_, err := c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: set}})
	return err
}

// Voters returns the ids of the members that vote in the control group, as this process knows them.
func (c *Coordinator) Voters() []string {
	members, err := c.group.Members()
	if err != nil {
		return nil // only shown
	}
	var out []string
	for _, m := range members {
		if m.Voter {
			out = append(out, m.ID)
		}
	}
	return out
}
