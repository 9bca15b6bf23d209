package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/assist"
	"github.com/kith-io/kith/node/artifact"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// popularity is the name of the model that fills places, and that all others must beat.
const popularity = "popularity"

// modelNames are the models of a recommendation as the command line names them.
var modelNames = map[kithv1.Model]string{
	kithv1.Model_MODEL_HYBRID:     "hybrid",
	kithv1.Model_MODEL_ITEM_KNN:   "item-knn",
	kithv1.Model_MODEL_USER_KNN:   "user-knn",
	kithv1.Model_MODEL_POPULARITY: popularity,
	kithv1.Model_MODEL_NEWEST:     "newest",
	kithv1.Model_MODEL_PINNED:     "pin",
	kithv1.Model_MODEL_EXPLORED:   "explored",
	kithv1.Model_MODEL_CATEGORIES: "categories",
	kithv1.Model_MODEL_TRENDING:   "trending",
	kithv1.Model_MODEL_SIMILAR:    "similar",
	kithv1.Model_MODEL_TOGETHER:   "together",
	kithv1.Model_MODEL_TRAINED:    "trained",
}

// modelChoice takes the names of models.
func modelChoice() choice {
	return choice{"hybrid", []string{"hybrid", "item-knn", "user-knn", popularity}}
}

// modelName is the value of a flag that takes the names of models, also those that a version was trained with.
type modelName struct{ choice }

// Set implements pflag.Value.
func (m *modelName) Set(s string) error {
	if !artifact.ValidModel(s) {
		return fmt.Errorf("want %s, or a model of 'kith models show'", alternatives(m.of))
	}
	m.value = s
	return nil
}

// Type implements pflag.Value.
func (m *modelName) Type() string { return "name" }

// sourceName returns the name of the model that put an item into an answer.
func sourceName(resp *kithv1.RecommendResponse, source kithv1.Model) string {
	if source == kithv1.Model_MODEL_TRAINED && resp.GetModelName() != "" {
		return resp.ModelName
	}
	return modelNames[source]
}

// onlyInAnswers reports whether a model says where an item comes from, and cannot be asked for.
func onlyInAnswers(m kithv1.Model) bool {
	return m == kithv1.Model_MODEL_PINNED || m == kithv1.Model_MODEL_EXPLORED
}

func modelByName(name string) kithv1.Model {
	for m, n := range modelNames {
		if n == name {
			return m
		}
	}
	return kithv1.Model_MODEL_UNSPECIFIED
}

func (a *app) recommendCommand() *cobra.Command {
	var r remote
	var basket []string
	var explain bool
	var session, item string
	words := choice{"", []string{string(assist.English), string(assist.Chinese)}}
	var helper assistFlags
	answer := answerFlags{model: modelName{modelChoice()}}
	cmd := &cobra.Command{
		Use:   "recommend USER | --basket ITEM,ITEM",
		Short: "Recommend items for a user or a basket",
		Long: `Recommend the N best items for a user, from all events that are stored now, or for a basket
of items. Places that the model cannot fill come from popularity, then from products without
events, and say so. With --explain each item names what it is recommended for; the parts add up
to its score. A model that is made of others names those that have found the item, at which rank
and for what. With --words as well it is told in a sentence, by the titles of the products that
are stored; with --assist-url and --assist-model by a language model, which is told these titles
and can say nothing beside them (without the model, or if it fails, by a template).

--filter leaves items out by what their products are. Conditions are separated by commas:
name=a|b (one of), name=a&b (all of), name!=a|b (none of), name<5 (also <=, > and >=; numbers,
dates and times), and name alone (above 0, or true).

--scene answers as a scene says (see 'kith scenes'): its filters and boosts hold beside those
given here, and -n, --freshness, --max-per-group and --explore stand in place of its own.`,
		Example: `  kith recommend u17 -n 10 --explain
  kith recommend u17 --explain --words
  kith recommend --basket i3,i8 --model item-knn
  kith recommend u17 --model covisit
  kith recommend u17 --model mf --allow i3,i8 --include-seen --no-fallback
  kith recommend u17 --filter 'category=shoes|boots,price<50,stock' --exclude-bought 30d
  kith recommend u17 --boost 'brand=acme:2' --freshness 30d --max-per-group 3 --pin i7@1
  kith recommend u17 --explore 2:14d
  kith recommend u17 --scene home
  kith recommend --scene product-page --item i42 --session 8f2c`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; want one user, or --basket", len(args))
			}
			return nil
		},
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			req, err := answer.request()
			if err != nil {
				return err
			}
			req.Explain, req.Session, req.Item = explain, session, item
			if words.value != "" && !explain {
				return usagef("--words are of --explain; give both")
			}
			var asked *assist.Client
			if words.value != "" {
				if asked, err = helper.client(); err != nil {
					return err
				}
			}
			switch {
			case len(args) == 1 && args[0] != "" && len(basket) == 0:
				req.Subject = &kithv1.RecommendRequest_User{User: args[0]}
			case len(args) == 0 && len(basket) > 0:
				b := &kithv1.Basket{}
				for _, item := range basket {
					b.Items = append(b.Items, &kithv1.BasketItem{Item: item})
				}
				req.Subject = &kithv1.RecommendRequest_Basket{Basket: b}
			case len(args) == 0 && len(basket) == 0 && req.Scene != "":
			default:
				return usagef("for whom? Name one user, or items with --basket, and not both")
			}
			resp, err := c.recommend(ctx, req)
			if err != nil {
				return err
			}
			out := recommendation(req, resp)
			if words.value != "" {
				if err := a.explainWords(ctx, c, asked, assist.Language(words.value), &out); err != nil {
					return err
				}
			}
			return a.printRecommended(req, resp, out)
		}),
	}
	f := cmd.Flags()
	answer.register(f)
	f.StringSliceVar(&basket, "basket", nil, "`items` that are together now, instead of a user")
	f.BoolVar(&explain, "explain", false, "say for each item what it is recommended for")
	f.Var(&words, "words", "with --explain: say it in a sentence, in English or (--words=zh) in Chinese")
	f.Lookup("words").NoOptDefVal = string(assist.English)
	helper.register(f)
	f.StringVar(&session, "session", "", "who asks, where there is no user: decides which variant of an experiment answers")
	f.StringVar(&item, "item", "", "what a scene of similar items, or of those bought together, is about")
	r.register(cmd, queryTimeout)
	return cmd
}

// answerFlags say what a recommendation is like, whoever it is for.
type answerFlags struct {
	set                     *pflag.FlagSet
	n                       int
	model                   modelName
	scene                   string
	seen, noFallback, stale bool
	rules                   ruleFlags
}

func (a *answerFlags) register(f *pflag.FlagSet) {
	a.set = f
	f.IntVarP(&a.n, "n", "n", 10, "number of items")
	f.Var(&a.model, "model", "how items are scored: "+alternatives(a.model.of)+", or a model that the version was trained with")
	f.BoolVar(&a.seen, "include-seen", false, "recommend also items that the user knows already")
	f.BoolVar(&a.noFallback, "no-fallback", false, "do not fill up from popularity")
	f.BoolVar(&a.stale, "stale", false, "read the history from any replica; the newest events may be missing")
	f.StringVar(&a.scene, "scene", "", "answer as the scene of this `name` says")
	a.rules.registerFilter(f)
	a.rules.registerOrder(f)
	a.rules.registerHistory(f)
}

// request returns a request for nobody yet. What is not said beside a scene is for the scene to say.
func (a *answerFlags) request() (*kithv1.RecommendRequest, error) {
	if err := checkLength(a.n); err != nil {
		return nil, err
	}
	req := &kithv1.RecommendRequest{N: uint32(a.n), Model: modelByName(a.model.value), Scene: a.scene, IncludeSeen: a.seen, NoFallback: a.noFallback, Stale: a.stale}
	if req.Model == kithv1.Model_MODEL_UNSPECIFIED {
		req.ModelName = a.model.value
	}
	if a.scene != "" && !a.set.Changed("n") {
		req.N = 0
	}
	if a.scene != "" && !a.set.Changed("model") {
		req.Model = kithv1.Model_MODEL_UNSPECIFIED
	}
	some, err := a.rules.rules()
	if err != nil {
		return nil, err
	}
	req.Filter, req.Boosts, req.Freshness, req.Diversity = some.filter, some.boosts, some.freshness, some.diversity
	return req, a.rules.history(req)
}

func (c *client) recommend(ctx context.Context, req *kithv1.RecommendRequest) (resp *kithv1.RecommendResponse, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewRecommenderServiceClient(conn).Recommend(ctx, req)
		return err
	})
	return resp, err
}

type jsonContribution struct {
	Item  string  `json:"item"`
	Score float64 `json:"score"`
}

type jsonRecommended struct {
	Rank          int                `json:"rank"`
	Item          string             `json:"item"`
	Score         float64            `json:"score"`
	Source        string             `json:"source"`
	Contributions []jsonContribution `json:"contributions,omitempty"`
	Found         []jsonFound        `json:"found,omitempty"`
	Words         string             `json:"words,omitempty"`
	WordsFrom     string             `json:"words_from,omitempty"`
}

// jsonFound is what one of the models that another is made of says of an item.
type jsonFound struct {
	Model         string             `json:"model"`
	Rank          uint32             `json:"rank"`
	Score         float64            `json:"score"`
	Contributions []jsonContribution `json:"contributions,omitempty"`
}

func jsonContributions(parts []*kithv1.Contribution) (out []jsonContribution) {
	for _, c := range parts {
		out = append(out, jsonContribution{c.Item, c.Score})
	}
	return out
}

type jsonRecommendation struct {
	User           string            `json:"user,omitempty"`
	Basket         []string          `json:"basket,omitempty"`
	Model          string            `json:"model"`
	ModelVersion   uint64            `json:"model_version"`
	Items          []jsonRecommended `json:"items"`
	FallbackReason string            `json:"fallback_reason,omitempty"`
	Partial        bool              `json:"partial"`
	Stale          bool              `json:"stale"`
	Scene          string            `json:"scene,omitempty"`
	Experiment     string            `json:"experiment,omitempty"`
	Variant        string            `json:"variant,omitempty"`
	AnswerID       string            `json:"answer_id,omitempty"`
}

// recommendation returns an answer in the form in which it is printed as JSON.
func recommendation(req *kithv1.RecommendRequest, resp *kithv1.RecommendResponse) jsonRecommendation {
	out := jsonRecommendation{
		User: req.GetUser(), Model: sourceName(resp, resp.Model), ModelVersion: resp.ModelVersion, Items: []jsonRecommended{},
		FallbackReason: resp.FallbackReason, Partial: resp.Partial, Stale: resp.Stale,
		Scene: resp.Scene, Experiment: resp.Experiment, Variant: resp.Variant, AnswerID: resp.AnswerId,
	}
	for _, b := range req.GetBasket().GetItems() {
		out.Basket = append(out.Basket, b.Item)
	}
	for i, x := range resp.Items {
		item := jsonRecommended{Rank: i + 1, Item: x.Item, Score: x.Score, Source: sourceName(resp, x.Source), Contributions: jsonContributions(x.Contributions)}
		for _, f := range x.Found {
			item.Found = append(item.Found, jsonFound{f.Model, f.Rank, f.Score, jsonContributions(f.Contributions)})
		}
		out.Items = append(out.Items, item)
	}
	return out
}

func (a *app) printRecommended(req *kithv1.RecommendRequest, resp *kithv1.RecommendResponse, out jsonRecommendation) error {
	if a.json() {
		return a.printJSON(out)
	}
	head := columns{">rank", "item", ">score", "from"}
	if req.Explain {
		head = append(head, "because of")
	}
	var rows [][]any
	for _, x := range out.Items {
		row := []any{x.Rank, printable(x.Item), sourceScore(x.Score, x.Source), x.Source}
		if req.Explain {
			row = append(row, cmp.Or(x.Words, because(x.Contributions), foundBy(x.Found)))
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		if err := a.printTable("", head, rows); err != nil {
			return err
		}
	} else if err := a.printf("Nothing to recommend.\n"); err != nil {
		return err
	}
	return a.printAnswerNotes(resp)
}

// sourceScore writes a score of a model. Those of popularity are numbers of events, unless boosts have changed them.
func sourceScore(x float64, source string) string {
	switch source {
	case "newest", "pin", "explored":
		return ""
	case popularity:
		if x == math.Trunc(x) {
			return count(int64(x))
		}
	}
	return score(x)
}

// because lists the largest parts of a score.
func because(parts []jsonContribution) string {
	const shown = 3
	var out []string
	for i, p := range parts {
		if i == shown {
			out = append(out, fmt.Sprintf("%d more", len(parts)-shown))
			break
		}
		out = append(out, contributor(p.Item)+" "+score(p.Score))
	}
	return strings.Join(out, ", ")
}

// foundBy lists the models that have found an item, with the largest parts of their scores.
func foundBy(found []jsonFound) string {
	var out []string
	for _, f := range found {
		text := fmt.Sprintf("%s #%d", f.Model, f.Rank)
		if why := because(f.Contributions); why != "" {
			text += " (" + why + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// contributor names the origin of a part of a score.
func contributor(item string) string {
	if item == "" {
		return "similar users"
	}
	return printable(item)
}

// printAnswerNotes says what is special about an answer.
func (a *app) printAnswerNotes(resp *kithv1.RecommendResponse) error {
	if resp.Scene != "" {
		return a.printSceneNotes(resp)
	}
	filled, fresh := 0, 0
	for _, x := range resp.Items {
		switch x.Source {
		case kithv1.Model_MODEL_POPULARITY:
			filled++
		case kithv1.Model_MODEL_NEWEST:
			fresh++
		}
	}
	if fresh > 0 {
		if err := a.printf("\n%s without events, the newest first.\n", plural(fresh, "place has a product", "places have products")); err != nil {
			return err
		}
	}
	if resp.FallbackReason != "" && resp.Model != kithv1.Model_MODEL_POPULARITY {
		text := fmt.Sprintf("%d of %d places are filled from popularity", filled, len(resp.Items))
		switch filled {
		case 0:
			text = "No place is filled from popularity"
		case len(resp.Items):
			text = "All places are filled from popularity"
		}
		if err := a.printf("\n%s: %s.\n", text, resp.FallbackReason); err != nil {
			return err
		}
	}
	return a.printQuality(resp.Stale, resp.Partial)
}

// printSceneNotes says what is special about the answer of a scene.
func (a *app) printSceneNotes(resp *kithv1.RecommendResponse) error {
	if resp.FallbackReason != "" {
		if err := a.printf("\nThe scene fell back: %s.\n", resp.FallbackReason); err != nil {
			return err
		}
	}
	text := "\nScene " + resp.Scene
	if resp.Experiment != "" {
		text += fmt.Sprintf(", experiment %s, variant %s", resp.Experiment, resp.Variant)
	}
	if resp.AnswerId != "" {
		text += ", answer " + resp.AnswerId
	}
	if err := a.printf("%s.\n", text); err != nil {
		return err
	}
	return a.printQuality(resp.Stale, resp.Partial)
}

// printQuality says what an answer may lack.
func (a *app) printQuality(stale, partial bool) error {
	if stale {
		if err := a.printf("\nThe newest events or changes of products may be missing: a copy was read.\n"); err != nil {
			return err
		}
	}
	if partial {
		return a.printf("\nThe answer is partial: some partitions could not be asked, or their products are not known yet. See 'kith status'.\n")
	}
	return nil
}
