package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// app is one run of the program: what it reads and writes, and the settings that all commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	// env looks up a variable of the environment.
	env    func(name string) (string, bool)
	output choice
}

// usageError is a mistake on the command line, in the environment or in the configuration file.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run executes a command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	path := cmd.CommandPath()
	if ctx.Err() != nil {
		_, _ = fmt.Fprintf(a.err, "%s: interrupted\n", path)
		return exitInterrupted
	}
	_, _ = fmt.Fprintf(a.err, "%s: %v\n", path, explain(cmd, err))
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		_, _ = fmt.Fprintf(a.err, "See '%s --help'.\n", path)
		return exitUsage
	}
	return exitError
}

// root returns the tree of commands.
func (a *app) root() *cobra.Command {
	a.output = choice{"table", []string{"table", "json"}}
	root := &cobra.Command{
		Use:   "kith",
		Short: "A recommender cluster in one binary",
		Long: `kith learns from what users do and recommends what they may want next: exact neighbor
lists, top-N answers and their explanations, from one process or from a cluster that
survives the loss of nodes.

Every flag can also be set in the environment: --data-dir is KITH_DATA_DIR.`,
		Example: `  kith demo                                   a tour in a few seconds
  kith server                                 a complete cluster of one process
  kith ingest --mapping shop/map.yaml         fill it
  kith build --wait                           compute a model
  kith recommend u17 -n 10                    ask it
  kith neighbors --input ratings.csv -k 50    without a server`,
		Args:              noArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.settle(cmd) },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.PersistentFlags().VarP(&a.output, "output", "o", "form of the result on standard output")
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start:"},
		&cobra.Group{ID: "data", Title: "Data:"},
		&cobra.Group{ID: "model", Title: "Models:"},
		&cobra.Group{ID: "answer", Title: "Answers:"},
		&cobra.Group{ID: "cluster", Title: "Cluster:"},
		&cobra.Group{ID: "access", Title: "Access:"},
		&cobra.Group{ID: "other", Title: "Other:"},
	)
	root.SetHelpCommandGroupID("other")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 100"))
	for _, group := range []struct {
		id       string
		commands []*cobra.Command
	}{
		{"start", []*cobra.Command{a.demoCommand(), a.serverCommand()}},
		{"data", []*cobra.Command{a.generateCommand(), a.ingestCommand(), a.productsCommand(), a.usersCommand(), a.lineageCommand(), a.eraseCommand()}},
		{"model", []*cobra.Command{a.buildCommand(), a.modelsCommand(), a.neighborsCommand(), a.rulesCommand(), a.nextCommand(), a.clustersCommand(), a.evaluateCommand()}},
		{"answer", []*cobra.Command{a.recommendCommand(), a.exportCommand(), a.similarCommand(), a.togetherCommand(), a.trendingCommand(), a.newCommand(), a.latestCommand(), a.scenesCommand(), a.experimentsCommand()}},
		{"cluster", []*cobra.Command{a.clusterCommand(), a.statusCommand("status"), a.healthCommand(), a.doctorCommand()}},
		{"access", []*cobra.Command{a.certCommand(), a.keyCommand()}},
		{"other", []*cobra.Command{a.planCommand(), a.benchCommand(), a.versionCommand(), a.completionCommand()}},
	} {
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	complete(root)
	return root
}

// complete lets the shell complete the values of all choices.
func complete(cmd *cobra.Command) {
	visit := func(f *pflag.Flag) {
		if c, ok := f.Value.(*choice); ok {
			// It fails only for a flag that is not there or has a function already.
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(c.of, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	cmd.LocalFlags().VisitAll(visit)
	for _, c := range cmd.Commands() {
		complete(c)
	}
}

// noArgs refuses arguments; of a command that has others below it, it says which word was meant.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasSubCommands():
		return usagef("argument %q: want none", args[0])
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		text += "; did you mean " + strings.Join(s, " or ") + "?"
	}
	return &usageError{errors.New(text)}
}

// oneArg wants one argument, which it calls by name.
func oneArg(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return usagef("%d arguments; want one: %s", len(args), name)
		}
		return nil
	}
}
