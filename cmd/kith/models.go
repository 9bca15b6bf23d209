package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) modelsCommand() *cobra.Command {
	list := a.modelsListCommand("models")
	list.Short = "List, show and switch model versions"
	list.Example = `  kith models
  kith models show 42
  kith models rollback`
	list.AddCommand(a.modelsListCommand("list"), a.modelsShowCommand(), a.modelsRollbackCommand())
	return list
}

func (a *app) modelsListCommand(use string) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:     use,
		Short:   "List the model versions that are kept, newest first",
		Example: "  kith models list",
		Args:    noArgs,
		RunE: a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
			models, err := c.models(ctx)
			if err != nil {
				return err
			}
			return a.printModels(models.Versions)
		}),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) modelsShowCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:     "show VERSION",
		Short:   "Show a model version: its settings and what it cost",
		Example: "  kith models show 42",
		Args:    oneArg("a version, as in 'kith models list'"),
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			number, err := versionArg(args[0])
			if err != nil {
				return err
			}
			v, err := c.version(ctx, number)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(versionView(v))
			}
			return a.printVersion(v)
		}),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) modelsRollbackCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "rollback [VERSION]",
		Short: "Answer by an earlier model version: the one before, or the one named",
		Example: `  kith models rollback
  kith models rollback 42`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; want a version or none", len(args))
			}
			return nil
		},
		RunE: a.remotely(&r, a.rollback),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) rollback(ctx context.Context, c *client, args []string) error {
	var number uint64
	var err error
	if len(args) > 0 {
		number, err = versionArg(args[0])
	} else {
		number, err = c.before(ctx)
	}
	if err != nil {
		return err
	}
	var resp *kithv1.ActivateResponse
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewModelServiceClient(conn).Activate(ctx, &kithv1.ActivateRequest{Version: number})
		return err
	})
	if err != nil {
		return fmt.Errorf("activate version %d: %w", number, err)
	}
	if a.json() {
		return a.printJSON(map[string]uint64{"active": number, "previous": resp.Previous})
	}
	return a.printf("Model version %d is active; before it was %d.\n", number, resp.Previous)
}

// before returns the newest version that is older than the active one.
func (c *client) before(ctx context.Context) (uint64, error) {
	models, err := c.models(ctx)
	if err != nil {
		return 0, err
	}
	active := slices.IndexFunc(models.Versions, func(v *kithv1.ModelVersion) bool { return v.Active })
	if active < 0 || active+1 == len(models.Versions) {
		return 0, fmt.Errorf("there is no version before the active one; name one of 'kith models list'")
	}
	return models.Versions[active+1].Version, nil
}

func versionArg(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("version %q: want a number, as in 'kith models list'", s)
	}
	return n, nil
}

func (c *client) models(ctx context.Context) (resp *kithv1.ListModelsResponse, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewModelServiceClient(conn).ListModels(ctx, &kithv1.ListModelsRequest{})
		return err
	})
	return resp, err
}

// The forms in which jobs and versions are printed as JSON.
type (
	jsonSpec struct {
		Measure    string             `json:"measure"`
		K          uint32             `json:"k"`
		Shrinkage  float64            `json:"shrinkage"`
		MinSupport uint32             `json:"min_support"`
		Weights    map[string]float64 `json:"weights"`
		HalfLife   float64            `json:"half_life_seconds"`
		WeightCap  float64            `json:"weight_cap"`
		Models     []string           `json:"models,omitempty"`
	}
	jsonJob struct {
		ID         uint64   `json:"id"`
		EarlierIDs []uint64 `json:"earlier_ids,omitempty"`
		Phase      string   `json:"phase"`
		Error      string   `json:"error,omitempty"`
		TasksDone  uint32   `json:"tasks_done"`
		TasksTotal uint32   `json:"tasks_total"`
		Created    string   `json:"created"`
		Ended      string   `json:"ended,omitempty"`
		Version    uint64   `json:"version,omitempty"`
		Spec       jsonSpec `json:"spec"`
	}
	jsonVersion struct {
		Version      uint64      `json:"version"`
		Active       bool        `json:"active"`
		Created      string      `json:"created"`
		Users        uint64      `json:"users"`
		Items        uint64      `json:"items"`
		Interactions uint64      `json:"interactions"`
		Followed     uint64      `json:"followed,omitempty"` // the version that it was made of
		Spec         jsonSpec    `json:"spec"`
		PerNode      []jsonUsage `json:"per_node"`
		Models       []jsonModel `json:"models"`
	}
	jsonModel struct {
		Name       string            `json:"name"`
		Kind       string            `json:"kind"`
		Parameters map[string]string `json:"parameters"`
		Bytes      uint64            `json:"bytes"`
		Seconds    float64           `json:"seconds"`
		Steps      uint32            `json:"steps"`
		Notes      []string          `json:"notes,omitempty"`
	}
	jsonUsage struct {
		Node        string  `json:"node"`
		CPUSeconds  float64 `json:"cpu_seconds"`
		IdleSeconds float64 `json:"idle_seconds"`
		BytesIn     uint64  `json:"bytes_in"`
		BytesOut    uint64  `json:"bytes_out"`
		Tasks       uint64  `json:"tasks"`
		PairUpdates uint64  `json:"pair_updates"`
		// What training models took, of builds that have some; the bytes are part of those above.
		TrainSteps    uint64 `json:"train_steps,omitempty"`
		TrainBytesIn  uint64 `json:"train_bytes_in,omitempty"`
		TrainBytesOut uint64 `json:"train_bytes_out,omitempty"`
	}
)

func specView(s *kithv1.BuildSpec) jsonSpec {
	out := jsonSpec{
		Measure: s.GetMeasure(), K: s.GetK(), Shrinkage: s.GetShrinkage(), MinSupport: s.GetMinSupport(),
		Weights: s.GetBehaviorWeights(), HalfLife: float64(s.GetHalfLifeMs()) / 1000, WeightCap: s.GetWeightCap(),
	}
	for _, m := range s.GetModels() {
		out.Models = append(out.Models, wire.ModelText(m))
	}
	return out
}

func jobView(j *kithv1.Job) jsonJob {
	return jsonJob{
		ID: j.Id, EarlierIDs: j.EarlierIds, Phase: phaseName(j.Phase), Error: j.Error, TasksDone: j.TasksDone, TasksTotal: j.TasksTotal,
		Created: timeOf(j.CreatedUnixMs), Ended: timeOf(j.EndedUnixMs), Version: j.ModelVersion, Spec: specView(j.Spec),
	}
}

func versionView(v *kithv1.ModelVersion) jsonVersion {
	out := jsonVersion{
		Version: v.Version, Active: v.Active, Created: timeOf(v.CreatedUnixMs), Users: v.Users, Items: v.Items,
		Interactions: v.Interactions, Followed: v.Followed, Spec: specView(v.Spec), PerNode: []jsonUsage{}, Models: []jsonModel{},
	}
	for _, m := range v.Models {
		out.Models = append(out.Models, jsonModel{m.Spec.GetName(), m.Spec.GetKind(), m.Spec.GetParameters(), m.SizeBytes, m.Seconds, m.Steps, m.Notes})
	}
	for _, u := range v.Usage {
		out.PerNode = append(out.PerNode, jsonUsage{
			u.Node, u.CpuSeconds, u.IdleSeconds, u.BytesIn, u.BytesOut, u.Tasks, u.PairUpdates, u.TrainSteps, u.TrainBytesIn, u.TrainBytesOut,
		})
	}
	return out
}

func (a *app) printModels(versions []*kithv1.ModelVersion) error {
	if a.json() {
		out := []jsonVersion{}
		for _, v := range versions {
			out = append(out, versionView(v))
		}
		return a.printJSON(map[string]any{"versions": out})
	}
	if len(versions) == 0 {
		return a.printf("No model version yet; build one with 'kith build --wait'.\n")
	}
	var rows [][]any
	for _, v := range versions {
		active := ""
		if v.Active {
			active = "active"
		}
		rows = append(rows, []any{v.Version, active, timeOf(v.CreatedUnixMs), v.Spec.GetMeasure(), v.Spec.GetK(), count(v.Users), count(v.Items), count(v.Interactions)})
	}
	return a.printTable("", columns{">version", "", "created", "measure", ">k", ">users", ">items", ">interactions"}, rows)
}

// printVersion prints a version as a list of facts and a table of its nodes.
func (a *app) printVersion(v *kithv1.ModelVersion) error {
	s := v.Spec
	facts := [][2]string{
		{"version", fmt.Sprint(v.Version)},
		{"created", timeOf(v.CreatedUnixMs)},
		{"measure", fmt.Sprintf("%s, %s neighbors", s.GetMeasure(), count(s.GetK()))},
		{"from", fmt.Sprintf("%s users, %s items, %s interactions", count(v.Users), count(v.Items), count(v.Interactions))},
		{"weights", weightsText(s.GetBehaviorWeights())},
	}
	if v.Followed > 0 {
		facts = append(facts, [2]string{"followed", fmt.Sprintf("version %d, by what had changed since", v.Followed)})
	}
	if s.GetHalfLifeMs() > 0 {
		facts = append(facts, [2]string{"half-life", (time.Duration(s.GetHalfLifeMs()) * time.Millisecond).String()})
	}
	if s.GetShrinkage() > 0 || s.GetMinSupport() > 0 {
		facts = append(facts, [2]string{"support", fmt.Sprintf("shrinkage %v, at least %d common users", s.GetShrinkage(), s.GetMinSupport())})
	}
	if err := a.printFacts(facts); err != nil {
		return err
	}
	if err := a.printTrained(v.Models); err != nil {
		return err
	}
	return a.printUsage("", v.Usage)
}

// printTrained prints the models of a version.
func (a *app) printTrained(models []*kithv1.TrainedModel) error {
	if len(models) == 0 {
		return nil
	}
	var rows [][]any
	for _, m := range models {
		var settings []string
		for _, p := range slices.Sorted(maps.Keys(m.Spec.GetParameters())) {
			settings = append(settings, p+" "+m.Spec.Parameters[p])
		}
		rows = append(rows, []any{m.Spec.GetName(), m.Spec.GetKind(), size(m.SizeBytes), seconds(m.Seconds), count(m.Steps), strings.Join(settings, ", ")})
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	if err := a.printTable("", columns{"model", "kind", ">size", ">trained", ">steps", "settings"}, rows); err != nil {
		return err
	}
	for _, m := range models {
		for _, note := range m.Notes {
			if err := a.printf("%s: %s\n", m.Spec.GetName(), printable(note)); err != nil {
				return err
			}
		}
	}
	return nil
}

func weightsText(w map[string]float64) string {
	names := slices.SortedFunc(maps.Keys(w), func(a, b string) int {
		return cmp.Or(cmp.Compare(w[b], w[a]), strings.Compare(a, b))
	})
	var out []string
	for _, n := range names {
		out = append(out, fmt.Sprintf("%s %v", printable(n), w[n]))
	}
	return strings.Join(out, ", ")
}

// printUsage prints what a build cost on each node.
func (a *app) printUsage(indent string, usage []*kithv1.NodeUsage) error {
	if len(usage) == 0 {
		return nil
	}
	trained := slices.ContainsFunc(usage, func(u *kithv1.NodeUsage) bool { return u.TrainSteps > 0 })
	heads := columns{"node", ">tasks", ">pair updates", ">cpu", ">idle", ">received", ">sent"}
	if trained {
		heads = append(heads, ">training steps", ">received in them", ">sent in them")
	}
	var rows [][]any
	for _, u := range usage {
		row := []any{u.Node, count(u.Tasks), count(u.PairUpdates), seconds(u.CpuSeconds), seconds(u.IdleSeconds), size(u.BytesIn), size(u.BytesOut)}
		if trained {
			row = append(row, count(u.TrainSteps), size(u.TrainBytesIn), size(u.TrainBytesOut))
		}
		rows = append(rows, row)
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable(indent, heads, rows)
}
