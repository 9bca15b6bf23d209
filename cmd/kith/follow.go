package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/checkpoint"
)

const (
	// farewell is how long an ingestion that follows a source and is interrupted may take to store what it has read.
	farewell = 30 * time.Second
	// commitTimeout bounds one commit, and all tries of the last one.
	commitTimeout = 10 * time.Second
	// commitPause is how long the second try of the last commit waits; each further one waits twice as long.
	commitPause = 100 * time.Millisecond
	// commitFailures in a row are told a person: some are usual while members of a group come and go.
	commitFailures = 3
)

// followsLast returns an error if a source that never ends has others behind it, which would not be read.
func followsLast(ms []fusion.Mapping) error {
	for i := range ms[:len(ms)-1] {
		if ms[i].Source.Remote.Follow {
			return usagef("%s has follow: true and does not end, so %s would never be read; put it last, or into a mapping of its own",
				ms[i].SourceName(), ms[i+1].SourceName())
		}
	}
	return nil
}

// outlast returns a context for the work of an ingestion. It ends with ctx, or a while later if a source is followed: such an ingestion ends
// in order when it is interrupted, and stores what it has read. Release must be called at the end.
func (j *ingestion) outlast(ctx context.Context) (work context.Context, release func()) {
	if j.client == nil || !j.follows {
		return ctx, func() {}
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		late := time.NewTimer(farewell)
		defer late.Stop()
		select {
		case <-work.Done():
		case <-late.C:
			cancel()
		}
	})
	return work, func() {
		cancel()
		if !stop() {
			<-ended
		}
	}
}

// hold is for sender.hold: with a state, events wait no longer than it takes until it is written.
func (j *ingestion) hold() time.Duration {
	if j.state == nil {
		return 0
	}
	return j.every
}

// follower makes the reading of one source go on where an earlier one ended.
type follower struct {
	job     *ingestion
	sender  *sender
	name    string
	store   *checkpoint.Store // where parts belong
	track   *source.Track
	commits bool // the source is a service that keeps itself how far it is read
	useful  bool // some row was an event
	resumed bool
}

// follow makes the reading of a source go on where the state says, and the sender tell the state what is stored. What it returns says whether some
// file was not begun anew, or a service has been read before, and tells the state that the source is read to its end.
//
// A service that keeps itself how far it was read is told what is stored, with a state or without; of the others the state keeps the position.
func (j *ingestion) follow(ctx context.Context, m *fusion.Mapping, s *sender) (resumed func() bool, finish func() error) {
	if j.client == nil {
		m.Source.Remote.Follow = false // what is there can be checked
	}
	scheme := source.Scheme(m.Path)
	if j.client == nil || j.state == nil && scheme == "" {
		return func() bool { return false }, func() error { return nil }
	}
	f := &follower{job: j, sender: s, name: m.SourceName(), store: j.state, track: &source.Track{Every: j.every}}
	m.Source.Track = f.track
	if scheme == "" {
		f.track.Begin, s.part = f.begin, f.part
	} else if open := m.Source.Remote.Openers[scheme]; open != nil {
		m.Source.Remote.Openers = map[string]source.Opener{scheme: func(reading context.Context, address *url.URL, o source.Options) (source.Rows, error) {
			return f.open(ctx, reading, open, address, o)
		}}
	}
	return func() bool { return f.resumed }, f.finish
}

// begin is for source.Track.Begin.
func (f *follower) begin(file, path string) (source.Position, error) {
	at, err := f.store.Begin(f.name, file, path)
	f.resumed = f.resumed || at.Line > 0
	return at, err
}

// finish tells the state that the source is read to its end.
func (f *follower) finish() error {
	if f.sender.part == nil {
		return nil
	}
	_, err := f.part(0)
	f.sender.part, f.sender.hold = nil, f.job.hold()
	return err
}

// open opens the service. Context work bounds the work with its rows; reading them ends with interrupt, if they are followed.
func (f *follower) open(interrupt, work context.Context, open source.Opener, address *url.URL, o source.Options) (source.Rows, error) {
	if f.store != nil {
		o.Remote.After = f.store.Resume(f.name, identity(address, &o.Remote))
		f.resumed = o.Remote.After != ""
		if (o.Remote.Table != "" || o.Remote.Query != "") && len(o.Remote.Cursor) == 0 {
			o.Note(f.name + " has no cursor, so the state cannot keep how far it is read: every run reads it from its start, and stores what is new")
		}
	}
	reading := work
	if o.Remote.Follow {
		reading = interrupt
	}
	rows, err := open(reading, address, o)
	if err != nil {
		return nil, err
	}
	to, ok := rows.(source.Committer)
	switch {
	case ok:
		f.commits, f.store, f.track.Every, f.sender.hold = true, checkpoint.InMemory(), 0, f.job.every
		rows = f.commit(work, rows, to, o.Note, func() bool { return o.Remote.Follow && interrupt.Err() != nil })
	case f.store == nil:
		return rows, nil
	}
	f.sender.part = f.part
	return rows, nil
}

// identity returns all that decides which rows a service has, without passwords.
func identity(address *url.URL, r *source.Remote) string {
	public := *address
	public.User = url.User(address.User.Username())
	parameters := public.Query()
	parameters.Del("password")
	parameters.Del("sslpassword")
	public.RawQuery = parameters.Encode()
	return fmt.Sprintf("%q %q %q %q %q %q", public.String(), r.Table, r.Query, r.Cursor, r.Endpoint, r.Region)
}

// part is for sender.part. As long as a run has seen no message that it can use, a service is not told that any is done: the mapping may be wrong.
func (f *follower) part(events int) (*checkpoint.Part, error) {
	// What is refused has to be on its way to the disk before its rows are not read any more.
	if err := f.job.dead.Flush(); err != nil {
		return nil, err
	}
	f.useful = f.useful || events > 0
	var at []source.Position
	if f.useful || !f.commits {
		at = f.track.Take()
	}
	return f.store.Add(f.name, events, at), nil
}

// committing are the rows of a service that is told, now and then and at the end, which of them are stored. Close waits until those are that were
// handed on, so that the service is told before the session with it ends.
type committing struct {
	source.Rows
	f           *follower
	to          source.Committer
	note        func(string)
	interrupted func() bool // the reading shall end in order
	read        int64       // rows, refused ones too
	whole       bool        // they have come to their end

	ctx   context.Context    //nolint:containedctx // of the work with the rows
	stop  context.CancelFunc // ends the goroutine of run
	ended chan struct{}      // closed when it has

	committed string // by run, then by Close
}

// commit begins to commit.
func (f *follower) commit(ctx context.Context, rows source.Rows, to source.Committer, note func(string), interrupted func() bool) *committing {
	c := &committing{Rows: rows, f: f, to: to, note: note, interrupted: interrupted, ctx: ctx, ended: make(chan struct{})}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	go c.run(running)
	return c
}

// run commits what is acknowledged in the meantime.
func (c *committing) run(ctx context.Context) {
	defer close(c.ended)
	tick := time.NewTicker(c.f.job.every)
	defer tick.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := c.tell(ctx)
		if failed++; err == nil {
			failed = 0
		}
		if failed == commitFailures && ctx.Err() == nil {
			c.note(fmt.Sprintf("%s: what is stored could not be committed %d times in a row; it goes on, and will be read again: %v", c.f.name, failed, err))
		}
	}
}

// tell commits what is acknowledged and was not committed before.
func (c *committing) tell(ctx context.Context) error {
	position := c.f.store.Acknowledged(c.f.name)
	if position == c.committed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := c.to.Commit(ctx, position); err != nil {
		return err
	}
	c.committed = position
	return nil
}

// Next implements source.Rows.
func (c *committing) Next() (source.Record, error) {
	rec, err := c.Rows.Next()
	switch {
	case err == nil, errors.As(err, new(*source.RowError)):
		c.read++
	case c.interrupted():
		err = io.EOF
	}
	c.whole = err == io.EOF //nolint:errorlint // a wrapped one is damage
	return rec, err
}

// Close implements source.Rows. The last rows, which may have been refused, count only if the events before them have all been handed on: if neither
// the reading nor the storing has failed.
func (c *committing) Close() error {
	c.f.resumed = c.read == 0 // nothing new is no mistake
	err := c.f.sender.drain()
	if err == nil && c.whole && c.ctx.Err() == nil {
		_, err = c.f.part(0)
	}
	c.stop()
	<-c.ended
	return errors.Join(err, c.last(), c.Rows.Close())
}

// last commits at the end. It tries several times, as other members may come and go just then.
func (c *committing) last() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), commitTimeout)
	defer cancel()
	for pause := commitPause; ; pause *= 2 {
		err := c.tell(ctx)
		if err == nil {
			return nil
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return fmt.Errorf("%s: what is stored is not committed, and will be read again: %w", c.f.name, err)
		}
	}
}
