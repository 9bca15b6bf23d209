package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kith-io/kith/durable"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// exportFile is the description of an export, in its folder.
const exportFile = "export.json"

// exportRow is a row of a file of answers.
type exportRow struct {
	User    string  `parquet:"user,dict"`
	Rank    int32   `parquet:"rank"`
	Item    string  `parquet:"item,dict"`
	Score   float64 `parquet:"score"`
	Source  string  `parquet:"source,dict"`
	Version uint64  `parquet:"model_version"`
	Partial bool    `parquet:"partial"`
	// Of scenes; empty otherwise.
	Experiment string `parquet:"experiment,dict"`
	Variant    string `parquet:"variant,dict"`
	Answer     string `parquet:"answer_id,dict"`
}

// exporting is what an export was asked for: another one does not go on with it.
type exporting struct {
	Cluster    string          `json:"cluster"`
	Partitions int             `json:"partitions"`
	Request    json.RawMessage `json:"request"`
}

// exported sums up what was written.
type exported struct {
	users, failed, partial, rows atomic.Int64
	first                        atomic.Pointer[string] // why the first user without an answer has none
}

type jsonExport struct {
	Folder  string  `json:"folder"`
	Files   int     `json:"files"`
	Kept    int     `json:"kept_files"`
	Users   int64   `json:"users"`
	Rows    int64   `json:"rows"`
	Failed  int64   `json:"failed"`
	Partial int64   `json:"partial"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
}

func (a *app) exportCommand() *cobra.Command {
	var r remote
	var again bool
	answer := answerFlags{model: modelName{modelChoice()}}
	cmd := &cobra.Command{
		Use:   "export FOLDER",
		Short: "Write recommendations for all users to Parquet files",
		Long: `Recommend the N best items to every user with events, and write them to FOLDER: a Parquet file
for each partition, with the columns user, rank, item, score, source, model_version and partial,
and for scenes experiment, variant and answer_id. The nodes that lead the partitions make the
answers, all at the same time if --addr names them all.

A file has its name when it is complete. The same command goes on where one ended that was
interrupted: it keeps the files that are there. With --again all are written anew.`,
		Example: `  kith export top -n 20 --addr n1:7801,n2:7801,n3:7801
  kith export top --model item-knn --filter stock --exclude-bought 30d`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usagef("where to? Name one folder")
			}
			return nil
		},
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			req, err := answer.request()
			if err != nil {
				return err
			}
			return a.export(ctx, c, args[0], req, again)
		}),
	}
	f := cmd.Flags()
	answer.register(f)
	f.BoolVar(&again, "again", false, "write files anew that are there")
	r.register(cmd, queryTimeout)
	return cmd
}

// export writes a file for each partition, as many at a time as there are servers.
func (a *app) export(ctx context.Context, c *client, folder string, req *kithv1.RecommendRequest, again bool) error {
	began := time.Now()
	status, err := c.status(ctx)
	if err != nil {
		return err
	}
	if err := openExport(folder, status, req, again); err != nil {
		return err
	}
	view := jsonExport{Folder: folder}
	var todo []*kithv1.PartitionStatus
	for _, p := range status.Partitions {
		switch _, err := os.Stat(exportPath(folder, p.Partition)); {
		case err == nil && !again:
			view.Kept++
		case err == nil || errors.Is(err, fs.ErrNotExist):
			todo = append(todo, p)
		default:
			return err
		}
	}
	var sum exported
	p := a.progress("export")
	total := int64(0)
	for _, x := range todo {
		total += int64(x.Users)
	}
	tell := func() { p.set("export", sum.users.Load(), total) }
	nodes := c.byNode(ctx)
	queues := make(map[*grpc.ClientConn][]uint32)
	for i, x := range todo {
		conn := nodes[x.Leader]
		if conn == nil {
			conn = c.conns[i%len(c.conns)]
		}
		queues[conn] = append(queues[conn], x.Partition)
	}
	var g *errgroup.Group
	g, ctx = errgroup.WithContext(ctx)
	for conn, partitions := range queues {
		g.Go(func() error {
			for _, p := range partitions {
				req := &kithv1.ExportRecommendationsRequest{Partition: p, Request: req}
				if err := exportPartition(ctx, conn, exportPath(folder, p), req, &sum, tell); err != nil {
					return fmt.Errorf("partition %d: %w", p, err)
				}
			}
			return nil
		})
	}
	err = g.Wait()
	p.end()
	if err != nil {
		return fmt.Errorf("%w; run the same command again to go on: complete files are kept", err)
	}
	view.Files, view.Users, view.Rows, view.Failed, view.Partial = len(todo), sum.users.Load(), sum.rows.Load(), sum.failed.Load(), sum.partial.Load()
	view.Seconds = time.Since(began).Seconds()
	if text := sum.first.Load(); text != nil {
		view.Error = *text
	}
	if err := a.printExport(view); err != nil {
		return err
	}
	if view.Failed > 0 {
		return fmt.Errorf("%s no answer; the first: %s", plural(view.Failed, "user has", "users have"), view.Error)
	}
	return nil
}

func exportPath(folder string, partition uint32) string {
	return filepath.Join(folder, fmt.Sprintf("part-%05d.parquet", partition))
}

// openExport makes the folder of an export, or finds out that it has the files of the same one. With again those that it has are removed.
func openExport(folder string, status *kithv1.StatusResponse, req *kithv1.RecommendRequest, again bool) error {
	asked, err := protojson.Marshal(req)
	if err != nil {
		return err
	}
	want, err := json.Marshal(exporting{Cluster: status.ClusterId, Partitions: len(status.Partitions), Request: asked}) // which takes out the spaces, that protojson makes at random
	if err != nil {
		return err
	}
	want = append(want, '\n')
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	parts, err := filepath.Glob(filepath.Join(folder, "part-*.parquet"))
	if err != nil {
		return err
	}
	path := filepath.Join(folder, exportFile)
	have, err := os.ReadFile(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case again:
		for _, part := range parts { // before the description says that they are of this one
			if err := os.Remove(part); err != nil {
				return err
			}
		}
	case bytes.Equal(have, want):
		return nil
	case err == nil:
		return fmt.Errorf("%s holds an export that asked for something else, or of another cluster; name an empty folder, or use --again", folder)
	case len(parts) > 0:
		return fmt.Errorf("%s holds %s without %s, which says of what they are; name an empty folder, or use --again", folder, filepath.Base(parts[0]), exportFile)
	}
	return durable.Replace(path, want, backupMode)
}

// byNode returns the connections by the ids of the nodes at their ends, of those that answer.
func (c *client) byNode(ctx context.Context) map[string]*grpc.ClientConn {
	nodes := make(map[string]*grpc.ClientConn)
	for _, conn := range c.conns {
		err := c.try(ctx, conn, func(ctx context.Context, conn *grpc.ClientConn) error {
			s, err := kithv1.NewClusterServiceClient(conn).Status(ctx, &kithv1.StatusRequest{})
			if err == nil {
				nodes[s.Node] = conn
			}
			return err
		})
		if err != nil {
			continue // another one makes its answers
		}
	}
	return nodes
}

// exportTries is how often an export of a partition is tried again without any answer between.
const exportTries = 5

// exportPartition writes the file of a partition. Where the stream breaks off it goes on behind the last user. A user that has no answer now, but may have one
// later, leaves the file unfinished.
func exportPartition(ctx context.Context, conn *grpc.ClientConn, path string, req *kithv1.ExportRecommendationsRequest, sum *exported, tell func()) error {
	return writeMode(path, backupMode, func(w io.Writer) error {
		out := parquet.NewGenericWriter[exportRow](w, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(featureGroup), parquet.CreatedBy("kith", "", ""))
		take := func(a *kithv1.UserRecommendations) error {
			switch {
			case a.Error.GetRetryable():
				return fmt.Errorf("user %.80q has no answer: %s", a.User, a.Error.Message)
			case a.Error != nil:
				text := fmt.Sprintf("user %.80q: %s", a.User, a.Error.Message)
				sum.first.CompareAndSwap(nil, &text)
				sum.failed.Add(1)
			case a.Response.Partial:
				sum.partial.Add(1)
			}
			x := a.GetResponse()
			rows := make([]exportRow, len(x.GetItems()))
			for i, item := range x.GetItems() {
				rows[i] = exportRow{a.User, int32(i + 1), item.Item, item.Score, sourceName(x, item.Source), x.ModelVersion, x.Partial, x.Experiment, x.Variant, x.AnswerId}
			}
			if _, err := out.Write(rows); err != nil {
				return err
			}
			sum.users.Add(1)
			sum.rows.Add(int64(len(rows)))
			req.AfterUser = a.User
			return nil
		}
		for tries := 0; ; tries++ {
			before := req.AfterUser
			err := exportBehind(ctx, conn, req, take, tell)
			if req.AfterUser != before {
				tries = 0
			}
			switch {
			case err == nil:
				return out.Close()
			case !wire.Retryable(err) || tries == exportTries:
				return err
			}
			select {
			case <-time.After(max(time.Second, wire.RetryIn(err))):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// exportBehind takes what one stream brings.
func exportBehind(ctx context.Context, conn *grpc.ClientConn, req *kithv1.ExportRecommendationsRequest, take func(*kithv1.UserRecommendations) error, tell func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := kithv1.NewRecommenderServiceClient(conn).ExportRecommendations(ctx, req)
	if err != nil {
		return err
	}
	return wire.Receive(stream, func(m *kithv1.ExportRecommendationsResponse) error {
		defer tell()
		for _, a := range m.Answers {
			if err := take(a); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *app) printExport(x jsonExport) error {
	if a.json() {
		return a.printJSON(x)
	}
	kept := ""
	if x.Kept > 0 {
		kept = fmt.Sprintf(", beside %d that were there", x.Kept)
	}
	if err := a.printf("%s for %s in %s of %s%s, in %s.\n", plural(x.Rows, "recommendation", "recommendations"), plural(x.Users-x.Failed, "user", "users"),
		plural(x.Files, "file", "files"), printable(x.Folder), kept, seconds(x.Seconds)); err != nil {
		return err
	}
	if x.Partial > 0 {
		if err := a.printf("\n%s partial: some partitions could not be asked, or their products are not known. See 'kith status'.\n", plural(x.Partial, "answer is", "answers are")); err != nil {
			return err
		}
	}
	return nil
}
