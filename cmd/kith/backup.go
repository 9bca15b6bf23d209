package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// backupTimeout is how long a backup waits for a server and for the cut: some elections.
const backupTimeout = 60 * time.Second

// backupMode keeps what users did from other accounts of the machine.
const backupMode = 0o600

func (a *app) backupCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all events, products and profiles of the cluster, as of now, to a file",
		Long: `Write all events of the cluster to a file, its products and the profiles of its users, and what
its model versions were built with. The cluster goes on working. Every event that was
acknowledged before the command began is in the file; those that come meanwhile are not. The
file appears when it is complete. It is compressed, and has checksums: 'kith cluster verify'
reads them all. A backup during which a user is erased ends with an error: begin it again.

A FILE of - is standard output.`,
		Example: `  kith cluster backup shop-2026-11-25.kith
  kith cluster backup --addr a:7801,b:7801 - | ssh vault 'cat > shop.kith'`,
		Args: oneArg("the file to write, or - for standard output"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkBackupPath(args[0]); err != nil {
				return err
			}
			c, err := r.open()
			if err != nil {
				return err
			}
			defer c.close()
			c.patient()
			return a.backup(cmd.Context(), c, args[0])
		},
	}
	r.register(cmd, backupTimeout)
	return cmd
}

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a backup in full and check it; needs no server",
		Long: `Read a backup from begin to end, check everything in it, and say what it has. A file that is
cut short or in which a bit has changed is refused, and the error says where.

A FILE of - is standard input.`,
		Example: `  kith cluster verify shop-2026-11-25.kith
  ssh vault 'cat shop.kith' | kith cluster verify -`,
		Args: oneArg("a file that 'kith cluster backup' wrote, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.openBackup(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }() // only read
			p := a.progress("verify")
			s, err := verifyBackup(cmd.Context(), in, args[0], p)
			p.end()
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(backupView(args[0], &s))
			}
			if err := a.printf("%s is whole.\n\n", args[0]); err != nil {
				return err
			}
			return a.printBackup(&s)
		},
	}
	return cmd
}

// checkBackupPath refuses what cannot be written to, before there is work to lose.
func (a *app) checkBackupPath(path string) error {
	if path == "-" {
		switch {
		case a.terminal(a.out):
			return usagef("FILE is -, and standard output is a terminal; name a file, or send it to one")
		case a.json():
			return usagef("FILE is -, so standard output is the backup; leave out -o json")
		}
		return nil
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return usagef("%s is not a file; name one", path)
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || !st.IsDir() {
		return usagef("%s: there is no folder %s; make it first", path, filepath.Dir(path))
	}
	return nil
}

// jsonBackup is the summary of a backup. Seconds are those of making it.
type jsonBackup struct {
	File          string  `json:"file"`
	ClusterID     string  `json:"cluster_id"`
	Created       string  `json:"created"`
	Program       string  `json:"program"`
	Partitions    int     `json:"partitions"`
	Replication   uint32  `json:"replication"`
	Events        uint64  `json:"events"`
	Users         uint64  `json:"users"`
	Products      uint64  `json:"products"`
	Profiles      uint64  `json:"profiles"`
	Joined        uint64  `json:"joined_keys"`
	Versions      int     `json:"model_versions"`
	ActiveVersion uint64  `json:"active_version"`
	Bytes         int64   `json:"bytes"`
	Seconds       float64 `json:"seconds,omitempty"`
}

func backupView(file string, s *backup.Summary) jsonBackup {
	total, m := s.Total(), s.Manifest
	return jsonBackup{
		File: file, ClusterID: m.ClusterId, Created: timeOf(m.CreatedUnixMs), Program: m.Program, Partitions: len(m.Partitions),
		Replication: m.ReplicationFactor, Events: total.Events, Users: total.Users,
		Products: total.Products, Profiles: total.Profiles, Joined: total.Joined, Versions: len(m.Versions),
		ActiveVersion: m.ActiveVersion, Bytes: s.SizeBytes,
	}
}

// printBackup prints what a backup has.
func (a *app) printBackup(s *backup.Summary) error {
	v := backupView("", s)
	model := "none"
	if spec := s.ActiveSpec(); spec != nil {
		model = fmt.Sprintf("version %d: %s, %s neighbors", v.ActiveVersion, spec.Measure, count(spec.K))
	}
	return a.printFacts([][2]string{
		{"cluster", v.ClusterID},
		{"taken", v.Created},
		{"events", fmt.Sprintf("%s of %s", count(v.Events), plural(v.Users, "user", "users"))},
		{"records", fmt.Sprintf("%s, %s", plural(v.Products, "product", "products"), plural(v.Profiles, "profile", "profiles"))},
		{"partitions", fmt.Sprint(v.Partitions)},
		{"model", model},
		{"size", size(v.Bytes)},
	})
}

// backup writes a backup of a cluster.
func (a *app) backup(ctx context.Context, c *client, path string) error {
	began := time.Now()
	p := a.progress("backup")
	var s backup.Summary
	write := func(w io.Writer) (err error) {
		s, err = c.writeBackup(ctx, w, p)
		return err
	}
	var err error
	if path == "-" {
		out := bufio.NewWriterSize(a.out, 1<<20)
		if err = write(out); err == nil {
			err = out.Flush()
		}
	} else {
		err = writeMode(path, backupMode, write)
	}
	p.end()
	if err != nil {
		return err
	}
	view := backupView(path, &s)
	view.Seconds = time.Since(began).Seconds()
	text := fmt.Sprintf("%s of %s, %s, in %s.", plural(view.Events, "event", "events"),
		plural(view.Users, "user", "users"), size(view.Bytes), seconds(view.Seconds))
	switch {
	case path == "-":
		a.note("Backup: %s", text)
		return nil
	case a.json():
		return a.printJSON(view)
	}
	return a.printf("%s: %s\n", path, text)
}

// writeBackup writes a backup to w as it comes from the cluster.
func (c *client) writeBackup(ctx context.Context, w io.Writer, p *progress) (backup.Summary, error) {
	var out *backup.Writer
	var total, n uint64
	err := c.backup(ctx, func(m *kithv1.BackupResponse) (err error) {
		switch part := m.Part.(type) {
		case *kithv1.BackupResponse_Manifest:
			for _, cut := range part.Manifest.Partitions {
				total += cut.Events
			}
			out, err = backup.NewWriter(w, part.Manifest)
			return err
		case *kithv1.BackupResponse_Events:
			n += uint64(len(part.Events.Events))
			p.set("events", int64(n), int64(total))
			return out.Add(part.Events.Partition, wire.EventsFromProto(part.Events.Events))
		case *kithv1.BackupResponse_Records:
			kind, err := wire.BackupKindFromProto(part.Records.Kind)
			if err != nil {
				return err
			}
			records, err := wire.RecordsFromProto(part.Records.Records)
			if err != nil {
				return err
			}
			return out.AddRecords(part.Records.Partition, kind, records)
		}
		return fmt.Errorf("the server sent a part of a backup that this program does not know (%T); upgrade it", m.Part)
	})
	if err != nil {
		return backup.Summary{}, err
	}
	return out.Close()
}

// backup streams a backup to take: the manifest first, then the events and the records. When a server is lost, another goes on where it
// broke off.
func (c *client) backup(ctx context.Context, take func(*kithv1.BackupResponse) error) error {
	var at *kithv1.BackupPosition
	for {
		ended := false
		err := c.call(ctx, func(call context.Context, conn *grpc.ClientConn) (err error) {
			ended, err = backupFrom(ctx, call, conn, &at, take)
			return err
		})
		if ended || err != nil {
			return err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// backupFrom streams a backup from one server, behind at, which it moves on. It returns nil and that the backup has not
// ended if the stream broke after it brought something. The context call bounds the time to the first message.
func backupFrom(ctx, call context.Context, conn *grpc.ClientConn, at **kithv1.BackupPosition, take func(*kithv1.BackupResponse) error) (ended bool, err error) {
	streaming, cancel := context.WithCancel(ctx)
	defer cancel()
	unbind := context.AfterFunc(call, cancel)
	defer unbind()
	stream, err := kithv1.NewClusterServiceClient(conn).Backup(streaming, &kithv1.BackupRequest{Resume: *at, WithRecords: true})
	if err != nil {
		return false, err
	}
	for first := true; ; first = false {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil && !first && ctx.Err() == nil && wire.Retryable(err):
			return false, nil
		case err != nil && first && call.Err() != nil:
			return false, call.Err()
		case err != nil:
			return false, err
		}
		unbind()
		if err := take(m); err != nil {
			return false, err
		}
		switch part := m.Part.(type) {
		case *kithv1.BackupResponse_Manifest:
			*at = &kithv1.BackupPosition{Manifest: part.Manifest}
		case *kithv1.BackupResponse_Events:
			last := part.Events.Events[len(part.Events.Events)-1]
			(*at).Partition, (*at).AfterUser, (*at).AfterId = part.Events.Partition, last.User, last.Id
		case *kithv1.BackupResponse_Records:
			last := part.Records.Records[len(part.Records.Records)-1]
			*at = &kithv1.BackupPosition{Manifest: (*at).Manifest, Partition: part.Records.Partition, AfterKind: part.Records.Kind, AfterKey: last.Key}
		}
	}
}

// openBackup opens a backup for reading; - is standard input.
func (a *app) openBackup(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	return f, nil
}

// verifyBackup reads a backup in full.
func verifyBackup(ctx context.Context, r io.Reader, name string, p *progress) (backup.Summary, error) {
	s, err := backup.Verify(bufio.NewReaderSize(contextReader{ctx, r}, 1<<20), func(events uint64) { p.set("verifying", int64(events), 0) })
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return s, err
}

// contextReader ends when its context does. It holds one because io.Reader takes none.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
