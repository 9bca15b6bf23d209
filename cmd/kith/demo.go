package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/fusion"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
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
			return t.next()
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
	return nil
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

// next says what to try.
func (t *tour) next() error {
	return t.say("\n%s\n\n"+`   kith demo --serve                        this cluster once more, to ask it yourself
   kith neighbors --input FILE -k 50        neighbor lists of your own file, no server
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
	if err := t.say("\nThe tour took %s. The cluster runs until Ctrl-C. In another terminal:\n\n   export KITH_ADDR=%s\n   kith status\n   kith recommend %s --explain\n",
		seconds(t.result.Seconds), strings.Join(addrs, ","), t.user); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
