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
	var n int
	var scene string
	var seen, noFallback, stale, again bool
	var rules ruleFlags
	model := modelChoice()
	var cmd *cobra.Command
	cmd = &cobra.Command{
		Use:   "export FOLDER",
		Short: "Write recommendations for all users to Parquet files",
		Long: `Recommend the N best items to every user with events, and write them to FOLDER: a Parquet file
for each partition, with the columns user, rank, item, score, source, model_version and partial. The
nodes that lead the partitions make the answers, all at the same time if --addr names them all.

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
			if err := checkLength(n); err != nil {
				return err
			}
			req := &kithv1.RecommendRequest{N: uint32(n), Model: modelByName(model.value), Scene: scene, IncludeSeen: seen, NoFallback: noFallback, Stale: stale}
			leaveToScene(cmd, req)
			some, err := rules.rules()
			if err != nil {
				return err
			}
			req.Filter, req.Boosts, req.Freshness, req.Diversity = some.filter, some.boosts, some.freshness, some.diversity
			if err := rules.history(req); err != nil {
				return err
			}
			return a.export(ctx, c, args[0], req, again)
		}),
	}
	f := cmd.Flags()
	f.IntVarP(&n, "n", "n", 10, "number of items for a user")
	f.Var(&model, "model", "how items are scored")
	f.StringVar(&scene, "scene", "", "`name` of the scene that answers")
	f.BoolVar(&seen, "include-seen", false, "recommend also items that a user knows already")
	f.BoolVar(&noFallback, "no-fallback", false, "do not fill up from popularity")
	f.BoolVar(&stale, "stale", false, "read from any replica; the newest events may be missing")
	f.BoolVar(&again, "again", false, "write files anew that are there")
	rules.registerFilter(f)
	rules.registerOrder(f)
	rules.registerHistory(f)
	r.register(cmd, queryTimeout)
	return cmd
}

// export writes a file for each partition, as many at a time as there are servers.
func (a *app) export(ctx context.Context, c *client, folder string, req *kithv1.RecommendRequest, again bool) error {
	began := time.Now()
	var status *kithv1.StatusResponse
	err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		status, err = kithv1.NewClusterServiceClient(conn).Status(ctx, &kithv1.StatusRequest{})
		return err
	})
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
	nodes := c.byNode(ctx)
	var g *errgroup.Group
	g, ctx = errgroup.WithContext(ctx)
	g.SetLimit(len(c.conns))
	for i, x := range todo {
		conn := nodes[x.Leader]
		if conn == nil {
			conn = c.conns[i%len(c.conns)]
		}
		g.Go(func() error {
			err := exportPartition(ctx, conn, exportPath(folder, x.Partition), &kithv1.ExportRecommendationsRequest{
				Partition: x.Partition, Request: req,
			}, &sum, func() { p.set("export", sum.users.Load(), total) })
			if err != nil {
				return fmt.Errorf("partition %d: %w", x.Partition, err)
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
	return a.printExport(view)
}

func exportPath(folder string, partition uint32) string {
	return filepath.Join(folder, fmt.Sprintf("part-%05d.parquet", partition))
}

// openExport makes the folder of an export, or finds out that it has the files of the same one.
func openExport(folder string, status *kithv1.StatusResponse, req *kithv1.RecommendRequest, again bool) error {
	asked, err := protojson.Marshal(req)
	if err != nil {
		return err
	}
	var compact bytes.Buffer // protojson spaces at random
	if err := json.Compact(&compact, asked); err != nil {
		return err
	}
	want := exporting{Cluster: status.ClusterId, Partitions: len(status.Partitions), Request: compact.Bytes()}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	path := filepath.Join(folder, exportFile)
	b, err := os.ReadFile(path)
	switch {
	case err == nil && !again:
		var have exporting
		if err := json.Unmarshal(b, &have); err != nil {
			return fmt.Errorf("%s is no description of an export: %w; name an empty folder, or use --again", path, err)
		}
		if have.Cluster != want.Cluster || have.Partitions != want.Partitions || !bytes.Equal(have.Request, want.Request) {
			return fmt.Errorf("%s holds an export that asked for something else, or of another cluster; name an empty folder, or use --again", folder)
		}
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	b, err = json.Marshal(want)
	if err != nil {
		return err
	}
	return durable.Replace(path, append(b, '\n'), backupMode)
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

// exportPartition writes the file of a partition.
func exportPartition(ctx context.Context, conn *grpc.ClientConn, path string, req *kithv1.ExportRecommendationsRequest, sum *exported, tell func()) error {
	return writeMode(path, backupMode, func(w io.Writer) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := kithv1.NewRecommenderServiceClient(conn).ExportRecommendations(ctx, req)
		if err != nil {
			return err
		}
		out := parquet.NewGenericWriter[exportRow](w, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(featureGroup), parquet.CreatedBy("kith", "", ""))
		err = wire.Receive(stream, func(m *kithv1.ExportRecommendationsResponse) error {
			defer tell()
			sum.users.Add(int64(len(m.Answers)))
			for _, a := range m.Answers {
				if a.Error != nil {
					sum.failed.Add(1)
					text := fmt.Sprintf("user %.80q: %s", a.User, a.Error.Message)
					sum.first.CompareAndSwap(nil, &text)
					continue
				}
				rows := make([]exportRow, len(a.Response.Items))
				for i, x := range a.Response.Items {
					rows[i] = exportRow{a.User, int32(i + 1), x.Item, x.Score, modelNames[x.Source], a.Response.ModelVersion, a.Response.Partial}
				}
				if _, err := out.Write(rows); err != nil {
					return err
				}
				if a.Response.Partial {
					sum.partial.Add(1)
				}
				sum.rows.Add(int64(len(rows)))
			}
			return nil
		})
		if err != nil {
			return err
		}
		return out.Close()
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
	if x.Failed > 0 {
		return a.printf("\n%s no answer. The first: %s\n", plural(x.Failed, "user has", "users have"), x.Error)
	}
	return nil
}
