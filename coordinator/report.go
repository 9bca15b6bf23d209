package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/experiment"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// ReportExperiment tells what became of an experiment, as of a cut; options must be complete, and say where products have their prices. Errors match
// wire.ErrUnknownExperiment. Cost: a pass over all events, two calls at a time (see table). Memory: some counts.
func (c *Coordinator) ReportExperiment(ctx context.Context, name string, options *kithv1.FeatureOptions) (*kithv1.ReportExperimentResponse, error) {
	state := c.State()
	e, err := state.experiment(name)
	if err != nil {
		return nil, err
	}
	window := DefaultWindow
	if e.WindowMs > 0 {
		window = time.Duration(e.WindowMs) * time.Millisecond
	}
	t, done, err := c.table(ctx, options)
	if err != nil {
		return nil, err
	}
	defer done()
	tally, err := t.tally(ctx, &kithv1.TallyExperimentRequest{Experiment: name, Key: state.AnswerKey(), WindowMs: uint64(window.Milliseconds())})
	if err != nil {
		return nil, err
	}
	report := tally.Report(Arms(e), e.ExpectedUsers)
	resp := &kithv1.ReportExperimentResponse{
		Experiment: e, NowUnixMs: options.NowUnixMs, SplitP: report.SplitP, Crossed: tally.Crossed, Others: report.Others, Refused: tally.Refused,
	}
	for i := range report.Variants {
		resp.Variants = append(resp.Variants, wire.VariantReportToProto(&report.Variants[i], e.Variants[i].Scene))
	}
	return resp, nil
}

// ReportScenes tells what became of the answers of all scenes as ReportExperiment does of those of one experiment. Errors match wire.ErrInvalid.
func (c *Coordinator) ReportScenes(ctx context.Context, req *kithv1.ReportScenesRequest, options *kithv1.FeatureOptions) (*kithv1.ReportScenesResponse, error) {
	window := cmp.Or(req.WindowMs, uint64(DefaultWindow.Milliseconds()))
	if most := uint64(maxWindow.Milliseconds()); window > most {
		return nil, fmt.Errorf("%w: a window of %d ms; want at most %d", wire.ErrInvalid, window, most)
	}
	since := int64(0)
	if req.WithinMs > 0 {
		since = options.NowUnixMs - int64(min(req.WithinMs, uint64(options.NowUnixMs)))
	}
	t, done, err := c.table(ctx, options)
	if err != nil {
		return nil, err
	}
	defer done()
	tally, err := t.tally(ctx, &kithv1.TallyExperimentRequest{Key: c.State().AnswerKey(), WindowMs: window, SinceUnixMs: since})
	if err != nil {
		return nil, err
	}
	return &kithv1.ReportScenesResponse{NowUnixMs: options.NowUnixMs, Scenes: wire.SceneReportsToProto(tally), Refused: tally.Refused}, nil
}

// experiment returns an experiment by name.
func (s *State) experiment(name string) (*kithv1.Experiment, error) {
	var names []string
	for _, e := range s.Scenes.GetExperiments() {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w %.80q: there are none", wire.ErrUnknownExperiment, name)
	}
	return nil, fmt.Errorf("%w %.80q: there are %s", wire.ErrUnknownExperiment, name, some(names))
}

// tally adds up what all partitions count, in their order, so that sums can be repeated.
func (t *table) tally(ctx context.Context, req *kithv1.TallyExperimentRequest) (*experiment.Tally, error) {
	found := make([]*experiment.Tally, len(t.cuts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(tablePartitions)
	for p := range t.cuts {
		g.Go(func() (err error) {
			found[p], err = t.tallyOf(ctx, partition.ID(p), req)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	sum := experiment.NewTally()
	for _, x := range found {
		sum.Add(x)
	}
	return sum, nil
}

// tallyOf asks one partition.
func (t *table) tallyOf(ctx context.Context, p partition.ID, req *kithv1.TallyExperimentRequest) (tally *experiment.Tally, err error) {
	err = t.c.fromReplicas(ctx, p, "experiment", func(ctx context.Context, node string, epoch uint64) (brought bool, err error) {
		tally = nil // of a try that broke off
		open := func(ctx context.Context, c kithv1.PartitionServiceClient) (grpc.ServerStreamingClient[kithv1.TallyExperimentResponse], error) {
			return c.TallyExperiment(ctx, &kithv1.TallyExperimentRequest{
				Partition: uint32(p), Epoch: epoch, Cut: t.cuts[p].Index, Experiment: req.Experiment, Key: req.Key, WindowMs: req.WindowMs,
				SinceUnixMs: req.SinceUnixMs, Options: t.options,
			})
		}
		err = listen(ctx, t.c, node, open, func(m *kithv1.TallyExperimentResponse) error {
			if m.Tally != nil {
				tally = wire.TallyFromProto(m.Tally)
			}
			return nil
		})
		if err == nil && tally == nil {
			err = fmt.Errorf("%w: node %s sent no counts", wire.ErrCorrupt, node)
		}
		return false, err
	})
	if err != nil {
		return nil, fmt.Errorf("report on partition %d: %w", p, err)
	}
	return tally, nil
}
