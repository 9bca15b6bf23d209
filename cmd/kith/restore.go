package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) restoreCommand() *cobra.Command {
	var r remote
	o := restoration{}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Store the events, products and profiles of a backup on a cluster",
		Long: `Store the events, products and profiles of a backup on a cluster, of any number of servers and
partitions. The whole file is checked first; a damaged one changes nothing. A cluster that has
any is refused unless --merge says that those of the backup are to be added. Every event has
its id, so none is stored twice, and of two records the newer one stays: a restore that was
interrupted is repeated with --merge. What is of users that the cluster has erased is refused.

A backup has no model. --build computes one with the settings of the one that was active.

A FILE of - is standard input, which is kept in a temporary file until it is checked.`,
		Example: `  kith cluster restore shop-2026-11-25.kith --build
  ssh vault 'cat shop.kith' | kith cluster restore --merge -`,
		Args: oneArg("a file that 'kith cluster backup' wrote, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.streams < 1 || o.streams > 64 {
				return usagef("--streams is %d; want 1 to 64", o.streams)
			}
			var err error
			if o.client, err = r.open(); err != nil {
				return err
			}
			defer o.client.close()
			o.client.patient()
			o.path = args[0]
			return a.restore(cmd.Context(), o)
		},
	}
	r.register(cmd, ingestTimeout)
	cmd.Flags().BoolVar(&o.merge, "merge", false, "also restore to a cluster that has data")
	cmd.Flags().BoolVar(&o.build, "build", false, "build a model with the settings of the one that was active, and wait for it")
	cmd.Flags().IntVar(&o.streams, "streams", 4, "messages under way at once; changes speed only")
	return cmd
}

// restoration is a restore that was asked for.
type restoration struct {
	path         string
	merge, build bool
	streams      int
	client       *client
	// records sends those of the present kind; kept is what became of all.
	records *recordSender
	kept    recordCounts
	joined  joinCounts
}

// jsonRestore is the summary of a restore. Duplicates were on the cluster already, by this or by an earlier restore.
type jsonRestore struct {
	jsonBackup
	Appended   uint64       `json:"appended"`
	Duplicates uint64       `json:"duplicates"`
	Erased     uint64       `json:"erased"`
	Records    recordCounts `json:"records"`
	Joined     joinCounts   `json:"joined"`
	Version    *jsonVersion `json:"version,omitempty"`
}

func (a *app) restore(ctx context.Context, o restoration) error {
	began := time.Now()
	file, done, err := a.seekable(ctx, o.path)
	if err != nil {
		return err
	}
	defer done()
	p := a.progress("restore")
	defer p.end()
	s, err := verifyBackup(ctx, file, o.path, p)
	if err != nil {
		return err
	}
	if o.build && s.ActiveSpec() == nil {
		return fmt.Errorf("%s: no model was active when it was made; restore without --build, then 'kith build --wait'", o.path)
	}
	if !o.merge {
		if err := o.client.checkEmpty(ctx); err != nil {
			return err
		}
	}
	total, err := o.append(ctx, file, s.Total().Events, p)
	if err != nil {
		if n := total.Appended; n > 0 {
			a.note("%s had been stored before the error; restore again with --merge to go on, none is stored twice", plural(n, "event", "events"))
		}
		return err
	}
	p.end()
	out := &jsonRestore{jsonBackup: backupView(o.path, &s), Appended: total.Appended, Duplicates: total.Duplicates, Erased: total.Erased, Records: o.kept, Joined: o.joined}
	out.Seconds = time.Since(began).Seconds()
	if !a.json() {
		err := a.printf("%s of %s: %s new, %s known, in %s.\n", plural(out.Events, "event", "events"),
			plural(out.Users, "user", "users"), count(out.Appended), count(out.Duplicates), seconds(out.Seconds))
		if err != nil || !o.build {
			return err
		}
		return a.build(ctx, o.client, s.ActiveSpec(), true, map[string]any{})
	}
	if o.build {
		if out.Version, err = o.rebuild(ctx, &s); err != nil {
			return err
		}
	}
	return a.printJSON(out)
}

// rebuild builds a model as the active one of a backup was, and returns it.
func (o *restoration) rebuild(ctx context.Context, s *backup.Summary) (*jsonVersion, error) {
	job, err := o.client.build(ctx, s.ActiveSpec())
	if err != nil {
		return nil, err
	}
	if job, err = o.client.wait(ctx, job.Id, func(*kithv1.Job) {}); err != nil {
		return nil, err
	}
	v, err := o.client.version(ctx, job.ModelVersion)
	if err != nil {
		return nil, err
	}
	view := versionView(v)
	return &view, nil
}

// seekable opens a backup that is read twice: standard input is copied to a temporary file, which done removes.
func (a *app) seekable(ctx context.Context, path string) (f *os.File, done func(), err error) {
	if path != "-" {
		if f, err = os.Open(path); err != nil {
			return nil, nil, fmt.Errorf("open backup: %w", err)
		}
		return f, func() { _ = f.Close() }, nil // only read
	}
	if f, err = os.CreateTemp("", "kith-restore-*"); err != nil {
		return nil, nil, fmt.Errorf("keep standard input: %w", err)
	}
	done = func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	if _, err = io.Copy(f, contextReader{ctx, a.in}); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("keep standard input in %s: %w; name a folder with room by TMPDIR", f.Name(), err)
	}
	return f, done, nil
}

// put stores the records of a block.
func (o *restoration) put(ctx context.Context, block *backup.Block) error {
	if block.Kind == catalog.Joined {
		return o.join(ctx, block.Records)
	}
	if len(block.Records) > 0 && (o.records == nil || o.records.kind != block.Kind) {
		if err := o.flush(ctx); err != nil {
			return err
		}
		o.records = &recordSender{client: o.client, kind: block.Kind, total: &o.kept}
	}
	for i := range block.Records {
		if err := o.records.add(ctx, &block.Records[i]); err != nil {
			return fmt.Errorf("store records: %w", err)
		}
	}
	return nil
}

// join joins keys of users. Their events are those of the others in the backup, but for some that were joined while it was made.
func (o *restoration) join(ctx context.Context, keys []catalog.Record) error {
	for some := range slices.Chunk(keys, joinBatch) {
		req := &kithv1.JoinUsersRequest{}
		for i := range some {
			j := &kithv1.UserJoin{From: some[i].Key}
			for _, at := range some[i].Attributes {
				if at.Name == catalog.JoinedTo {
					j.To = at.Value.Text
				}
			}
			req.Joins = append(req.Joins, j)
		}
		if err := o.client.join(ctx, req, &o.joined); err != nil {
			return err
		}
	}
	return nil
}

// joinBatch is the number of joins of one call.
const joinBatch = 500

// flush stores the records that wait.
func (o *restoration) flush(ctx context.Context) error {
	if o.records == nil {
		return nil
	}
	if err := o.records.flush(ctx); err != nil {
		return fmt.Errorf("store records: %w", err)
	}
	return nil
}

// checkEmpty refuses a cluster that has data, or of which that is not known.
func (c *client) checkEmpty(ctx context.Context) error {
	s, err := c.status(ctx)
	if err != nil {
		return err
	}
	if !s.Ready {
		return fmt.Errorf("%w, so whether it has events is not known", wire.ErrNotReady)
	}
	if v := statusView(s); v.Events+v.Products+v.Profiles > 0 {
		return fmt.Errorf("the cluster has %s, %s and %s already; add those of the backup with --merge, as after a restore that was interrupted",
			plural(v.Events, "event", "events"), plural(v.Products, "product", "products"), plural(v.Profiles, "profile", "profiles"))
	}
	return nil
}

// append stores the events of a backup that has been verified.
func (o *restoration) append(ctx context.Context, file io.ReadSeeker, total uint64, p *progress) (sent, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return sent{}, fmt.Errorf("read %s again: %w", o.path, err)
	}
	s := &sender{client: o.client, stored: func(n int64) { p.set("storing", n, int64(total)) }}
	result, err := s.send(ctx, o.streams, func(yield func([]fusion.Event) error) error {
		r, err := backup.NewReader(bufio.NewReaderSize(file, 1<<20))
		if err != nil {
			return fmt.Errorf("%s: %w", o.path, err)
		}
		defer r.Close()
		for {
			block, err := r.Next()
			if errors.Is(err, io.EOF) {
				return o.flush(ctx)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", o.path, err)
			}
			if err := yield(block.Events); err != nil {
				return err
			}
			if err := o.put(ctx, &block); err != nil {
				return err
			}
		}
	})
	switch n := result.Appended + result.Duplicates + result.Erased; {
	case err != nil:
		return result, err
	case result.Refused > 0:
		return result, fmt.Errorf("the server refused %s, the first: %s; its version may differ from this program's",
			plural(result.Refused, "event", "events"), result.Refusal)
	case n != total:
		return result, fmt.Errorf("the cluster acknowledged %s of %s; restore again with --merge", plural(n, "event", "events"), count(total))
	}
	return result, nil
}
