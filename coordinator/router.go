package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/hedging"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/direct"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// tryTimeout bounds one try on one node, so that a paused one does not use up the caller's deadline.
	tryTimeout = 3 * time.Second
	// cutPatience is how long the leader of a partition is waited for where a cut is taken: some elections.
	cutPatience = 10 * tryTimeout
	// firstPause is the pause after all replicas were tried in vain: an election takes about a second.
	firstPause = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
	// electionTime is how long a partition may be without a leader before callers are told; an election takes about a second. It
	// is looked at every ledPause.
	electionTime = 1250 * time.Millisecond
	ledPause     = 250 * time.Millisecond
	// silentTime is how long a node that left a call unanswered is asked after others.
	silentTime = 2 * time.Second
	// fullPatience is how long a leader with a full disk is given to hand over to another; if there is none it does not help to
	// wait.
	fullPatience = 5 * time.Second
	// batchBytes and batchEvents bound one entry of a partition's log.
	batchBytes  = 1 << 20
	batchEvents = 10_000
)

// Peers reaches the nodes of the cluster.
type Peers interface {
	Self() string
	Alive() []string
	Addr(node string) string
	Conn(ctx context.Context, node string) (grpc.ClientConnInterface, error)
	Changed() <-chan struct{}
}

// Router brings events to their partitions and queries to the nodes that can answer them. Every node has one. It is safe
// for concurrent use.
type Router struct {
	log      Log
	peers    Peers
	local    Local
	versions *node.Versions
	now      func() time.Time
	products *products
	// rankings has those of plain queries, nil keeps none, and rankingUses counts those that served.
	rankings    *rankings
	rankingUses prometheus.Counter
	// tries counts the calls to nodes by outcome, and answered is that of those that were answered well.
	tries    *prometheus.CounterVec
	answered prometheus.Counter
	// hedges bounds the second calls for scores, and hedged counts them.
	hedges *hedging.Budget
	hedged prometheus.Counter
	// scans has room for the calls that look through all rules of a model.
	scans chan struct{}
	// newcomers are for Explore.
	newcomers newcomers
	// joins has room for joins of users.
	joins chan struct{}

	mu sync.RWMutex // guards what follows; a query only reads, where nothing has changed
	// latencies are those of calls for scores to other nodes, by kind.
	latencies map[string]*hedging.Latencies
	// leaders is where each partition's leader was last; a wrong one costs one more call.
	leaders map[partition.ID]string
	// silent is when a node last left a call without an answer.
	silent map[string]time.Time
}

// Local is what a Router asks of its own node.
type Local interface {
	// Leaderless returns how long the replica of a partition here has known no leader; 0 if there is none.
	Leaderless(p partition.ID) time.Duration
	// Versions gives the model versions.
	Versions() *node.Versions
	// HistoryOf is the call History of this node without messages.
	HistoryOf(ctx context.Context, p partition.ID, epoch uint64, user string, stale bool) ([]fusion.Event, error)
	// KnownHistory returns what HistoryOf would, if it is in memory and needs no other node, with a stamp that no other events have.
	KnownHistory(p partition.ID, epoch uint64, user string, stale bool) (events []fusion.Event, stamp uint64, ok bool)
	// KnownStamp is KnownHistory without the events.
	KnownStamp(p partition.ID, epoch uint64, user string) (stamp uint64, ok bool)
	// Erasures returns a stamp of what the replicas of this node know of erased users, as NearestUsers here passes them over: as long as it is the same, so is that. It is false if this
	// node has not to be asked about all of so many partitions.
	Erasures(partitions int) (stamp uint64, ok bool)
	// ScoresOf is the call ScoreItems of this node without messages.
	ScoresOf(version uint64, history []node.HistoryItem) (*neighborhood.Scores, error)
}

// ownPartitions calls the own node.
type ownPartitions struct {
	kithv1.PartitionServiceClient
	conn *direct.Conn
}

// ownQueries calls the own node.
type ownQueries struct {
	kithv1.QueryServiceClient
	conn *direct.Conn
}

func queryClient(conn grpc.ClientConnInterface) kithv1.QueryServiceClient {
	client := kithv1.NewQueryServiceClient(conn)
	if own, ok := conn.(*direct.Conn); ok {
		return ownQueries{client, own}
	}
	return client
}

func partitionClient(conn grpc.ClientConnInterface) kithv1.PartitionServiceClient {
	client := kithv1.NewPartitionServiceClient(conn)
	if own, ok := conn.(*direct.Conn); ok {
		return ownPartitions{client, own}
	}
	return client
}

// NewRouter returns a Router for a node.
func NewRouter(log Log, peers Peers, local Local, now func() time.Time) *Router {
	tries := newTries()
	return &Router{
		log: log, peers: peers, local: local, versions: local.Versions(), now: now, products: newProducts(shelfBytes, now),
		tries: tries, answered: tries.WithLabelValues("ok"),
		hedges: hedging.NewBudget(hedgeShare), hedged: newHedged(), rankingUses: newRankingUses(), scans: make(chan struct{}, maxScans), joins: make(chan struct{}, concurrentJoins),
		leaders: map[partition.ID]string{}, silent: map[string]time.Time{}, latencies: map[string]*hedging.Latencies{},
	}
}

func (r *Router) leader(p partition.ID) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.leaders[p]
}

func (r *Router) setLeader(p partition.ID, node string) {
	if r.leader(p) == node {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaders[p] = node
}

// partitions returns the number of partitions, or an error matching wire.ErrNotReady.
func (r *Router) partitions() (int, error) {
	s := r.log.State()
	if s.Epoch == 0 {
		return 0, fmt.Errorf("%w: it has no shard map yet", wire.ErrNotReady)
	}
	return len(s.Replicas), nil
}

// onPartition calls replicas of a partition until one answers or ctx is done: the leader first, or with stale this node
// first. Between rounds it waits a little. It gives up early, and it breaks off a call that is under way, when the caller is not
// content with stale data and there is no leader to be had: with wire.ErrNoMajority if membership shows it, and with
// wire.ErrNoLeader if the replica of this node has not heard of one for longer than an election takes.
func (r *Router) onPartition(ctx context.Context, p partition.ID, stale bool, f func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error) error {
	if !stale {
		var stop func()
		ctx, stop = r.whileLed(ctx, p)
		defer stop()
	}
	pause := firstPause
	began := time.Now()
	for {
		state := r.log.State()
		if int(p) >= len(state.Replicas) {
			return fmt.Errorf("partition %d: %w", p, wire.ErrNotReady)
		}
		err := r.oneRound(ctx, state, p, stale, f)
		if err == nil || !passing(err) {
			return err
		}
		if lost := r.noMajority(state, p); lost != nil && !stale {
			return errors.Join(lost, err)
		}
		switch {
		case errors.Is(err, wire.ErrOverloaded):
			pause = max(pause, wire.RetryIn(err))
		case errors.Is(err, wire.ErrDiskFull) && time.Since(began) > fullPatience:
			return err
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("partition %d: no replica answers: %w", p, errors.Join(context.Cause(ctx), err))
		}
		pause = min(2*pause, maxPause)
	}
}

// whileLed returns a context that ends with wire.ErrNoLeader when the replica of this node has known no leader for too long.
func (r *Router) whileLed(ctx context.Context, p partition.ID) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if d := r.local.Leaderless(p); d > electionTime {
			cancel(fmt.Errorf("%w since %v ago by what node %s knows: most replicas are lost or cut off", wire.ErrNoLeader, d.Round(100*time.Millisecond), r.peers.Self()))
			return
		}
		if ctx.Err() == nil {
			timer.Reset(ledPause)
		}
	})
	timer.Reset(ledPause) // timer is set by now
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// oneRound calls the replicas of a partition, following hints to the leader, until one answers.
func (r *Router) oneRound(ctx context.Context, state *State, p partition.ID, stale bool, f func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error) error {
	order := slices.Clone(state.Replicas[p])
	first := r.leader(p)
	if stale {
		first = r.peers.Self()
	}
	if at := slices.Index(order, first); at > 0 {
		order[0], order[at] = order[at], order[0]
	}
	slices.SortStableFunc(order, func(a, b string) int { return r.silence(a) - r.silence(b) })
	last := wire.ErrNotReady
	for tries := 0; len(order) > 0 && tries < 2*len(state.Replicas[p]); tries++ {
		node := order[0]
		order = order[1:]
		err := r.try(ctx, node, len(state.Replicas[p]) > 1, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			return f(ctx, partitionClient(conn), state.Epoch)
		})
		if err == nil {
			if !stale {
				r.setLeader(p, node)
			}
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("partition %d: %w", p, errors.Join(context.Cause(ctx), last))
		}
		if !passing(err) || errors.Is(err, wire.ErrOverloaded) { // the others would only send us back
			return err
		}
		last = err
		if hint := (*wire.NotLeaderError)(nil); !stale && errors.As(err, &hint) && hint.Leader != "" && r.silence(hint.Leader) == 0 {
			order = slices.DeleteFunc(order, func(n string) bool { return n == hint.Leader })
			order = slices.Insert(order, 0, hint.Leader)
		}
	}
	return last
}

// noMajority returns an error if membership shows that a partition cannot have a leader.
func (r *Router) noMajority(state *State, p partition.ID) error {
	replicas, alive := state.Replicas[p], r.peers.Alive()
	if mostAnswer(alive, replicas) {
		return nil
	}
	return fmt.Errorf("partition %d: %w: %d of its %d replicas, on %v; it needs %d",
		p, wire.ErrNoMajority, answering(alive, replicas), len(replicas), replicas, len(replicas)/2+1)
}

// answering counts the nodes that are among the living.
func answering(alive, nodes []string) (n int) {
	for _, id := range nodes {
		if slices.Contains(alive, id) {
			n++
		}
	}
	return n
}

// mostAnswer reports whether a majority of the nodes is among the living.
func mostAnswer(alive, nodes []string) bool { return 2*answering(alive, nodes) > len(nodes) }

// silence is 1 for a node that left a call unanswered a moment ago, and 0 for others.
func (r *Router) silence(node string) int {
	r.mu.RLock()
	at, ok := r.silent[node]
	r.mu.RUnlock()
	if ok && r.now().Sub(at) < silentTime {
		return 1
	}
	return 0
}

func (r *Router) setSilent(node string, silent bool) {
	r.mu.RLock()
	_, was := r.silent[node]
	r.mu.RUnlock()
	if !silent && !was {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if silent {
		r.silent[node] = r.now()
	} else {
		delete(r.silent, node)
	}
}

// try calls one node with a deadline of its own, which leaves time for others if there are any.
func (r *Router) try(ctx context.Context, node string, others bool, f func(context.Context, grpc.ClientConnInterface) error) error {
	conn, err := r.peers.Conn(ctx, node)
	if err == nil {
		patience := tryTimeout
		if others {
			patience = share(ctx, 3)
		}
		try, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err = f(try, conn); err == nil || try.Err() != nil && ctx.Err() == nil {
			r.setSilent(node, err != nil)
		}
	}
	if err != nil {
		r.tries.WithLabelValues(wire.Outcome(err)).Inc()
		return fmt.Errorf("node %s: %w", node, err)
	}
	r.answered.Inc()
	return nil
}

// soon reads what was acknowledged before the call, or, when the leader does not answer in half of the time that there is, what
// some replica has, and says so: a partition that elects a leader should not keep a shop from showing recommendations. Where
// there can be no leader it fails, unless the caller asked for a stale read.
func (r *Router) soon(ctx context.Context, stale bool, read func(ctx context.Context, stale bool) error) (wasStale bool, err error) {
	if stale {
		return true, read(ctx, true)
	}
	try, cancel := context.WithTimeout(ctx, share(ctx, 2))
	defer cancel()
	err = read(try, false)
	if err == nil || ctx.Err() != nil || errors.Is(err, wire.ErrNoMajority) || !passing(err) {
		return false, err
	}
	return true, read(ctx, true)
}

// AppendCounts is what became of events: new ones, those that were stored already, and those refused as their user was erased.
type AppendCounts struct{ Appended, Duplicates, Erased uint64 }

// Append stores events that have been validated and have ids. It returns when all are durable on a majority of
// their partitions' replicas. An error leaves open which of them are; to send them again is safe. The order of the events
// of one user is kept. Those of users who are joined to others are stored as theirs.
func (r *Router) Append(outer context.Context, events []fusion.Event) (counts AppendCounts, err error) {
	partitions, err := r.partitions()
	if err != nil {
		return counts, err
	}
	groups := make([][]fusion.Event, partitions)
	for i := range events {
		p := partition.Of(events[i].User, partitions)
		groups[p] = append(groups[p], events[i])
	}
	var mu sync.Mutex
	var moved []fusion.Event
	g, ctx := errgroup.WithContext(outer)
	for p, group := range groups {
		if len(group) == 0 {
			continue
		}
		g.Go(func() error {
			for _, batch := range batches(wire.EventsToProto(group)) {
				own := group[:len(batch)]
				group = group[len(batch):]
				err := r.onPartition(ctx, partition.ID(p), false, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
					resp, err := c.AppendBatch(ctx, &kithv1.AppendBatchRequest{Partition: uint32(p), Epoch: epoch, Events: batch})
					if err != nil {
						return err
					}
					mu.Lock()
					defer mu.Unlock()
					counts.add(AppendCounts{resp.Appended, resp.Duplicates, resp.Erased})
					moved = append(moved, movedOf(own, resp.Moved)...)
					return nil
				})
				if err != nil {
					return fmt.Errorf("append %d events: %w", len(batch), err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil || len(moved) == 0 {
		return counts, err
	}
	others, err := r.Append(outer, moved)
	counts.add(others)
	return counts, err
}

func (c *AppendCounts) add(o AppendCounts) {
	c.Appended += o.Appended
	c.Duplicates += o.Duplicates
	c.Erased += o.Erased
}

// movedOf returns those of some events whose users are joined to others, as events of these.
func movedOf(events []fusion.Event, moved []*kithv1.MovedUser) (out []fusion.Event) {
	if len(moved) == 0 {
		return nil
	}
	to := map[string]string{}
	for _, m := range moved {
		to[m.User] = m.To
	}
	for i := range events {
		if user := to[events[i].User]; user != "" {
			out = append(out, events[i].Under(user))
		}
	}
	return out
}

// batches cuts events into batches within the bounds of a log entry.
func batches(events []*kithv1.Event) [][]*kithv1.Event {
	var out [][]*kithv1.Event
	from, bytes := 0, 0
	for i, e := range events {
		size := len(e.Id) + len(e.User) + len(e.Item) + 64
		for k, v := range e.Context {
			size += len(k) + len(v) + 8
		}
		if i > from && (bytes+size > batchBytes || i-from >= batchEvents) {
			out = append(out, events[from:i])
			from, bytes = i, 0
		}
		bytes += size
	}
	return append(out, events[from:])
}

// History returns the events of a user by time and id: with stale as some replica has them, otherwise all that were
// acknowledged before the call. Those of a user who is joined to another are those of the other.
func (r *Router) History(ctx context.Context, user string, stale bool) ([]fusion.Event, error) {
	_, events, err := r.followed(ctx, user, stale)
	return events, err
}

// followed is History with the key whose events they are.
func (r *Router) followed(ctx context.Context, user string, stale bool) (key string, events []fusion.Event, err error) {
	for range maxFollowed {
		events, err = r.historyOf(ctx, user, &kithv1.HistoryRequest{Stale: stale})
		moved := (*wire.MovedError)(nil)
		if !errors.As(err, &moved) {
			return user, events, err
		}
		user = moved.To
	}
	return user, nil, fmt.Errorf("%w: replicas that have not caught up say that keys of the user lead to each other", wire.ErrNotReady)
}

// maxFollowed bounds a chain of joined keys. A circle can only be seen where some replicas have not caught up.
const maxFollowed = 100

// historyHere returns the events of one key where this node has them in memory and nobody else need be asked.
func (r *Router) historyHere(user string, stale bool) (events []fusion.Event, ok bool, err error) {
	partitions, err := r.partitions()
	if err != nil {
		return nil, false, err
	}
	if events, _, ok = r.local.KnownHistory(partition.Of(user, partitions), r.log.State().Epoch, user, stale); ok {
		r.answered.Inc()
	}
	return events, ok, nil
}

// historyOf returns the events of one key.
func (r *Router) historyOf(ctx context.Context, user string, req *kithv1.HistoryRequest) (events []fusion.Event, err error) {
	if req.Join == 0 {
		if events, ok, err := r.historyHere(user, req.Stale); ok || err != nil {
			return events, err
		}
	}
	partitions, err := r.partitions()
	if err != nil {
		return nil, err
	}
	p := partition.Of(user, partitions)
	err = r.onPartition(ctx, p, req.Stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) (err error) {
		if own, ok := c.(ownPartitions); ok && req.Join == 0 {
			events, err = direct.Do(ctx, own.conn, func() ([]fusion.Event, error) { return r.local.HistoryOf(ctx, p, epoch, user, req.Stale) })
			return err
		}
		events = nil // of a try that broke off
		stream, err := c.History(ctx, &kithv1.HistoryRequest{Partition: uint32(p), Epoch: epoch, User: user, Stale: req.Stale, Join: req.Join})
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.HistoryResponse) error {
			events = append(events, wire.EventsFromProto(m.Events)...)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return events, nil
}

// Cut returns an index of a partition's log that covers every event acknowledged before the call, with what there is up to it. See Cuts for all partitions.
func (r *Router) Cut(ctx context.Context, p partition.ID) (*kithv1.CutResponse, error) {
	return r.cut(ctx, p, false)
}

func (r *Router) cut(ctx context.Context, p partition.ID, holdJoins bool) (*kithv1.CutResponse, error) {
	var cut *kithv1.CutResponse
	err := r.onPartition(ctx, p, false, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
		resp, err := c.Cut(ctx, &kithv1.CutRequest{Partition: uint32(p), Epoch: epoch, HoldJoins: holdJoins})
		cut = resp
		return err
	})
	return cut, err
}

// buildNodes is what a Builder needs of a cluster.
type buildNodes struct {
	slowPeers
	router *Router
}

// Cuts implements Nodes. It waits for elections. What joins have left under their old keys is removed: no other build needs it.
func (b buildNodes) Cuts(ctx context.Context) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, cutPatience)
	defer cancel()
	if err := b.router.sweepJoins(ctx); err != nil {
		return nil, err
	}
	cuts, err := b.router.Cuts(ctx)
	out := make([]uint64, len(cuts))
	for p, c := range cuts {
		out[p] = c.Index
	}
	return out, err
}
