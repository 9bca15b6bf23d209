package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/source/synthetic"
)

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
	line, err := pipeline.New(fusion.File{Sources: t.mappings})
	if err != nil {
		return err
	}
	job := &ingestion{
		line: line, dead: fusion.NewDeadLetterWriter(filepath.Join(t.dir, "rejected.jsonl")), streams: 4,
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

func (t *tour) explain(context.Context) error {
	if err := t.title("Why " + t.name(t.answer.Items[0].Item) + "?"); err != nil {
		return err
	}
	first := t.answer.Items[0]
	parts := slices.Clone(first.Contributions)
	slices.SortStableFunc(parts, func(a, b *kithv1.Contribution) int { return cmp.Compare(b.Score, a.Score) })
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
	if err := t.printMetrics(margin, r, []string{"hitrate@10", "ndcg@10", "coverage@10"}, false); err != nil {
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
	before, err := t.settled(ctx, "")
	if err != nil {
		return err
	}
	f := &t.result.Failover
	f.Killed = before.Coordinator
	at := t.cluster.index(f.Killed)
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
	after, err := t.settled(ctx, f.Killed)
	if err != nil {
		return err
	}
	f.Coordinator = after.Coordinator
	t.result.Cluster = statusView(after)
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

// settled waits until the cluster is ready with another coordinator than the dead one, whom the others may take for alive
// a moment longer.
func (t *tour) settled(ctx context.Context, dead string) (*kithv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	for {
		s, err := t.client.status(ctx)
		if err != nil || s.Ready && s.Coordinator != dead {
			return s, err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("the cluster has no coordinator: %w", ctx.Err())
		}
	}
}

// reconnect makes a client of the nodes that run now.
func (t *tour) reconnect() error {
	t.client.close()
	var err error
	t.client, err = t.cluster.client()
	return err
}
