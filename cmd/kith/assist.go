package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kith-io/kith/assist"
	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/node/wire"
)

// assistFlags say which endpoint helps, if any.
type assistFlags struct {
	endpoint assist.Config
	keyFile  string
}

func (s *assistFlags) register(f *pflag.FlagSet) {
	s.endpoint = assist.DefaultConfig()
	f.StringVar(&s.endpoint.URL, "assist-url", "", "`URL` of the endpoint, the part before /chat/completions or /embeddings")
	f.StringVar(&s.endpoint.Model, "assist-model", "", "`name` of the model there")
	f.StringVar(&s.keyFile, "assist-key-file", "", "`file` with the key")
	f.StringVar(&s.endpoint.Cache, "assist-cache", "", "`folder` that keeps answers, so that the same question is paid for once")
	f.Int64Var(&s.endpoint.MaxRequests, "assist-requests", s.endpoint.MaxRequests, "most requests")
	f.Int64Var(&s.endpoint.MaxTokens, "assist-tokens", s.endpoint.MaxTokens, "most tokens")
	f.DurationVar(&s.endpoint.Timeout, "assist-timeout", time.Minute, "longest time of one try of a request")
}

// client returns nil if no endpoint is named. Errors are of usage.
func (s *assistFlags) client() (*assist.Client, error) {
	if s.endpoint.URL == "" && s.endpoint.Model == "" {
		return nil, nil
	}
	if s.endpoint.URL == "" || s.endpoint.Model == "" {
		return nil, usagef("want both of --assist-url and --assist-model, or neither")
	}
	if s.keyFile != "" {
		key, err := assist.ReadSecret(s.keyFile)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--assist-key-file: %w", err)}
		}
		s.endpoint.Key = key
	}
	c, err := assist.NewClient(s.endpoint)
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// noteAssist tells what was asked of an endpoint, if there is one, and what went wrong.
func (a *app) noteAssist(c *assist.Client) {
	if c == nil {
		return
	}
	if err := c.Failure(); err != nil {
		a.note("first failure: %v", err)
	}
	u := c.Usage()
	a.note("%s, %s tokens, %s from the cache", plural(u.Requests, "request", "requests"), count(u.Tokens), count(u.Cached))
}

// described is what commands show of a product beside its key.
type described struct {
	title      string
	categories []string
}

// titleLength is the most characters of a title that is shown.
const titleLength = 80

// recordKeys is the most keys of one question for records.
const recordKeys = 1000

// products returns what records say of items, without those that have none.
func (c *client) products(ctx context.Context, keys []string) (map[string]described, error) {
	out := map[string]described{}
	for len(keys) > 0 {
		n := min(len(keys), recordKeys)
		records, err := c.records(ctx, catalog.Product, keys[:n], true)
		if err != nil {
			return nil, fmt.Errorf("titles of products: %w", err)
		}
		for _, m := range records {
			r, err := wire.RecordFromProto(m)
			if err != nil {
				return nil, err
			}
			out[r.Key] = productOf(&r)
		}
		keys = keys[n:]
	}
	return out, nil
}

// productOf reads the attributes title or name, and categories or category. A text of several categories has them between |.
func productOf(r *catalog.Record) (p described) {
	values := map[string]catalog.Value{}
	for _, a := range r.Attributes {
		values[a.Name] = a.Value
	}
	for _, name := range []string{"title", "name"} {
		if t := strings.Join(strings.Fields(values[name].Text), " "); t != "" && p.title == "" {
			p.title = fit(printable(t), titleLength)
		}
	}
	for _, name := range []string{"categories", "category", "genres"} {
		v := values[name]
		if v.Type == catalog.Text {
			v.Texts = strings.Split(v.Text, "|")
		}
		for _, t := range v.Texts {
			if t = strings.TrimSpace(t); t != "" {
				p.categories = append(p.categories, fit(printable(t), titleLength))
			}
		}
	}
	return p
}

// named returns the title of an item, or its key.
func named(products map[string]described, item string) string {
	if p := products[item]; p.title != "" {
		return p.title
	}
	return printable(item)
}

// explainer makes sentences of recommendations.
type explainer struct {
	client   *assist.Client // nil for none
	language assist.Language
	products map[string]described
}

// reasons returns what the score is of: of a model that is made of others, what that of the first of them is of that can tell it by items.
func (x *jsonRecommended) reasons() []jsonContribution {
	out := x.Contributions
	for _, f := range x.Found {
		if slices.ContainsFunc(f.Contributions, func(c jsonContribution) bool { return c.Item != "" }) {
			return f.Contributions
		}
		if len(f.Contributions) > 0 {
			out = f.Contributions
		}
	}
	return out
}

// sentence says in words why an item is recommended, and whether they are a model's. Where no item of the history is behind it, the words are of what put it there.
func (e *explainer) sentence(ctx context.Context, x *jsonRecommended) (words string, written bool, err error) {
	facts := assist.Facts{Item: named(e.products, x.Item)}
	similar := false
	for _, c := range x.reasons() {
		switch {
		case c.Score <= 0:
		case c.Item == "":
			similar = true
		default:
			facts.Because = append(facts.Because, named(e.products, c.Item))
		}
	}
	if len(facts.Because) == 0 {
		return originWords(facts.Item, x.Source, similar, e.language), false, nil
	}
	client := e.client
	if client.Away() {
		client = nil // the others need not wait for that again
	}
	return assist.Explain(ctx, client, facts, e.language)
}

// originWords says what put an item into an answer that no item of the history explains.
func originWords(item, source string, similar bool, l assist.Language) string {
	words := map[string][2]string{
		popularity:   {"Popular with others: %s.", "大家都在看：%s。"},
		"newest":     {"New here: %s.", "新品：%s。"},
		"pin":        {"Chosen for this place: %s.", "精选：%s。"},
		"trending":   {"Popular at the moment: %s.", "近期热门：%s。"},
		"categories": {"Of a category that you look at: %s.", "您常看的类别：%s。"},
		"similar":    {"Similar to what you look at: %s.", "与您正在看的相似：%s。"},
		"together":   {"Bought together with what you look at: %s.", "经常一起购买：%s。"},
	}[source]
	switch {
	case similar:
		words = [2]string{"Chosen by users with a taste like yours: %s.", "与您喜好相似的用户选择了：%s。"}
	case words[0] == "":
		words = [2]string{"Recommended for you: %s.", "为您推荐：%s。"}
	}
	if l == assist.Chinese {
		return fmt.Sprintf(words[1], item)
	}
	return fmt.Sprintf(words[0], item)
}

// explainWords adds sentences to an answer. helper is nil for templates alone.
func (a *app) explainWords(ctx context.Context, c *client, helper *assist.Client, l assist.Language, out *jsonRecommendation) error {
	seen := map[string]bool{}
	var keys []string
	add := func(key string) {
		if key != "" && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	for _, x := range out.Items {
		add(x.Item)
		for _, p := range x.reasons() {
			add(p.Item)
		}
	}
	products, err := c.products(ctx, keys)
	if err != nil {
		return err
	}
	e := explainer{helper, l, products}
	for i := range out.Items {
		x := &out.Items[i]
		words, written, err := e.sentence(ctx, x)
		if err != nil {
			return err
		}
		x.Words, x.WordsFrom = words, "template"
		if written {
			x.WordsFrom = "model"
		}
	}
	a.noteAssist(helper)
	return nil
}

// nameClusters returns a name for each group, given by the items that set it apart. Groups without words have the titles or keys of the first of these.
func (a *app) nameClusters(ctx context.Context, c *client, helper *assist.Client, groups [][]string) ([]string, error) {
	seen := map[string]bool{}
	var keys []string
	for _, g := range groups {
		for _, key := range g {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	products, err := c.products(ctx, keys)
	if err != nil {
		return nil, err
	}
	members := make([][]assist.Member, len(groups))
	for i, g := range groups {
		for _, key := range g {
			if p, ok := products[key]; ok {
				members[i] = append(members[i], assist.Member{Title: p.title, Categories: p.categories})
			}
		}
	}
	names, written, err := assist.NameClusters(ctx, helper, assist.DescribeClusters(members))
	if err != nil {
		return nil, err
	}
	for i, g := range groups {
		if names[i] == "" && len(g) > 0 {
			names[i] = "like " + named(products, g[0])
		}
	}
	if helper != nil {
		a.note("%d of %s of the model", written, plural(len(names), "name", "names"))
	}
	a.noteAssist(helper)
	return names, nil
}
