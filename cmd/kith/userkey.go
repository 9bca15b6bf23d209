package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
)

// userKeyCommand tells under which keys a mapping stores users.
func (a *app) userKeyCommand() *cobra.Command {
	var in input
	var kind string
	cmd := &cobra.Command{
		Use:   "key KEY...",
		Short: "Print under which key a mapping stores a user",
		Long: `Print the key under which 'kith ingest --mapping' stores a user who is joined to no other key: with
its kind before it where that is not the first of users.kinds, and its pseudonym where the
mapping asks for pseudonyms and the environment has the secret. Queries and 'kith erase' take
this key. Needs no server.`,
		Example: `  KITH_SECRET=... kith users key 17 --mapping shop/map.yaml
  kith users key c0ffee --kind cookie --mapping shop/map.yaml`,
		Args: someKeys,
		RunE: func(_ *cobra.Command, args []string) error {
			if in.mapping == "" {
				return usagef("no mapping; name it with --mapping")
			}
			f, err := pipeline.Read(in.mapping, in.mappingOptions())
			if err != nil {
				return &usageError{fmt.Errorf("--mapping: %w", err)}
			}
			if kind != "" && !slices.Contains(f.Users.Kinds, kind) {
				return usagef("--kind %q is not one of users.kinds, which are %v", kind, f.Users.Kinds)
			}
			return a.printUserKeys(f, kind, args)
		},
	}
	cmd.Flags().StringVar(&in.mapping, "mapping", "", "the YAML `file` that is ingested")
	cmd.Flags().StringVar(&in.data, "data", "", "`folder` that ${KITH_DATA} in the paths of the mapping stands for")
	cmd.Flags().StringVar(&kind, "kind", "", "kind of the keys (default: the first of users.kinds)")
	return cmd
}

func (a *app) printUserKeys(f *fusion.File, kind string, keys []string) error {
	out := map[string]string{}
	for _, key := range keys {
		stored, err := pipeline.StoredKey(f, kind, key)
		if err != nil {
			return &usageError{err}
		}
		out[key] = stored
		if !a.json() {
			if err := a.printf("%s\n", stored); err != nil {
				return err
			}
		}
	}
	if a.json() {
		return a.printJSON(out)
	}
	return nil
}
