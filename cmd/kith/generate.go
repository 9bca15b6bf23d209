package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/source/synthetic"
)

func (a *app) generateCommand() *cobra.Command {
	var users, items int
	var events int64
	var seed uint64
	var identities bool
	var out string
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Make the data of a shop, with a known structure",
		Long: `Make the data of a shop that does not exist: catalog, customers, a log of views and orders
from two sources with some faults, and beside it the truth of what is planted. The same
numbers and seed give the same bytes. With --identities there are also users who registered
twice, cookies, shared devices, and a supplier and a marketplace that say otherwise. The
folder must be empty, or hold an earlier shop, which is replaced.`,
		Example: `  kith generate --users 2000 --items 500 --events 50000 --seed 1 --out shop
  kith ingest --mapping shop/map.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("--out is missing; name a folder for the files")
			}
			cfg := synthetic.DefaultConfig(users, items, events, seed)
			if identities {
				cfg.Planted = synthetic.DefaultPlanted()
			}
			if err := cfg.Validate(); err != nil {
				return &usageError{err}
			}
			return a.generate(cmd.Context(), cfg, out)
		},
	}
	f := cmd.Flags()
	f.IntVar(&users, "users", 2000, "number of customers")
	f.IntVar(&items, "items", 500, "number of products")
	f.Int64Var(&events, "events", 50_000, "number of events in both logs")
	f.Uint64Var(&seed, "seed", 1, "chooses one of the shops of that size")
	f.BoolVar(&identities, "identities", false, "also plant second accounts, cookies, shared devices, and products listed twice, with the truth")
	f.StringVar(&out, "out", "", "`folder` for the files")
	return cmd
}

func (a *app) generate(ctx context.Context, cfg synthetic.Config, dir string) error {
	if err := claimShop(dir); err != nil {
		return err
	}
	began := time.Now()
	p := a.progress("generate")
	summary, err := generateShop(ctx, cfg, dir, func(done, total int64) { p.set("events", done, total) })
	p.end()
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	if a.json() {
		return a.printJSON(struct {
			Out     string  `json:"out"`
			Seconds float64 `json:"seconds"`
			*synthetic.Summary
		}{dir, took, summary})
	}
	var rows [][]any
	for _, f := range summary.Files {
		lines := ""
		if f.Rows > 0 {
			lines = count(f.Rows)
		}
		rows = append(rows, []any{f.Name, lines, size(f.Bytes)})
	}
	if err := a.printTable("", columns{"file", ">rows", ">size"}, rows); err != nil {
		return err
	}
	mapping := synthetic.MappingFile
	if cfg.Planted != nil {
		mapping = synthetic.FusionFile
	}
	return a.printf("\n%s events in %s, made in %s. Next: kith ingest --mapping %s\n",
		count(summary.Events), dir, seconds(took), filepath.Join(dir, mapping))
}

// claimShop makes the folder of a shop. It refuses one with files of somebody else, and removes those of an earlier shop that not every shop has.
func claimShop(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.MkdirAll(dir, 0o755)
	case err != nil:
		return fmt.Errorf("--out: %w; name a folder", err)
	case len(entries) == 0:
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, synthetic.TruthFile)); err != nil {
		return fmt.Errorf("--out %s: the folder is not empty and holds no generated shop; name another", dir)
	}
	for _, name := range synthetic.PlantedFiles {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--out: %w; remove it or name another folder", err)
		}
	}
	return nil
}

// generateShop writes the files of a shop. If it fails it removes those that it began.
func generateShop(ctx context.Context, cfg synthetic.Config, dir string, progress func(done, total int64)) (*synthetic.Summary, error) {
	var made []string
	summary, err := synthetic.Generate(ctx, cfg, func(name string) (io.WriteCloser, error) {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err == nil {
			made = append(made, path)
		}
		return f, err
	}, progress)
	if err != nil {
		for _, path := range made {
			err = errors.Join(err, os.Remove(path))
		}
		return nil, err
	}
	return summary, nil
}
