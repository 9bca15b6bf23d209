package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/coordinator"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// mostUnderWay bounds the queries that are under way at a time: more means that the servers do not follow the rate by far.
const mostUnderWay = 20_000

// timerSlack is how late a timer may fire: the rest is slept exactly.
const timerSlack = 2 * time.Millisecond

// What to ask for keys.
const (
	askRecommend = "recommend"
	askSimilar   = "similar"
)

// queryBench is what to ask, and how often.
type queryBench struct {
	keyFile, ask string
	rate         float64
	atOnce       int // queries under way at a time, in the place of a rate; 0 asks at the rate
	duration     time.Duration
	n            int
	model        kithv1.Model
	seed         uint64
	besideBuild  bool
	urls         []string
	keys         []string
	// byURL is made of urls.
	byURL []*urlQueries
}

func (a *app) benchQueryCommand() *cobra.Command {
	var r remote
	var b queryBench
	var s specFlags
	ask := choice{askRecommend, []string{askRecommend, askSimilar}}
	model := modelChoice()
	cmd := &cobra.Command{
		Use:   "query --keys FILE",
		Short: "Measure how long a cluster takes to answer, and how much it answers",
		Long: `Ask a cluster at a fixed rate, whether it answers in time or not, and tell how long the
answers took. A query counts from the moment when it should have been sent, so that one slow
answer does not hide those that had to wait behind it. One that fails or takes longer than
--timeout counts as an error, and as long as --timeout. With several servers each gets every
so-manieth query.

--at-once asks without a rate: each answer makes room for the next query, so the rate that is
told is what the cluster can do beside this program. Latencies count from when a query is sent
then, and tell nothing of how long one would wait at a rate.

--url asks any server of HTTP instead, with the key in the address: kith by REST, or what it is
to be compared with. An answer is whole when its last byte has come.

--beside-build asks for --duration, then goes on while a build runs, and tells both. The build
has the settings of the flags, as for 'kith build'.`,
		Example: `  cut -d, -f1 events.csv | sort -u >users.txt
  kith bench query --keys users.txt --rate 200 --duration 30s
  kith bench query --keys users.txt --at-once 16 --duration 30s
  kith bench query --keys users.txt --rate 50 --beside-build -o json
  kith bench query --keys items.txt --ask similar --model item-knn --rate 1000
  kith bench query --keys users.txt --url 'http://127.0.0.1:7503/v1/users/{key}/recommendations?n=10'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			b.ask, b.model = ask.value, modelByName(model.value)
			if b.atOnce > 0 && cmd.Flags().Changed("rate") {
				return usagef("--at-once is in the place of --rate; leave one out")
			}
			if err := b.check(cmd.Flags().Changed("model")); err != nil {
				return err
			}
			if len(b.urls) > 0 {
				for _, f := range []string{"addr", "ask", "model", "n", "beside-build"} {
					if cmd.Flags().Changed(f) {
						return usagef("--%s is for gRPC; with --url all is in the address", f)
					}
				}
			}
			spec, err := s.spec()
			if err != nil {
				return err
			}
			if b.keys, err = readKeys(b.keyFile); err != nil {
				return err
			}
			c, err := r.open()
			if err != nil {
				return err
			}
			defer c.close()
			if len(b.urls) > 0 {
				tls, err := r.access.config()
				if err != nil {
					return err
				}
				for _, template := range b.urls {
					q, err := newURLQueries(template, tls, strings.TrimSpace(r.access.apiKey))
					if err != nil {
						return err
					}
					defer q.close()
					b.byURL = append(b.byURL, q)
				}
			}
			return a.benchQuery(cmd.Context(), c, &b, spec)
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.keyFile, "keys", "", "`file` with the keys of users to ask for, or of items, one a line")
	f.Var(&ask, "ask", "what to ask for each key")
	f.Float64Var(&b.rate, "rate", 100, "queries a second")
	f.IntVar(&b.atOnce, "at-once", 0, "`queries` under way at a time, in the place of --rate")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "how long to ask")
	f.IntVarP(&b.n, "n", "n", 10, "length of an answer")
	f.Var(&model, "model", "how items are scored, for recommend")
	f.Uint64Var(&b.seed, "seed", 1, "chooses the order of the keys")
	f.StringArrayVar(&b.urls, "url", nil, "`address` of an answer over HTTP, with {key} where the key is to be, in the place of gRPC; several take turns")
	f.BoolVar(&b.besideBuild, "beside-build", false, "ask on while a build runs")
	r.register(cmd, time.Second)
	s.register(cmd)
	return cmd
}

func (b *queryBench) check(model bool) error {
	switch {
	case b.keyFile == "":
		return usagef("for whom? Name a file with keys with --keys")
	case b.ask == askSimilar && model:
		return usagef("--model is for --ask %s", askRecommend)
	case !(b.rate > 0 && b.rate <= 1e6):
		return usagef("--rate is %v; want more than 0, and at most a million", b.rate)
	case b.atOnce < 0 || b.atOnce > mostUnderWay:
		return usagef("--at-once is %d; want 1 to %d", b.atOnce, mostUnderWay)
	case b.duration <= 0 || b.duration > 24*time.Hour:
		return usagef("--duration is %v; want more than 0, and at most a day", b.duration)
	case b.n < 1 || b.n > coordinator.MaxN:
		return usagef("-n is %d; want 1 to %d", b.n, coordinator.MaxN)
	}
	return nil
}

// readKeys reads one key a line; empty lines do not count.
func readKeys(path string) (keys []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key := strings.TrimRight(lines.Text(), "\r"); key != "" {
			keys = append(keys, key)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no keys; want one a line", path)
	}
	return keys, nil
}

// benchGC lets the memory of a load generator grow to some ten times what it needs, so that it collects once in some seconds and not many times in one.
const benchGC = 1000

// jsonLatency is how the answers of one phase came.
type jsonLatency struct {
	Rate     float64 `json:"rate"`
	Seconds  float64 `json:"seconds"`
	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	P50      float64 `json:"p50_ms"`
	P90      float64 `json:"p90_ms"`
	P99      float64 `json:"p99_ms"`
	P999     float64 `json:"p999_ms"`
	Max      float64 `json:"max_ms"`
	Error    string  `json:"first_error,omitempty"`
}

// jsonQueryBench is the result: the calm phase, and the one beside a build if there was one.
type jsonQueryBench struct {
	jsonLatency
	Ask         string       `json:"ask"`
	Keys        int          `json:"keys"`
	BesideBuild *jsonLatency `json:"beside_build,omitempty"`
}

func (a *app) benchQuery(ctx context.Context, c *client, b *queryBench, spec *kithv1.BuildSpec) error {
	defer debug.SetGCPercent(debug.SetGCPercent(benchGC)) // what is measured is the cluster, and not the collector of this process
	p := a.progress("bench")
	defer p.end()
	p.set("asking", 0, 0)
	out := jsonQueryBench{Ask: b.ask, Keys: len(b.keys)}
	calm, stop := context.WithTimeout(ctx, b.duration)
	out.jsonLatency = b.run(calm, c)
	stop()
	if b.besideBuild && ctx.Err() == nil {
		latency, err := a.benchBesideBuild(ctx, c, b, spec, p)
		if err != nil {
			return err
		}
		out.BesideBuild = &latency
	}
	p.end()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if a.json() {
		return a.printJSON(out)
	}
	rows := [][]any{out.row("alone")}
	if out.BesideBuild != nil {
		rows = append(rows, out.BesideBuild.row("beside a build"))
	}
	if err := a.printTable("", columns{"", ">queries", ">seconds", ">answers/s", ">errors", ">p50", ">p90", ">p99", ">p99.9", ">max"}, rows); err != nil {
		return err
	}
	for _, l := range []*jsonLatency{&out.jsonLatency, out.BesideBuild} {
		if l != nil && l.Error != "" {
			a.note("the first error: %s", l.Error)
			break
		}
	}
	return nil
}

func (l *jsonLatency) row(name string) []any {
	ms := func(x float64) string { return fmt.Sprintf("%.2f ms", x) }
	return []any{name, count(l.Requests), fmt.Sprintf("%.1f", l.Seconds), fmt.Sprintf("%.0f", float64(l.Requests-l.Errors)/max(l.Seconds, 1e-9)), count(l.Errors), ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max)}
}

// benchBesideBuild asks until a build that it starts has ended.
func (a *app) benchBesideBuild(ctx context.Context, c *client, b *queryBench, spec *kithv1.BuildSpec, p *progress) (jsonLatency, error) {
	// The build has another client: what is asked of the cluster about it must not wait for queries.
	patient := &client{addrs: c.addrs, conns: c.conns, timeout: queryTimeout}
	job, err := patient.build(ctx, spec)
	if err != nil {
		return jsonLatency{}, err
	}
	asking, stop := context.WithCancel(ctx)
	var failed error
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer stop()
		_, failed = patient.wait(ctx, job.Id, func(j *kithv1.Job) { showJob(p, j) })
	})
	latency := b.run(asking, c)
	waiting.Wait()
	return latency, failed
}

// run asks until ctx is done, and waits for what is under way.
func (b *queryBench) run(ctx context.Context, c *client) jsonLatency {
	if b.atOnce > 0 {
		return b.runAtOnce(ctx, c)
	}
	return b.runAtRate(ctx, c)
}

// turns is the number of servers, or addresses, that are asked by turns.
func (b *queryBench) turns(c *client) int {
	if b.byURL != nil {
		return len(b.byURL)
	}
	return len(c.conns)
}

// runAtOnce is run with so many queries under way all the time. The rate is that of the answers.
func (b *queryBench) runAtOnce(ctx context.Context, c *client) jsonLatency {
	life := context.WithoutCancel(ctx) // a query that has begun goes to its end
	took, failures, errs := make([][]time.Duration, b.atOnce), make([]int, b.atOnce), make([]error, b.atOnce)
	var askers sync.WaitGroup
	began := time.Now()
	for i := range b.atOnce {
		askers.Go(func() {
			rng := rand.New(rand.NewPCG(b.seed, uint64(i)))
			for k := i; ctx.Err() == nil; k++ {
				sent := time.Now()
				call, cancel := context.WithTimeout(life, c.timeout)
				err := b.query(call, c, k%b.turns(c), b.keys[rng.IntN(len(b.keys))])
				cancel()
				d := time.Since(sent)
				if err != nil {
					d, errs[i] = max(d, c.timeout), cmp.Or(errs[i], err)
					failures[i]++
				}
				took[i] = append(took[i], d)
			}
		})
	}
	askers.Wait()
	asked, failed := time.Since(began), 0
	for _, n := range failures {
		failed += n
	}
	all := slices.Concat(took...)
	return latencyOf(float64(len(all)-failed)/asked.Seconds(), asked, all, failed, cmp.Or(errs...))
}

// runAtRate is run at the rate.
func (b *queryBench) runAtRate(ctx context.Context, c *client) jsonLatency {
	rng := rand.New(rand.NewPCG(b.seed, 0))
	var mu sync.Mutex // guards what follows
	var took []time.Duration
	var first error
	failures, underWay := 0, 0
	done := func(d time.Duration, err error) {
		mu.Lock()
		defer mu.Unlock()
		underWay--
		if err != nil {
			d = max(d, c.timeout)
			failures++
			if first == nil {
				first = err
			}
		}
		took = append(took, d)
	}
	turns := b.turns(c)
	life := context.WithoutCancel(ctx) // a query that has begun goes to its end
	var queries sync.WaitGroup
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	k := 0
	for ctx.Err() == nil {
		due := began.Add(time.Duration(float64(k) / b.rate * float64(time.Second)))
		if wait := time.Until(due) - timerSlack; wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				continue
			}
		}
		sleepExactly(time.Until(due))
		key, conn := b.keys[rng.IntN(len(b.keys))], k%turns
		k++
		mu.Lock()
		underWay++
		full := underWay > mostUnderWay
		mu.Unlock()
		if full {
			done(c.timeout, fmt.Errorf("%d queries are under way; the cluster does not follow the rate", mostUnderWay))
			continue
		}
		queries.Go(func() {
			call, cancel := context.WithDeadline(life, due.Add(c.timeout))
			defer cancel()
			err := b.query(call, c, conn, key)
			done(time.Since(due), err)
		})
	}
	asked := time.Since(began)
	queries.Wait()
	return latencyOf(b.rate, asked, took, failures, first)
}

func (b *queryBench) query(ctx context.Context, c *client, conn int, key string) error {
	if b.byURL != nil {
		return b.byURL[conn].ask(ctx, key)
	}
	if b.ask == askSimilar {
		_, err := kithv1.NewRecommenderServiceClient(c.conns[conn]).Similar(ctx, &kithv1.SimilarRequest{
			Subject: &kithv1.SimilarRequest_Item{Item: key}, N: uint32(b.n),
		})
		return err
	}
	_, err := kithv1.NewRecommenderServiceClient(c.conns[conn]).Recommend(ctx, &kithv1.RecommendRequest{
		Subject: &kithv1.RecommendRequest_User{User: key}, N: uint32(b.n), Model: b.model,
	})
	return err
}

// latencyOf sums up what queries took, which it sorts.
func latencyOf(rate float64, asked time.Duration, took []time.Duration, failures int, first error) jsonLatency {
	out := jsonLatency{Rate: rate, Seconds: asked.Seconds(), Requests: len(took), Errors: failures}
	if first != nil {
		out.Error = bare(first)
	}
	if len(took) == 0 {
		return out
	}
	slices.Sort(took)
	at := func(q float64) float64 { // the least time that a share q of the queries did not exceed
		i := max(int(math.Ceil(q*float64(len(took))))-1, 0)
		return float64(took[i].Microseconds()) / 1000
	}
	out.P50, out.P90, out.P99, out.P999, out.Max = at(0.5), at(0.9), at(0.99), at(0.999), at(1)
	return out
}
