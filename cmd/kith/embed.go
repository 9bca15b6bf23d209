package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/assist"
	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/model/dense"
	"github.com/kith-io/kith/model/text"
	"github.com/kith-io/kith/model/train"
)

// embedding is what kith products embed is told.
type embedding struct {
	out, as    string
	attributes []string
	dim        int
	assistFlags
}

// localDim is the length of vectors that are made without an endpoint.
const localDim = 128

func (t *recordTool) embedCommand() *cobra.Command {
	var e embedding
	cmd := &cobra.Command{
		Use:   "embed FILE",
		Short: "Make vectors of the texts of products",
		Long: `Read products from a file as 'kith products put' takes it, make a vector of the texts of each, and
write them to --out, for 'kith neighbors --vectors'. With --as the products themselves are written,
for 'kith products put': those that have a vector are newer by one version, with the vector as an
attribute, of which a build makes the model vectors. Needs no server.

Without an endpoint the vectors are made here, by latent semantic analysis of the words. With
--assist-url and --assist-model an embedding model makes them, and texts are sent there.

A product without text, or without a word that another has too, has no vector and is left out.
FILE of - is standard input.`,
		Example: `  kith products embed products.jsonl --out vectors.parquet
  kith products embed products.jsonl --as embedding --out embedded.jsonl
  kith products embed products.jsonl --attributes title,tags --out vectors.jsonl \
    --assist-url https://api.example.com/v1 --assist-model embed-small --assist-key-file key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return t.embed(cmd.Context(), args[0], &e) },
	}
	f := cmd.Flags()
	f.StringVar(&e.out, "out", "", "`file` for the vectors: .parquet or .jsonl")
	f.StringVar(&e.as, "as", "", "write the products to --out (.jsonl), with their vectors as the attribute of this `name`")
	f.StringSliceVar(&e.attributes, "attributes", nil, "`names` of the attributes with the texts, in order (default: all with texts, by name, but for addresses and vectors)")
	f.IntVar(&e.dim, "dim", 0, "numbers of a vector (default: those of the model, or 128 without one)")
	e.register(f)
	return cmd
}

func (t *recordTool) embed(ctx context.Context, path string, e *embedding) error {
	if e.out == "" {
		return usagef("where to? Name a file with --out")
	}
	formats := vectorExtensions
	if e.as != "" {
		formats = []string{".jsonl"}
	}
	if err := checkPath("out", e.out, formats); err != nil {
		return err
	}
	if e.dim < 0 || e.dim > dense.MaxDim {
		return usagef("--dim is %d; want 1 to %d", e.dim, dense.MaxDim)
	}
	client, err := e.client()
	if err != nil {
		return err
	}
	in, done, err := t.open(path)
	if err != nil {
		return err
	}
	defer done()
	var keys, texts []string
	var records []catalog.Record // with --as
	seen := map[string]bool{}
	if err := forRecords(ctx, in, func(r *catalog.Record) error {
		if seen[r.Key] {
			return fmt.Errorf("product %s is there twice; want the newest alone, as 'kith products list' prints", printable(r.Key))
		}
		seen[r.Key] = true
		if !r.Deleted {
			keys, texts = append(keys, r.Key), append(texts, textOf(r, e.attributes))
			if e.as != "" {
				records = append(records, *r)
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	by := "latent semantic analysis"
	var vectors [][]float32
	if client != nil {
		by = e.endpoint.Model
		o := assist.DefaultEmbedOptions()
		o.Dim = e.dim
		vectors, err = client.Embed(ctx, texts, o)
		t.noteAssist(client)
	} else {
		vectors, err = localVectors(ctx, texts, e.dim)
	}
	if err != nil {
		return err
	}
	var rows []vectorRow
	for i, v := range vectors {
		if !zero(v) {
			rows = append(rows, vectorRow{keys[i], v})
		}
	}
	if len(rows) == 0 {
		return errors.New("no product has a vector: there is no text, or no word that two products share")
	}
	if e.as == "" {
		err = writeVectors(e.out, rows)
	} else {
		err = writeEmbedded(e.out, e.as, records, vectors)
	}
	if err != nil {
		return err
	}
	out := struct {
		Products int    `json:"products"`
		Vectors  int    `json:"vectors"`
		Dim      int    `json:"dim"`
		By       string `json:"by"`
		Out      string `json:"out"`
	}{len(keys), len(rows), len(rows[0].Vector), by, e.out}
	if t.json() {
		return t.printJSON(out)
	}
	return t.printf("%s of %s numbers for %s to %s, by %s.\n", plural(out.Vectors, "vector", "vectors"), count(out.Dim), plural(out.Products, t.one, t.many), out.Out, out.By)
}

// writeEmbedded writes records, those that have a vector with it as the attribute of a name.
func writeEmbedded(path, name string, records []catalog.Record, vectors [][]float32) error {
	return writeWhole(path, func(w io.Writer) error {
		for i := range records {
			r := &records[i]
			at, found := slices.BinarySearchFunc(r.Attributes, name, func(a catalog.Attribute, name string) int { return strings.Compare(a.Name, name) })
			switch {
			case zero(vectors[i]) && found: // that of an earlier run lies in another space
				r.Attributes = slices.Delete(r.Attributes, at, at+1)
				r.Version++
			case !zero(vectors[i]):
				if !found {
					r.Attributes = slices.Insert(r.Attributes, at, catalog.Attribute{})
				}
				r.Attributes[at] = catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Text, Text: train.FormatVector(vectors[i])}}
				r.Version++
			}
			if err := r.Check(); err != nil {
				return err
			}
			b, err := catalog.FormatJSON(r)
			if err != nil {
				return err
			}
			if _, err := w.Write(append(b, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
}

// textOf joins the texts of a product: those of some attributes, or of all that are neither addresses nor vectors.
func textOf(r *catalog.Record, names []string) string {
	var out []string
	add := func(a *catalog.Attribute) {
		for _, s := range append(slices.Clone(a.Value.Texts), a.Value.Text) {
			if s != "" && (names != nil || !strings.Contains(s, "://") && train.ParseVector(s) == nil) {
				out = append(out, s)
			}
		}
	}
	for i := range r.Attributes {
		if names == nil {
			add(&r.Attributes[i])
		}
	}
	for _, name := range names {
		if i := slices.IndexFunc(r.Attributes, func(a catalog.Attribute) bool { return a.Name == name }); i >= 0 {
			add(&r.Attributes[i])
		}
	}
	return strings.Join(out, "\n")
}

// Words of the vectors that are made here: those of at least two products, and of at most half of them.
const (
	leastProducts = 2
	mostProducts  = 0.5
)

// localVectors makes vectors of texts by latent semantic analysis: the same texts in the same order give the same vectors.
func localVectors(ctx context.Context, texts []string, dim int) ([][]float32, error) {
	documents := make([][]string, len(texts))
	for i, s := range texts {
		documents[i] = text.Tokens(s)
	}
	words := text.Fit(documents, text.TFIDF, leastProducts, mostProducts)
	if len(words.Terms) == 0 {
		return make([][]float32, len(texts)), nil
	}
	o := dense.DefaultProjectionOptions()
	o.Rank = localDim
	if dim > 0 {
		o.Rank = dim
	}
	rows := words.Matrix(documents)
	p, err := dense.NewProjection(ctx, rows, o)
	if err != nil {
		return nil, err
	}
	all, out := p.EmbedAll(rows), make([][]float32, len(texts))
	for i := range out {
		out[i] = all[i*p.Dim() : (i+1)*p.Dim()]
	}
	return out, nil
}
