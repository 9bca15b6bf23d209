package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) scenesCommand() *cobra.Command {
	list := a.scenesListCommand("scenes")
	list.Short = "Keep scenes: named ways to answer"
	list.Long = `Keep scenes: named ways to answer, such as of the home page, which say what is recommended there,
by which rules, and what comes when there is too little. They are declared in a file (see
docs/scenes.md), kept in the cluster, and replaced as a whole.`
	list.Example = `  kith scenes apply scenes.yaml
  kith scenes
  kith scenes show > scenes.yaml
  kith scenes report
  kith recommend u17 --scene home`
	list.AddCommand(a.scenesListCommand("list"), a.scenesShowCommand(), a.scenesApplyCommand(), a.scenesDeleteCommand(), a.scenesReportCommand())
	return list
}

func (a *app) scenesListCommand(use string) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:     use,
		Short:   "List the scenes",
		Example: "  kith scenes list",
		Args:    noArgs,
		RunE: a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
			set, err := c.scenes(ctx)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printSet(set)
			}
			if len(set.Scenes) == 0 {
				return a.printf("No scenes; make some with 'kith scenes apply FILE'.\n")
			}
			var rows [][]any
			for _, s := range fileOf(set).Scenes {
				fallback := "popularity, newest"
				if s.Fallback != nil {
					fallback = strings.Join(*s.Fallback, ", ")
				}
				var in []string
				for _, e := range set.Experiments {
					if slices.ContainsFunc(e.Variants, func(v *kithv1.Variant) bool { return v.Scene == s.Name }) || e.Scene == s.Name {
						in = append(in, e.Name)
					}
				}
				rows = append(rows, []any{s.Name, s.Model, fallback, strings.Join(in, ", ")})
			}
			return a.printTable("", columns{"scene", "model", "then", "experiments"}, rows)
		}),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) scenesShowCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Print all scenes and experiments, or one scene, as a file has them",
		Long: `Print all scenes and experiments, or one scene, as a file has them. The file of all has their
version: applied again it replaces them only if nobody has changed them meanwhile.`,
		Example: `  kith scenes show > scenes.yaml
  kith scenes show home`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; want the name of a scene, or none for all", len(args))
			}
			return nil
		},
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			set, err := c.scenes(ctx)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				at, err := sceneAt(set, args[0])
				if err != nil {
					return err
				}
				set = &kithv1.SceneSet{Scenes: set.Scenes[at : at+1]}
			}
			if a.json() {
				return a.printSet(set)
			}
			b, err := yaml.MarshalWithOptions(fileOf(set), yaml.IndentSequence(true))
			if err != nil {
				return err
			}
			return a.printf("%s", b)
		}),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

// printSet prints scenes and experiments as JSON, with the names of the protocol.
func (a *app) printSet(set *kithv1.SceneSet) error {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(set)
	if err != nil {
		return err
	}
	return a.printJSON(json.RawMessage(b))
}

// sceneAt returns where a scene is.
func sceneAt(set *kithv1.SceneSet, name string) (int, error) {
	var names []string
	for i, s := range set.Scenes {
		if s.Name == name {
			return i, nil
		}
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return 0, fmt.Errorf("%w %q: there are none; make some with 'kith scenes apply'", wire.ErrUnknownScene, name)
	}
	return 0, fmt.Errorf("%w %q: there are %s", wire.ErrUnknownScene, name, strings.Join(names, ", "))
}

func (a *app) scenesApplyCommand() *cobra.Command {
	var r remote
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Replace all scenes and experiments by those of a file",
		Long: `Replace all scenes and experiments by those of a file: what is not in it is gone. If the file has a
version, as 'kith scenes show' writes it, and they have changed since, nothing is replaced. A
FILE of - is standard input.`,
		Example: `  kith scenes apply --dry-run scenes.yaml
  kith scenes apply scenes.yaml`,
		Args: oneArg("a file, or - for standard input"),
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			name, read := args[0], os.ReadFile
			if name == "-" {
				name, read = "standard input", func(string) ([]byte, error) { return io.ReadAll(a.in) }
			}
			data, err := read(name)
			if err != nil {
				return err
			}
			set, err := parseScenes(name, data)
			if err != nil {
				return err
			}
			present, err := c.scenes(ctx)
			if err != nil {
				return err
			}
			if set.Version == 0 {
				set.Version = present.Version
			}
			if set.Version != present.Version {
				return fmt.Errorf("%s: %w: it was made from version %d, and %d is there now", name, wire.ErrScenesChanged, set.Version, present.Version)
			}
			done := changesOf(present, set)
			if !dryRun && done.any() {
				if done.Version, err = c.setScenes(ctx, set); err != nil {
					return err
				}
			}
			return a.printChanges(done, dryRun)
		}),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the file and say what would change")
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) scenesDeleteCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a scene that no experiment refers to",
		Example: "  kith scenes delete home",
		Args:    oneArg("the name of a scene"),
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			present, err := c.scenes(ctx)
			if err != nil {
				return err
			}
			at, err := sceneAt(present, args[0])
			if err != nil {
				return err
			}
			set := &kithv1.SceneSet{Version: present.Version, Scenes: slices.Delete(slices.Clone(present.Scenes), at, at+1), Experiments: present.Experiments}
			done := changesOf(present, set)
			if done.Version, err = c.setScenes(ctx, set); err != nil {
				return err
			}
			return a.printChanges(done, false)
		}),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

func (c *client) scenes(ctx context.Context) (set *kithv1.SceneSet, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := kithv1.NewSceneServiceClient(conn).GetScenes(ctx, &kithv1.GetScenesRequest{})
		set = resp.GetSet()
		return err
	})
	return set, err
}

// setScenes replaces the scenes of the set's version.
func (c *client) setScenes(ctx context.Context, set *kithv1.SceneSet) (version uint64, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := kithv1.NewSceneServiceClient(conn).SetScenes(ctx, &kithv1.SetScenesRequest{Set: set})
		version = resp.GetVersion()
		return err
	})
	return version, err
}

// changes are the names of the scenes and experiments that differ between two sets.
type changes struct {
	Version uint64   `json:"version"`
	Added   []string `json:"added"`
	Changed []string `json:"changed"`
	Removed []string `json:"removed"`
}

func (c *changes) any() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) > 0 }

func changesOf(old, now *kithv1.SceneSet) *changes {
	out := &changes{Version: old.Version, Added: []string{}, Changed: []string{}, Removed: []string{}}
	named := func(set *kithv1.SceneSet) (names []string, of map[string]proto.Message) {
		of = map[string]proto.Message{}
		for _, s := range set.Scenes {
			names, of["scene "+s.Name] = append(names, "scene "+s.Name), s
		}
		for _, e := range set.Experiments {
			names, of["experiment "+e.Name] = append(names, "experiment "+e.Name), e
		}
		return names, of
	}
	before, was := named(old)
	after, is := named(now)
	for _, name := range after {
		switch x, ok := was[name]; {
		case !ok:
			out.Added = append(out.Added, name)
		case !proto.Equal(x, is[name]):
			out.Changed = append(out.Changed, name)
		}
	}
	for _, name := range before {
		if is[name] == nil {
			out.Removed = append(out.Removed, name)
		}
	}
	return out
}

func (a *app) printChanges(c *changes, dryRun bool) error {
	if a.json() {
		return a.printJSON(c)
	}
	if !c.any() {
		return a.printf("Nothing changes; version %d stays.\n", c.Version)
	}
	for _, x := range []struct {
		what  string
		names []string
	}{{"added", c.Added}, {"changed", c.Changed}, {"removed", c.Removed}} {
		if len(x.names) > 0 {
			if err := a.printf("%-8s %s\n", x.what, strings.Join(x.names, ", ")); err != nil {
				return err
			}
		}
	}
	if dryRun {
		return a.printf("Nothing was changed: a dry run.\n")
	}
	return a.printf("Version %d is there.\n", c.Version)
}
