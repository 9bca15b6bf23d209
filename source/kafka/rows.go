package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kith-io/kith/source"
)

const (
	// pollRecords is how many messages are taken from the client at once; it has more.
	pollRecords = 10_000
	// goodbye is how long leaving the group may take.
	goodbye = 5 * time.Second
	// breath is how long a reader that follows waits for messages, or hands them on, until it says that there may be none for a while.
	breath = 200 * time.Millisecond
	// sessionTimeout is how long the group waits for a member that was killed: so long the others do not get its partitions.
	sessionTimeout = 10 * time.Second
)

// rows implements source.Rows and source.Committer.
type rows struct {
	ctx    context.Context //nolint:containedctx // Next has none: see source.Opener
	cfg    config
	client *kgo.Client
	admin  *kadm.Client
	ends   position // where reading ends; nil if it follows

	polled []*kgo.Record // not handed out yet
	record *kgo.Record   // handed out last
	fields [][]byte
	text   []byte
	looked int       // the changes that done has seen
	told   time.Time // when ErrIdle was returned last

	// mu guards what the client's callbacks change.
	mu        sync.Mutex
	joined    bool
	assigned  map[int32]bool // true once its next is known
	next      position
	committed position // what the group has of partitions that are assigned
	changes   int      // of assigned so far
	wake      context.CancelFunc
}

// Openers returns the opener of this package by scheme.
func Openers() map[string]source.Opener { return map[string]source.Opener{"kafka": Open} }

// Open joins the consumer group. Context ctx bounds the reading. Remote.After means nothing here: the group keeps how far it has read.
func Open(ctx context.Context, address *url.URL, o source.Options) (_ source.Rows, err error) {
	cfg, err := newConfig(address, &o)
	if err != nil {
		return nil, err
	}
	r := &rows{ctx: ctx, cfg: cfg, told: time.Now(), assigned: map[int32]bool{}, next: position{}, committed: position{}}
	r.client, err = kgo.NewClient(append(cfg.client,
		kgo.ConsumeTopics(cfg.topic), kgo.ConsumerGroup(cfg.group), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(sessionTimeout), kgo.AdjustFetchOffsetsFn(r.onFetched),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // markers of transactions have offsets, too
		kgo.OnPartitionsAssigned(r.onAssigned), kgo.OnPartitionsRevoked(r.onGone), kgo.OnPartitionsLost(r.onGone),
	)...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrOptions, err)
	}
	r.admin = kadm.NewClient(r.client)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	ends, err := r.offsets(r.admin.ListCommittedOffsets)
	if err != nil {
		return nil, err
	}
	if !cfg.follow {
		r.ends = ends
	}
	return r, nil
}

// offsets asks for an offset of each partition.
func (r *rows) offsets(list func(context.Context, ...string) (kadm.ListedOffsets, error)) (position, error) {
	listed, err := list(r.ctx, r.cfg.topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s: offsets: %w", r.cfg.topic, err)
	}
	out := position{}
	for partition, o := range listed[r.cfg.topic] {
		out[partition] = o.Offset
	}
	return out, nil
}

// onAssigned is called by the client, perhaps with nothing.
func (r *rows) onAssigned(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined = true
	r.changes++
	for _, p := range topics[r.cfg.topic] {
		r.assigned[p] = false
	}
	if r.wake != nil {
		r.wake()
	}
}

// onFetched is called by the client with what the group has committed of partitions that were assigned, where reading begins. Commit
// does not go back behind it: what was read before these partitions were lost and came again may be acknowledged late.
func (r *rows) onFetched(_ context.Context, topics map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, o := range topics[r.cfg.topic] {
		if _, mine := r.assigned[p]; mine && o.EpochOffset().Offset > 0 {
			r.committed[p] = o.EpochOffset().Offset
		}
	}
	return topics, nil
}

// onGone is called by the client when partitions go to other members.
func (r *rows) onGone(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	for _, p := range topics[r.cfg.topic] {
		delete(r.assigned, p)
		delete(r.next, p)
		delete(r.committed, p)
	}
	if r.wake != nil {
		r.wake()
	}
}

// Columns implements source.Rows.
func (r *rows) Columns() []string { return r.cfg.columns }

// Next implements source.Rows.
func (r *rows) Next() (source.Record, error) {
	for {
		if len(r.polled) == 0 {
			if done, err := r.done(); err != nil || done {
				if err == nil {
					err = io.EOF
				}
				return source.Record{}, err
			}
			if r.cfg.follow && time.Since(r.told) >= breath {
				r.told = time.Now()
				return source.Record{}, source.ErrIdle
			}
			if err := r.poll(); err != nil {
				return source.Record{}, err
			}
			continue
		}
		m := r.polled[0]
		r.polled[0] = nil
		r.polled = r.polled[1:]
		if r.ends != nil && m.Offset >= r.ends[m.Partition] {
			continue // it came later
		}
		r.mu.Lock()
		if _, mine := r.assigned[m.Partition]; mine {
			r.next[m.Partition] = m.Offset + 1
		}
		r.mu.Unlock()
		if m.Attrs.IsControl() {
			continue
		}
		return r.hand(m)
	}
}

// hand makes a record of a message.
func (r *rows) hand(m *kgo.Record) (source.Record, error) {
	r.record = m
	fields, err := r.cfg.decoder.decode(m.Value)
	if err != nil {
		var bad *source.RowError
		if errors.As(err, &bad) {
			bad.Line = m.Offset + 1
			bad.Detail = fmt.Sprintf("partition %d: %s", m.Partition, bad.Detail)
		}
		return source.Record{}, err
	}
	r.fields, r.text = append(r.fields[:0], fields...), r.text[:0]
	r.text = strconv.AppendInt(r.text, int64(m.Partition), 10)
	partition := len(r.text)
	r.text = strconv.AppendInt(r.text, m.Offset, 10)
	offset := len(r.text)
	r.text = m.Timestamp.UTC().AppendFormat(r.text, "2006-01-02T15:04:05.000Z")
	r.fields = append(r.fields, m.Key, r.text[:partition], r.text[partition:offset], r.text[offset:])
	return source.Record{Line: m.Offset + 1, Part: int(m.Partition), Fields: r.fields}, nil
}

// done reports whether all partitions of this member were read to their ends.
func (r *rows) done() (bool, error) {
	if r.ends == nil {
		return false, r.ctx.Err()
	}
	r.mu.Lock()
	fresh := false
	for _, known := range r.assigned {
		fresh = fresh || !known
	}
	joined := r.joined
	r.looked = r.changes
	r.mu.Unlock()
	if !joined {
		return false, nil
	}
	if fresh {
		if err := r.learn(); err != nil {
			return false, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, known := range r.assigned {
		if !known || r.next[p] < r.ends[p] {
			return false, nil
		}
	}
	return true, nil
}

// learn finds out where the client begins to read partitions that it got: at what the group has committed, or at the start.
func (r *rows) learn() error {
	starts, err := r.offsets(r.admin.ListStartOffsets)
	if err != nil {
		return err
	}
	kept, err := r.admin.FetchOffsetsForTopics(r.ctx, r.cfg.group, r.cfg.topic)
	if err == nil {
		err = kept.Error()
	}
	if err != nil {
		return fmt.Errorf("group %s: offsets: %w", r.cfg.group, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, known := range r.assigned {
		if known {
			continue
		}
		start := starts[p]
		if o, ok := kept.Lookup(r.cfg.topic, p); ok {
			start = max(start, o.At)
		}
		r.next[p] = max(r.next[p], start)
		r.assigned[p] = true
	}
	return nil
}

// poll waits for messages. A change of the assignment ends it, too.
func (r *rows) poll() error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	if r.cfg.follow {
		var timeout context.CancelFunc
		ctx, timeout = context.WithTimeout(ctx, breath)
		defer timeout()
	}
	r.mu.Lock()
	if r.ends != nil && r.changes != r.looked {
		r.mu.Unlock()
		return nil
	}
	r.wake = cancel
	r.mu.Unlock()
	fetches := r.client.PollRecords(ctx, pollRecords)
	r.mu.Lock()
	r.wake = nil
	r.mu.Unlock()
	if r.polled = fetches.Records(); len(r.polled) > 0 {
		return nil // errors come again
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	for _, f := range fetches.Errors() {
		if !errors.Is(f.Err, context.Canceled) && !errors.Is(f.Err, ctx.Err()) {
			return fmt.Errorf("topic %s, partition %d: %w", r.cfg.topic, f.Partition, f.Err)
		}
	}
	return nil
}

// Raw implements source.Rows.
func (r *rows) Raw() []byte {
	if r.record == nil {
		return nil
	}
	return r.record.Value
}

// Position implements source.Rows.
func (r *rows) Position() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next.String()
}

// Commit implements source.Committer. Partitions that went to other members are left to them.
func (r *rows) Commit(ctx context.Context, text string) error {
	p, err := parsePosition(text)
	if err != nil {
		return err
	}
	offsets := map[int32]kgo.EpochOffset{}
	r.mu.Lock()
	for partition, offset := range p {
		_, mine := r.assigned[partition]
		if last, ok := r.committed[partition]; mine && (!ok || offset > last) {
			offsets[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		}
	}
	r.mu.Unlock()
	if len(offsets) == 0 {
		return nil
	}
	r.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{r.cfg.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, failed error) {
			err = failed
			if response == nil {
				return
			}
			for _, topic := range response.Topics {
				for _, p := range topic.Partitions {
					err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		})
	if err != nil {
		return fmt.Errorf("group %s: commit: %w", r.cfg.group, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for partition, o := range offsets {
		if _, mine := r.assigned[partition]; mine {
			r.committed[partition] = o.Offset
		}
	}
	return nil
}

// Close implements source.Rows: it leaves the group. What was not committed is read again.
func (r *rows) Close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), goodbye)
	defer cancel()
	err := r.client.LeaveGroupContext(ctx)
	r.client.Close()
	r.polled = nil
	return err
}
