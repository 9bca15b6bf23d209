package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// maxK is the longest neighbor list; see BuildSpec.
const maxK = 1000

// specFlags are the settings of a build.
type specFlags struct {
	measure    choice
	k          int
	shrinkage  float64
	minSupport int
	alpha      float64
	weights    weights
	halfLife   time.Duration
	cap        float64
	models     modelList
}

// measureChoice takes the names of measures.
func measureChoice() choice {
	var names []string
	for _, m := range similarity.Measures() {
		names = append(names, m.String())
	}
	return choice{similarity.Cosine.String(), names}
}

func (s *specFlags) register(cmd *cobra.Command) {
	s.measure, s.weights = measureChoice(), weights{}
	f := cmd.Flags()
	f.Var(&s.measure, "measure", "similarity of two items: "+alternatives(s.measure.of))
	f.IntVarP(&s.k, "k", "k", 50, "neighbors kept for each item")
	f.Float64Var(&s.shrinkage, "shrinkage", 0, "s of the factor n/(n+s) on a score with n common users")
	f.IntVar(&s.minSupport, "min-support", 0, "least number of common users of a pair")
	registerAlpha(cmd, &s.alpha)
	s.registerWeights(cmd)
}

func registerAlpha(cmd *cobra.Command, alpha *float64) {
	cmd.Flags().Float64Var(alpha, "alpha", wire.DefaultAlpha, "`exponent` of asymmetric-cosine: below 0.5 favors rare neighbors, above popular ones")
}

// registerWeights adds the flags that say how events become interactions.
func (s *specFlags) registerWeights(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(s.weights, "weight", "weight of an event of a behavior, such as purchase=5 (default view 1, search 1, cart 3, purchase 5, cancel -5, rating 1)")
	f.DurationVar(&s.halfLife, "half-life", 0, "age at which an event counts half, such as 720h (default: age does not matter)")
	f.Float64Var(&s.cap, "weight-cap", 0, "largest weight of an interaction (default: no cap)")
}

// behaviors returns the usual weights with those that were set.
func (s *specFlags) behaviors() fusion.Weights {
	w := fusion.DefaultWeights()
	w.HalfLife, w.Cap = s.halfLife, s.cap
	for name, x := range s.weights {
		w.Behavior[fusion.Behavior(name)] = x
	}
	return w
}

// spec returns the settings for the wire.
func (s *specFlags) spec() (*kithv1.BuildSpec, error) {
	if s.k < 1 || s.k > maxK {
		return nil, usagef("-k is %d; want 1 to %d", s.k, maxK)
	}
	if s.minSupport < 0 || s.minSupport > math.MaxInt32 {
		return nil, usagef("--min-support is %d; want 0 or more", s.minSupport)
	}
	spec := &kithv1.BuildSpec{
		Measure: s.measure.value, K: uint32(s.k), Shrinkage: s.shrinkage, MinSupport: uint32(s.minSupport), Alpha: &s.alpha,
		HalfLifeMs: s.halfLife.Milliseconds(), WeightCap: s.cap, BehaviorWeights: map[string]float64{},
	}
	var err error
	if spec.Models, err = wire.ParseModels(s.models); err != nil {
		return nil, usagef("--models: %w", err)
	}
	for behavior, x := range s.behaviors().Behavior {
		spec.BehaviorWeights[string(behavior)] = x
	}
	if _, _, err := wire.ParseSpec(spec); err != nil {
		return nil, &usageError{err}
	}
	return spec, nil
}

func (a *app) buildCommand() *cobra.Command {
	var r remote
	var s specFlags
	var x autoFlags
	var wait bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Compute a new model version on the cluster",
		Long: `Compute a new model version from all events that are stored now, and switch answers to it
when it is complete. The versions before it stay for a rollback. Without --wait the command
returns when the build has begun; a second one with the same settings joins it.

With --auto the command first compares models on the events of some users of the cluster, or on
files, and tells which one is the best and why. A neighborhood sets the neighbor lists of the
build, another model is trained beside them and beside those of --models.`,
		Example: `  kith build --wait
  kith build --wait --auto
  kith build --wait --auto --candidates 'itemknn,userknn,als(factors=32),rp3beta' --tune 20 --by recall@20
  kith build cancel
  kith build --wait --models 'covisit(window=10)'
  kith build --wait --measure jaccard -k 100 --half-life 720h --weight purchase=10,view=0.5`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := s.spec()
			if err != nil {
				return err
			}
			if err := x.check(a); err != nil {
				return err
			}
			c, err := r.open()
			if err != nil {
				return err
			}
			defer c.close()
			c.patient()
			view := map[string]any{}
			if x.on {
				chosen, err := a.chooseModel(cmd.Context(), c, &x, &s, spec)
				if err != nil {
					return err
				}
				if spec, view["auto"] = chosen.spec, chosen; !a.json() {
					if err := chosen.print(a); err != nil {
						return err
					}
				}
			}
			return a.build(cmd.Context(), c, spec, wait, view)
		},
	}
	r.register(cmd, 30*time.Second)
	s.register(cmd)
	cmd.Flags().Var(&s.models, "models", "`models` to train beside the neighbor lists, as in als(factors=64),covisit; name:kind(...) gives one another name")
	x.register(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the version is published")
	cmd.AddCommand(a.cancelCommand())
	return cmd
}

// build starts a build and tells of it. The view is what JSON has beside the job.
func (a *app) build(ctx context.Context, c *client, spec *kithv1.BuildSpec, wait bool, view map[string]any) error {
	job, err := c.build(ctx, spec)
	if err != nil {
		return err
	}
	if !wait {
		if a.json() {
			view["job"] = jobView(job)
			return a.printJSON(view)
		}
		return a.printf("Build %d has begun; see 'kith status'.\n", job.Id)
	}
	p := a.progress("build")
	phases := phaseTimes{done: []jsonPhase{}}
	phases.begin(phaseName(job.Phase), time.Now())
	var last uint64
	showID := func(j *kithv1.Job) {
		if n := len(j.EarlierIds); n > 0 && j.Id != last {
			a.note("build %d begins again as %d: users were erased whose events it needed", j.EarlierIds[n-1], j.Id)
		}
		last = j.Id
	}
	job, err = c.wait(ctx, job.Id, func(j *kithv1.Job) {
		showID(j)
		phases.begin(phaseName(j.Phase), time.Now())
		showJob(p, j)
	})
	p.end()
	if err != nil {
		return err
	}
	showID(job)
	phases.begin("", time.Now())
	version, err := c.version(ctx, job.ModelVersion)
	if err != nil {
		return fmt.Errorf("build %d is done, but: %w", job.Id, err)
	}
	if len(version.Models) < len(spec.Models) {
		return fmt.Errorf("version %d is active, and has %d of the %d models that were asked for: a server with an earlier program took the build; "+
			"upgrade all servers ('kith cluster members' shows their versions), and build again", version.Version, len(version.Models), len(spec.Models))
	}
	if a.json() {
		view["job"], view["version"], view["phases"] = jobView(job), versionView(version), phases.done
		return a.printJSON(view)
	}
	if err := a.printf("Model version %d is active, after %s.\n\n", version.Version, seconds(jobSeconds(job))); err != nil {
		return err
	}
	return a.printVersion(version)
}

// phaseTimes measures how long the phases of a job are seen from here; one may be too short to be seen.
type phaseTimes struct {
	done  []jsonPhase
	phase string
	began time.Time
}

type jsonPhase struct {
	Phase   string  `json:"phase"`
	Seconds float64 `json:"seconds"`
}

// begin notes that a phase is seen; the one before has ended then.
func (p *phaseTimes) begin(phase string, now time.Time) {
	if phase == p.phase {
		return
	}
	if p.phase != "" {
		p.done = append(p.done, jsonPhase{p.phase, now.Sub(p.began).Seconds()})
	}
	p.phase, p.began = phase, now
}

func showJob(p *progress, j *kithv1.Job) {
	if j.Training != "" && j.Phase == kithv1.JobPhase_JOB_PHASE_TRAIN {
		p.set(phaseName(j.Phase)+" "+j.Training, int64(j.TrainingPart*100), 100)
		return
	}
	p.set(phaseName(j.Phase), int64(j.TasksDone), int64(j.TasksTotal))
}

// phaseName returns the name of the phase of a job, ended or not.
func phaseName(p kithv1.JobPhase) string {
	switch p {
	case kithv1.JobPhase_JOB_PHASE_UNSPECIFIED:
		return "waiting"
	case kithv1.JobPhase_JOB_PHASE_DONE, kithv1.JobPhase_JOB_PHASE_FAILED:
		return strings.ToLower(strings.TrimPrefix(p.String(), "JOB_PHASE_"))
	}
	return coordinator.PhaseName(p)
}

func jobSeconds(j *kithv1.Job) float64 {
	if j.EndedUnixMs == 0 {
		return 0
	}
	return float64(j.EndedUnixMs-j.CreatedUnixMs) / 1000
}

// build starts a build, or joins the one with the same spec.
func (c *client) build(ctx context.Context, spec *kithv1.BuildSpec) (job *kithv1.Job, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := kithv1.NewModelServiceClient(conn).Build(ctx, &kithv1.BuildRequest{Spec: spec})
		job = resp.GetJob()
		return err
	})
	return job, err
}

// wait watches a job until it has ended well. A server that goes away is replaced by another.
func (c *client) wait(ctx context.Context, id uint64, show func(*kithv1.Job)) (*kithv1.Job, error) {
	for {
		job, err := c.watch(ctx, id, show)
		switch {
		case err != nil:
			return nil, err
		case coordinator.Canceled(job):
			return nil, fmt.Errorf("build %d was %s", job.Id, job.Error)
		case job.Phase == kithv1.JobPhase_JOB_PHASE_FAILED:
			return nil, fmt.Errorf("build %d failed: %s", job.Id, job.Error)
		case coordinator.Ended(job):
			return job, nil
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// watch shows the states of a job until it ends or the stream breaks, and returns the last one. The client's timeout
// bounds the time to the first.
func (c *client) watch(ctx context.Context, id uint64, show func(*kithv1.Job)) (job *kithv1.Job, err error) {
	err = c.call(ctx, func(call context.Context, conn *grpc.ClientConn) error {
		streaming, cancel := context.WithCancel(ctx)
		defer cancel()
		unbind := context.AfterFunc(call, cancel)
		defer unbind()
		stream, err := kithv1.NewModelServiceClient(conn).WatchJob(streaming, &kithv1.WatchJobRequest{Id: id})
		if err != nil {
			return err
		}
		for {
			m, err := stream.Recv()
			switch {
			case err != nil && job != nil && ctx.Err() == nil:
				return nil // broken off; watch again
			case err != nil && call.Err() != nil:
				return call.Err()
			case err != nil:
				return err
			}
			unbind()
			if job = m.Job; coordinator.Ended(job) {
				return nil
			}
			show(job)
		}
	})
	return job, err
}

// version returns a published version.
func (c *client) version(ctx context.Context, number uint64) (*kithv1.ModelVersion, error) {
	models, err := c.models(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range models.Versions {
		if v.Version == number {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w: %d", wire.ErrUnknownVersion, number)
}
