package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/source/synthetic"
)

const (
	// demoTimeout bounds each question to the demo's cluster.
	demoTimeout = 30 * time.Second
	// demoNodes survive the loss of one.
	demoNodes = 3
	// demoHistory is the number of items that the demo's user knows: enough to have a taste, few enough to show.
	demoHistory = 12
	// demoBlock cuts the small catalog into enough blocks for all nodes to have work. It changes no result.
	demoBlock = 64
	// demoN is the length of the demo's answers.
	demoN = 10
)

func (a *app) demoCommand() *cobra.Command {
	var seed uint64
	var serve bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A tour on the data of a generated shop, in a few seconds",
		Long: `A tour: generates a shop, starts a cluster of three nodes in this process, stores the
shop's events, builds a model, recommends and explains, measures the quality offline, and
kills the coordinator to show that the answers stay the same. Everything happens in a
temporary folder and on this machine alone, and is gone afterwards.`,
		Example: `  kith demo
  kith demo --serve     leaves the cluster running until Ctrl-C, to try the other commands`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			dir, err := os.MkdirTemp("", "kith-demo-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			t := &tour{app: a, dir: dir, seed: seed, began: time.Now()}
			defer func() { err = errors.Join(err, t.close()) }()
			if err := t.run(cmd.Context()); err != nil {
				return err
			}
			if serve {
				return t.serve(cmd.Context())
			}
			return nil
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 1, "chooses the shop")
	cmd.Flags().BoolVar(&serve, "serve", false, "leave the cluster running until Ctrl-C")
	return cmd
}

// tour is one run of the demo. Its steps print what they do, or with JSON collect it.
type tour struct {
	*app
	dir   string
	seed  uint64
	began time.Time
	step  int

	products map[string]product
	mappings []fusion.Mapping
	table    *fusion.Table // the same data as on the cluster, for evaluation
	user     string
	item     string
	cluster  *demoCluster
	client   *client
	answer   *kithv1.RecommendResponse
	result   jsonDemo
}

// jsonDemo is the result of the tour.
type jsonDemo struct {
	Users     int                 `json:"users"`
	Items     int                 `json:"items"`
	Events    int64               `json:"events"`
	Cluster   jsonStatus          `json:"cluster"`
	Ingest    *jsonIngest         `json:"ingest"`
	Version   jsonVersion         `json:"version"`
	Neighbors any                 `json:"neighbors"`
	Recommend *jsonRecommendation `json:"recommend"`
	Evaluate  any                 `json:"evaluate"`
	Failover  jsonFailover        `json:"failover"`
	Seconds   float64             `json:"seconds"`
}

type jsonFailover struct {
	Killed         string  `json:"killed"`
	Coordinator    string  `json:"coordinator"`
	AnswerSeconds  float64 `json:"answer_seconds"`
	SameAnswer     bool    `json:"same_answer"`
	RestartSeconds float64 `json:"restart_seconds"`
}

func (t *tour) run(ctx context.Context) error {
	if err := t.say("%s: a shop, a cluster of three nodes, and what it recommends\n", t.bold("kith demo")); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		t.generate, t.start, t.ingest, t.build, t.similar, t.recommend, t.explain, t.evaluate, t.kill,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	t.result.Seconds = time.Since(t.began).Seconds()
	if t.json() {
		return t.printJSON(t.result)
	}
	return t.next()
}

// close stops what the tour started.
func (t *tour) close() error {
	if t.client != nil {
		t.client.close()
	}
	if t.cluster == nil {
		return nil
	}
	return t.cluster.close()
}

// say prints text unless the result is JSON.
func (t *tour) say(format string, args ...any) error {
	if t.json() {
		return nil
	}
	return t.printf(format, args...)
}

// text prints a paragraph of a section.
func (t *tour) text(format string, args ...any) error {
	const width = 88
	return t.say("%s%s\n", margin, wrap(fmt.Sprintf(format, args...), width-len(margin), margin))
}

// title begins a section.
func (t *tour) title(text string) error {
	t.step++
	return t.say("\n%s\n\n", t.bold(fmt.Sprintf("%d. %s", t.step, text)))
}

// show prints a table unless the result is JSON.
func (t *tour) show(head columns, rows [][]any) error {
	if t.json() {
		return nil
	}
	return t.printTable(margin, head, rows)
}

// margin stands before the lines of a section.
const margin = "   "

func (t *tour) generate(ctx context.Context) error {
	cfg := synthetic.DefaultConfig(2000, 500, 100_000, t.seed)
	if err := t.title("A shop"); err != nil {
		return err
	}
	shop := filepath.Join(t.dir, "shop")
	if err := os.Mkdir(shop, 0o755); err != nil {
		return err
	}
	began := time.Now()
	summary, err := generateShop(ctx, cfg, shop, nil)
	if err != nil {
		return err
	}
	t.result.Users, t.result.Items, t.result.Events = cfg.Users, cfg.Items, summary.Events
	if t.products, err = readProducts(shop); err != nil {
		return err
	}
	if t.mappings, err = fusion.ReadMappings(filepath.Join(shop, synthetic.MappingFile)); err != nil {
		return err
	}
	dead := fusion.NewDeadLetterWriter("")
	t.table, _, err = fusion.ReadTable(ctx, t.mappings, fusion.DefaultWeights(), time.Now().UnixMilli(), dead)
	if err != nil {
		return err
	}
	customers, err := readCustomers(shop)
	if err != nil {
		return err
	}
	t.user, t.item = typicalUser(t.table, customers, demoHistory), popularItem(t.table)
	return t.text(`%s customers and %s products made %s events in a year: views, searches, carts, orders and
		cancellations, in two logs. One row in 200 has a fault. Generated in %s.`,
		count(cfg.Users), count(cfg.Items), count(summary.Events), seconds(time.Since(began).Seconds()))
}

func (t *tour) start(ctx context.Context) error {
	if err := t.title("A cluster of three nodes"); err != nil {
		return err
	}
	began := time.Now()
	var err error
	if t.cluster, err = startDemo(ctx, filepath.Join(t.dir, "nodes"), demoNodes); err != nil {
		return err
	}
	if t.client, err = t.cluster.client(); err != nil {
		return err
	}
	s, err := t.client.status(ctx)
	if err != nil {
		return err
	}
	t.result.Cluster = statusView(s)
	if err := t.text(`Ready after %s. Each of %d partitions is kept on %d nodes by raft: an event that is acknowledged
		survives the loss of any one.`, seconds(time.Since(began).Seconds()), len(s.Partitions), s.ReplicationFactor); err != nil {
		return err
	}
	return errors.Join(t.say("\n"), t.members(s))
}

// members prints the nodes.
func (t *tour) members(s *kithv1.StatusResponse) error {
	var rows [][]any
	for _, m := range s.Members {
		role := ""
		if m.Coordinator {
			role = "coordinator"
		}
		leads := 0
		for _, p := range s.Partitions {
			if p.Leader == m.Id {
				leads++
			}
		}
		rows = append(rows, []any{m.Id, stateName(m.State), m.GrpcAddr, m.Replicas, leads, role})
	}
	return t.show(columns{"node", "state", "address", ">replicas", ">leads", ""}, rows)
}

func (t *tour) ingest(ctx context.Context) error {
	if err := t.title("Ingest"); err != nil {
		return err
	}
	began := time.Now()
	job := &ingestion{
		mappings: t.mappings, dead: fusion.NewDeadLetterWriter(filepath.Join(t.dir, "rejected.jsonl")), streams: 4,
		client: t.client, progress: t.progress("ingest"),
	}
	summary, err := job.run(ctx)
	job.progress.end()
	if err = errors.Join(err, job.dead.Close()); err != nil {
		return err
	}
	summary.Seconds = time.Since(began).Seconds()
	t.result.Ingest = summary
	if t.json() {
		return nil
	}
	if err := t.printIngested(margin, summary); err != nil {
		return err
	}
	return t.text("Refused rows are kept in a file, with their line and reason.")
}

func (t *tour) build(ctx context.Context) error {
	if err := t.title("Build a model"); err != nil {
		return err
	}
	job, err := t.client.build(ctx, &kithv1.BuildSpec{BlockItems: demoBlock})
	if err != nil {
		return err
	}
	p := t.progress("build")
	job, err = t.client.wait(ctx, job.Id, func(j *kithv1.Job) { showJob(p, j) })
	p.end()
	if err != nil {
		return err
	}
	v, err := t.client.version(ctx, job.ModelVersion)
	if err != nil {
		return err
	}
	t.result.Version = versionView(v)
	if err := t.text(`The %d nearest neighbors of each product by %s similarity, exact, in %s. The nodes shared the work; the
		result is the same, bit for bit, on any number of nodes.`, v.Spec.GetK(), v.Spec.GetMeasure(), seconds(jobSeconds(job))); err != nil {
		return err
	}
	if t.json() {
		return nil
	}
	return t.printUsage(margin, v.Usage)
}

func (t *tour) similar(ctx context.Context) error {
	if err := t.title("Neighbors of " + t.name(t.item)); err != nil {
		return err
	}
	resp, err := t.client.similar(ctx, &kithv1.SimilarRequest{N: 5, Subject: &kithv1.SimilarRequest_Item{Item: t.item}})
	if err != nil {
		return err
	}
	type neighbor struct {
		Item  string  `json:"item"`
		Name  string  `json:"name"`
		Score float64 `json:"score"`
	}
	var out []neighbor
	var rows [][]any
	for i, n := range resp.Neighbors {
		out = append(out, neighbor{n.Key, t.name(n.Key), n.Score})
		rows = append(rows, []any{i + 1, t.name(n.Key), t.products[n.Key].category, score(n.Score)})
	}
	t.result.Neighbors = map[string]any{"item": t.item, "name": t.name(t.item), "neighbors": out}
	return t.show(columns{">rank", "product", "category", ">score"}, rows)
}

// name returns the name of a product, or its key.
func (t *tour) name(item string) string {
	if p, ok := t.products[item]; ok {
		return fit(p.name, 34)
	}
	return printable(item)
}

func (t *tour) recommend(ctx context.Context) error {
	if err := t.title("Recommend"); err != nil {
		return err
	}
	history, err := t.history(ctx)
	if err != nil {
		return err
	}
	req := t.question()
	if t.answer, err = t.client.recommend(ctx, req); err != nil {
		return err
	}
	view := recommendation(req, t.answer)
	t.result.Recommend = &view
	if err := t.say("%sCustomer %s knows %d products:\n\n", margin, t.user, len(history)); err != nil {
		return err
	}
	var rows [][]any
	for _, h := range history[:min(6, len(history))] {
		rows = append(rows, []any{t.name(h.item), t.products[h.item].category, h.what()})
	}
	if err := t.show(columns{"product", "category", "events"}, rows); err != nil {
		return err
	}
	if len(history) > 6 {
		if err := t.say("%sand %d more\n", margin, len(history)-6); err != nil {
			return err
		}
	}
	if err := t.say("\n%sand may like, by the neighbors of these and by customers with a similar history:\n\n", margin); err != nil {
		return err
	}
	return t.ranking()
}

// question asks for the demo's user.
func (t *tour) question() *kithv1.RecommendRequest {
	return &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: t.user}, N: demoN, Explain: true}
}

func (t *tour) ranking() error {
	var rows [][]any
	for i, x := range t.answer.Items {
		rows = append(rows, []any{i + 1, t.name(x.Item), t.products[x.Item].category, sourceScore(x.Score, modelNames[x.Source]), modelNames[x.Source]})
	}
	return t.show(columns{">rank", "product", "category", ">score", "from"}, rows)
}

// known is a product that a user had to do with.
type known struct {
	item   string
	counts map[string]int
	total  int
}

// what names the events, as in "2 views, 1 purchase".
func (k *known) what() string {
	var out []string
	for _, behavior := range []string{"purchase", "cancel", "cart", "view", "search"} {
		if n := k.counts[behavior]; n > 0 {
			out = append(out, fmt.Sprintf("%d × %s", n, behavior))
		}
	}
	return strings.Join(out, ", ")
}

// history returns what the demo's user had to do with, most events first.
func (t *tour) history(ctx context.Context) ([]*known, error) {
	events, err := t.client.events(ctx, t.user)
	if err != nil {
		return nil, err
	}
	byItem := map[string]*known{}
	var out []*known
	for _, e := range events {
		k := byItem[e.Item]
		if k == nil {
			k = &known{item: e.Item, counts: map[string]int{}}
			byItem[e.Item], out = k, append(out, k)
		}
		k.counts[e.Behavior]++
		k.total++
	}
	slices.SortStableFunc(out, func(a, b *known) int { return b.total - a.total })
	return out, nil
}

func (t *tour) explain(context.Context) error {
	if err := t.title("Why " + t.name(t.answer.Items[0].Item) + "?"); err != nil {
		return err
	}
	first := t.answer.Items[0]
	parts := slices.Clone(first.Contributions)
	slices.SortStableFunc(parts, func(a, b *kithv1.Contribution) int {
		return int(math.Copysign(1, b.Score-a.Score))
	})
	var rows [][]any
	sum, rest := 0.0, 0.0
	for i, c := range parts {
		sum += c.Score
		if i >= 6 {
			rest += c.Score
			continue
		}
		name := "similar customers"
		if c.Item != "" {
			name = t.name(c.Item)
		}
		rows = append(rows, []any{name, score(c.Score)})
	}
	if len(parts) > 6 {
		rows = append(rows, []any{fmt.Sprintf("%d more", len(parts)-6), score(rest)})
	}
	rows = append(rows, []any{"score", score(sum)})
	return t.show(columns{"because of", ">part"}, rows)
}

func (t *tour) evaluate(ctx context.Context) error {
	if err := t.title("Is it any good?"); err != nil {
		return err
	}
	p := t.progress("evaluate")
	r, err := evaluate.Run(ctx, evaluate.Experiment{
		Data: t.table, Models: []string{popularity, "itemknn", "userknn", "hybrid"}, Split: evaluate.SplitLeaveOneOut,
		N: []int{demoN}, Seed: t.seed,
	}, func(done, total int) { p.set("evaluate", int64(done), int64(total)) })
	p.end()
	if err != nil {
		return err
	}
	t.result.Evaluate = r
	if t.json() {
		return nil
	}
	if err := t.text(`The newest product of each customer is held back. How often is it among the %d that a model recommends
		from the rest, and how high?`, demoN); err != nil {
		return err
	}
	if err := t.printMetrics(margin, r, []string{"hitrate@10", "ndcg@10", "coverage@10"}); err != nil {
		return err
	}
	return errors.Join(t.say("\n"), t.text("%s", t.verdict(r)))
}

// verdict compares the best model with popularity.
func (t *tour) verdict(r *evaluate.Result) string {
	const metric = "hitrate@10"
	var base, best evaluate.Estimate
	name := ""
	for _, m := range r.Models {
		e := m.Metrics[metric]
		switch {
		case m.Name == popularity:
			base = e
		case e.Mean > best.Mean:
			name, best = m.Name, e
		}
	}
	switch {
	case best.Low > base.High:
		return fmt.Sprintf("%s hits %.1f times as often as popularity; the 95%% intervals are apart.", name, best.Mean/base.Mean)
	case best.Mean > base.Mean:
		return fmt.Sprintf("%s hits %.1f times as often as popularity, but the intervals touch.", name, best.Mean/base.Mean)
	}
	return "No model beats popularity on this shop."
}

func (t *tour) kill(ctx context.Context) error {
	if err := t.title("Kill the coordinator"); err != nil {
		return err
	}
	before, err := t.client.status(ctx)
	if err != nil {
		return err
	}
	f := &t.result.Failover
	f.Killed = before.Coordinator
	at := t.cluster.index(f.Killed)
	if at < 0 {
		return errors.New("no node coordinates")
	}
	killed := time.Now()
	if err := t.cluster.kill(at); err != nil {
		return err
	}
	if err := t.reconnect(); err != nil {
		return err
	}
	var answer *kithv1.RecommendResponse
	for answer == nil || answer.GetPartial() { // partial while nobody knows yet who is dead
		if answer, err = t.client.recommend(ctx, t.question()); err != nil {
			return err
		}
	}
	f.AnswerSeconds, f.SameAnswer = time.Since(killed).Seconds(), proto.Equal(t.answer, answer)
	if !f.SameAnswer {
		return fmt.Errorf("the answer changed when %s was killed: was %v, is %v", f.Killed, t.answer.Items, answer.Items)
	}
	if err := t.cluster.ready(ctx); err != nil {
		return err
	}
	after, err := t.client.status(ctx)
	if err != nil {
		return err
	}
	f.Coordinator = after.Coordinator
	if err := t.text(`%s coordinated, and is dead. The others answer after %s: the same %d products with the same scores, bit for
		bit. Now %s coordinates.`, f.Killed, seconds(f.AnswerSeconds), len(answer.Items), f.Coordinator); err != nil {
		return err
	}
	back := time.Now()
	if err := t.cluster.run(ctx, at); err != nil {
		return err
	}
	if err := t.cluster.ready(ctx); err != nil {
		return err
	}
	f.RestartSeconds = time.Since(back).Seconds()
	if err := t.reconnect(); err != nil {
		return err
	}
	return t.text("%s is started again, and is back in the cluster after %s.", f.Killed, seconds(f.RestartSeconds))
}

// reconnect makes a client of the nodes that run now.
func (t *tour) reconnect() error {
	t.client.close()
	var err error
	t.client, err = t.cluster.client()
	return err
}

func (t *tour) next() error {
	return t.printf("\n%s\n\n"+`   kith demo --serve                        this cluster once more, to ask it yourself
   kith neighbors --input FILE -k 50        neighbor lists of a file of yours, without a server
   kith generate --out shop                 data like these
   kith server                              a cluster of one; then in another terminal:
     kith ingest --mapping shop/map.yaml
     kith build --wait
     kith recommend %s --explain

   The tour took %s. What it made is gone.
`, t.bold("What next"), t.user, seconds(t.result.Seconds))
}

// serve leaves the cluster running until ctx is done.
func (t *tour) serve(ctx context.Context) error {
	var addrs []string
	for _, n := range t.cluster.alive() {
		addrs = append(addrs, n.server.GRPCAddr())
	}
	if err := t.say("\nThe cluster runs until Ctrl-C. In another terminal:\n\n   export KITH_ADDR=%s\n   kith status\n   kith recommend %s --explain\n",
		strings.Join(addrs, ","), t.user); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// events returns the stored events of a user, by time and id.
func (c *client) events(ctx context.Context, user string) (events []*kithv1.Event, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		events = nil
		stream, err := kithv1.NewEventsServiceClient(conn).List(ctx, &kithv1.ListRequest{User: user})
		if err != nil {
			return err
		}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			events = append(events, m.Events...)
		}
	})
	return events, err
}
