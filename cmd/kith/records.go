package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// recordLine is the longest line of a file of records: one of the largest, with every byte written as six.
	recordLine = 6*catalog.MaxRecordBytes + 4096
	// recordMessage is the number of records of a message, unless their bytes bound it.
	recordMessage = 1000
)

// recordTool are the commands of one kind of records.
type recordTool struct {
	*app
	kind           catalog.Kind
	command        string
	one, many, key string // words
}

func (a *app) productsCommand() *cobra.Command {
	t := recordTool{app: a, kind: catalog.Product, command: "products", one: "product", many: "products", key: "p1"}
	cmd := t.tree("Keep what is known of products: title, price, tags")
	cmd.AddCommand(t.completeCommand(), t.embedCommand())
	return cmd
}

func (a *app) usersCommand() *cobra.Command {
	t := recordTool{app: a, kind: catalog.Profile, command: "users", one: "profile", many: "profiles", key: "u17"}
	cmd := t.tree("Keep what is known of users beside their events")
	cmd.AddCommand(a.userKeyCommand(), a.joinCommand())
	return cmd
}

func (t *recordTool) tree(short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   t.command,
		Short: short,
		Long: short + `.

A record has a key, a version and attributes: texts, numbers, truth values, times and lists of
texts. The version is the time or number of its last change: a higher one replaces a lower one,
whatever order they come in, and putting a file again changes nothing. Records are replicated
as events are.`,
		Example: fmt.Sprintf("  kith %[1]s put %[1]s.jsonl\n  kith %[1]s get %[2]s", t.command, t.key),
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(t.putCommand(), t.getCommand(), t.listCommand(), t.deleteCommand(), t.featuresCommand())
	return cmd
}

func (t *recordTool) putCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "put FILE...",
		Short: "Store the " + t.many + " of files",
		Long: `Store the ` + t.many + ` of files that have one on each line, as JSON:

  {"key": "` + t.key + `", "version": 3, "attributes": {"name": "x", "size": 9.5, "new": true,
   "tags": ["a", "b"], "since": {"time": "2026-11-25T10:00:00Z"}}, "places": ...}

Places say where it comes from, and may be any JSON. A FILE of - is standard input.`,
		Example: fmt.Sprintf("  kith %s put %s.jsonl", t.command, t.command),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("no file; want some, or - for standard input")
			}
			return nil
		},
		RunE: t.remotely(&r, t.put),
	}
	r.register(cmd, ingestTimeout)
	return cmd
}

// recordCounts is what became of records.
type recordCounts struct {
	Changed   uint64 `json:"changed"`
	Unchanged uint64 `json:"unchanged"`
	Erased    uint64 `json:"erased"`
}

// words says what became of records.
func (c *recordCounts) words(one, many string) string {
	refused := ""
	if c.Erased > 0 {
		refused = fmt.Sprintf(", %s refused, as their users were erased", count(c.Erased))
	}
	return fmt.Sprintf("%s stored, %s known or older%s", plural(c.Changed, one, many), count(c.Unchanged), refused)
}

func (t *recordTool) put(ctx context.Context, c *client, args []string) error {
	c.patient()
	var total recordCounts
	for _, path := range args {
		if err := t.putFile(ctx, c, path, &total); err != nil {
			if total.Changed > 0 {
				t.note("%s had been stored before the error; put again to go on", plural(total.Changed, t.one, t.many))
			}
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if t.json() {
		return t.printJSON(total)
	}
	return t.printf("%s.\n", total.words(t.one, t.many))
}

func (t *recordTool) putFile(ctx context.Context, c *client, path string, total *recordCounts) error {
	in, done, err := t.open(path)
	if err != nil {
		return err
	}
	defer done()
	s := recordSender{client: c, kind: t.kind, total: total}
	if err := forRecords(ctx, in, func(r *catalog.Record) error { return s.add(ctx, r) }); err != nil {
		return err
	}
	return s.flush(ctx)
}

// forRecords calls f with each record of lines of JSON.
func forRecords(ctx context.Context, in io.Reader, f func(r *catalog.Record) error) error {
	lines := bufio.NewScanner(contextReader{ctx, in})
	lines.Buffer(nil, recordLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		r, err := catalog.ParseJSON(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := f(&r); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: a line has more than %d bytes", catalog.ErrInvalid, recordLine)
	} else if err != nil {
		return err
	}
	return nil
}

// recordSender stores records in messages of some size.
type recordSender struct {
	client *client
	kind   catalog.Kind
	total  *recordCounts
	batch  []*kithv1.Record
	size   int
}

func (s *recordSender) add(ctx context.Context, r *catalog.Record) error {
	m := wire.RecordToProto(r)
	n := proto.Size(m)
	if len(s.batch) == recordMessage || s.size+n > messageBytes {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch, s.size = append(s.batch, m), s.size+n
	return nil
}

func (s *recordSender) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	var resp *kithv1.PutRecordsResponse
	err := s.client.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewCatalogServiceClient(conn).PutRecords(ctx, &kithv1.PutRecordsRequest{Kind: wire.KindToProto(s.kind), Records: s.batch})
		return err
	})
	if err != nil {
		return err
	}
	if len(resp.Rejections) > 0 {
		return fmt.Errorf("the server refused %s, the first: %s; its version may differ from this program's",
			plural(resp.Rejected, "record", "records"), resp.Rejections[0].Detail)
	}
	s.total.Changed += resp.Changed
	s.total.Unchanged += resp.Unchanged
	s.total.Erased += resp.Erased
	s.batch, s.size = nil, 0
	return nil
}

func (t *recordTool) getCommand() *cobra.Command {
	var r remote
	var stale bool
	cmd := &cobra.Command{
		Use:     "get KEY...",
		Short:   "Print the " + t.many + " of some keys",
		Long:    `Print the ` + t.many + ` of some keys, by key. With -o json they are lines of JSON that put reads.`,
		Example: fmt.Sprintf("  kith %s get %s -o json", t.command, t.key),
		Args:    someKeys,
		RunE: t.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			records, err := c.records(ctx, t.kind, args, stale)
			if err != nil {
				return err
			}
			if missing := len(args) - len(records); missing > 0 {
				t.note("%s not there", plural(missing, "key is", "keys are"))
			}
			return t.print(records)
		}),
	}
	cmd.Flags().BoolVar(&stale, "stale", false, "ask any replica: the newest changes may be missing")
	r.register(cmd, queryTimeout)
	return cmd
}

func someKeys(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("no key; want some")
	}
	for _, key := range args {
		if err := catalog.CheckKey(key); err != nil {
			return &usageError{err}
		}
	}
	return nil
}

func (c *client) records(ctx context.Context, kind catalog.Kind, keys []string, stale bool) (records []*kithv1.Record, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		records = nil
		stream, err := kithv1.NewCatalogServiceClient(conn).GetRecords(ctx, &kithv1.GetRecordsRequest{Kind: wire.KindToProto(kind), Keys: keys, Stale: stale})
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.GetRecordsResponse) error {
			records = append(records, m.Records...)
			return nil
		})
	})
	return records, err
}

func (t *recordTool) listCommand() *cobra.Command {
	var r remote
	n := 20
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print " + t.many + ", by partition and key",
		Long: `Print the first ` + t.many + `, by partition and key, or all with -n 0. With -o json they are lines of
JSON that put reads.`,
		Example: fmt.Sprintf("  kith %[1]s list -n 0 -o json > %[1]s.jsonl", t.command),
		Args:    noArgs,
		RunE: t.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
			if n < 0 {
				return usagef("-n is %d; want at least 0", n)
			}
			return t.list(ctx, c, n)
		}),
	}
	cmd.Flags().IntVarP(&n, "n", "n", n, "most that are printed; 0 means all")
	r.register(cmd, queryTimeout)
	return cmd
}

// list prints pages as they come, so that memory does not grow with them.
func (t *recordTool) list(ctx context.Context, c *client, n int) error {
	left := n
	req := &kithv1.ListRecordsRequest{Kind: wire.KindToProto(t.kind)}
	for partitions := uint32(1); req.Partition < partitions && (n == 0 || left > 0); {
		var resp *kithv1.ListRecordsResponse
		err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
			resp, err = kithv1.NewCatalogServiceClient(conn).ListRecords(ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		page := resp.Records
		if n > 0 {
			page = page[:min(left, len(page))]
			left -= len(page)
		}
		if len(page) > 0 {
			if err := t.print(page); err != nil {
				return err
			}
		}
		partitions, req.AfterKey = resp.Partitions, resp.AfterKey
		if req.AfterKey == "" {
			req.Partition++
		}
	}
	return nil
}

func (t *recordTool) deleteCommand() *cobra.Command {
	var r remote
	version := int64(-1)
	cmd := &cobra.Command{
		Use:   "delete KEY...",
		Short: "Delete the " + t.many + " of some keys",
		Long: `Delete the ` + t.many + ` of some keys. What is deleted comes back only with a higher version than it had, or
than --version says. To remove all that there is of a person, use 'kith erase'.`,
		Example: fmt.Sprintf("  kith %s delete %s", t.command, t.key),
		Args:    someKeys,
		RunE: t.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			req := &kithv1.DeleteRecordsRequest{Kind: wire.KindToProto(t.kind), Keys: args}
			if version >= 0 {
				req.Version = &version
			}
			var resp *kithv1.DeleteRecordsResponse
			err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
				resp, err = kithv1.NewCatalogServiceClient(conn).DeleteRecords(ctx, req)
				return err
			})
			if err != nil {
				return err
			}
			if t.json() {
				return t.printJSON(map[string]any{"deleted": resp.Deleted, "unchanged": resp.Unchanged})
			}
			return t.printf("%s deleted, %s not there or newer.\n", plural(resp.Deleted, t.one, t.many), count(resp.Unchanged))
		}),
	}
	cmd.Flags().Int64Var(&version, "version", -1, "version of the deletion (default: that of what is there)")
	r.register(cmd, queryTimeout)
	return cmd
}

// print prints records as a table, or as lines of JSON.
func (t *recordTool) print(records []*kithv1.Record) error {
	var rows [][]any
	for _, m := range records {
		r, err := wire.RecordFromProto(m)
		if err != nil {
			return err
		}
		line, err := catalog.FormatJSON(&r)
		if err != nil {
			return err
		}
		if t.json() {
			if err := t.printf("%s\n", line); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []any{printable(r.Key), r.Version, fit(printable(attributesText(&r)), 100)})
	}
	if len(rows) == 0 {
		return nil
	}
	return t.printTable("", columns{t.one, ">version", "attributes"}, rows)
}

func attributesText(r *catalog.Record) string {
	var out []string
	for i := range r.Attributes {
		out = append(out, r.Attributes[i].Name+"="+r.Attributes[i].Value.String())
	}
	return strings.Join(out, " ")
}
