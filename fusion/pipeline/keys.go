package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/record"
)

// side is what is known of keys of users, or of products.
type side struct {
	name   string // of the section of the file
	field  string // of records with the key
	kind   fusion.Kind
	entity fusion.Entity
	// entities are nil before identify, and where nothing joins keys.
	entities *identity.Entities
	hash     *hasher // of pseudonyms, or nil
}

// key returns the key under which what a source says of a key is stored: that of the entity, and its pseudonym if wanted.
func (s *side) key(kind, text string) string { return s.stored(s.canonical(kind, text)) }

// stored returns the form in which a key is stored.
func (s *side) stored(k identity.Key) string {
	key := k.Text
	if len(s.entity.Kinds) > 0 && (k.Kind != s.entity.Kinds[0] || s.looksOther(k.Text)) {
		key = k.Kind + ":" + k.Text
	}
	switch {
	case s.hash != nil:
		return s.hash.of(s.name, key)
	case len(key) > fusion.MaxKeyBytes, len(key) > len(k.Text) && looksHashed(k.Text): // too long by the kind before it; or else it could be such a hash
		sum := sha256.Sum256([]byte(k.Text))
		return k.Kind + ":#" + hex.EncodeToString(sum[:hashedKey])
	}
	return key
}

// hashedKey is the number of bytes of the hash that takes the place of a key.
const hashedKey = 16

// looksHashed reports whether a key has the form of the hash of one.
func looksHashed(text string) bool { return len(text) == 1+2*hashedKey && text[0] == '#' }

// looksOther reports whether a key of the first kind looks like one of a kind: an account that calls itself cookie:c1 must not get what the cookie
// has done.
func (s *side) looksOther(text string) bool {
	kind, _, found := strings.Cut(text, ":")
	return found && slices.Contains(s.entity.Kinds, kind)
}

// checkKind returns an error that names the kinds that there are, if a kind is none of them.
func (s *side) checkKind(kind string) error {
	if slices.Contains(s.entity.Kinds, kind) {
		return nil
	}
	return fmt.Errorf("%q is not one of %s.kinds, which are %s", kind, s.name, strings.Join(s.entity.Kinds, ", "))
}

// canonical returns the key that stands for all that are one with a key.
func (s *side) canonical(kind, text string) identity.Key {
	k := identity.Key{Kind: kind, Text: text}
	if kind == "" && len(s.entity.Kinds) > 0 {
		k.Kind = s.entity.Kinds[0]
	}
	if s.entities != nil {
		if c, ok := s.entities.Canonical(k); ok {
			return c
		}
	}
	return k
}

// shown returns a key as lineage has it.
func (s *side) shown(k identity.Key) LineageKey {
	if s.hash != nil {
		return LineageKey{k.Kind, s.stored(k)}
	}
	return LineageKey(k)
}

// kindOf returns the kind of the keys of a source.
func (s *side) kindOf(m *fusion.Mapping) string {
	if s.kind == fusion.UserRows {
		return m.UserKind
	}
	return m.ItemKind
}

// kindField is the field of records with the kind of their key, for sources in which rows differ.
func (s *side) kindField() string { return s.field + "_kind" }

// unknownKind is the reason to reject a row whose key is of a kind that is not declared.
const unknownKind = "unknown_kind"

// kindIn returns what takes the kind of their key out of records of a source: that of the row, or else of the source. A kind that is not declared
// is an error.
func (s *side) kindIn(in *input, fields []record.Field) func(values []record.Value) (string, error) {
	at, kind := record.FieldIndex(fields, s.kindField()), s.kindOf(&in.m)
	return func(values []record.Value) (string, error) {
		if at < 0 || values[at].IsNull() {
			return kind, nil
		}
		of := values[at].String()
		if err := s.checkKind(of); err != nil {
			return "", err
		}
		values[at] = record.Value{} // it is no part of the event or record
		return of, nil
	}
}

// joined reports whether links of a source are of the side.
func (s *side) joined(m *fusion.Mapping) bool {
	return m.Kind == fusion.LinkRows && cmp.Or(m.Of, "users") == s.name
}

// linkConfig returns how keys are joined.
func (s *side) linkConfig() identity.LinkConfig {
	cfg := identity.UserLinks(s.entity.Kinds...)
	if s.kind == fusion.ProductRows {
		cfg = identity.ProductLinks(s.entity.Kinds...)
	}
	cfg.MaxAbove = cmp.Or(s.entity.MaxEntities, cfg.MaxAbove)
	return cfg
}

// identify reads what joins keys of a side, and joins them.
func (r *run) identify(ctx context.Context, s *side) (*Identity, error) {
	if len(s.entity.Kinds) == 0 {
		return nil, nil
	}
	links, err := identity.NewLinks(s.linkConfig())
	if err != nil {
		return nil, r.file.Fail(s.name, err)
	}
	report := &Identity{}
	for _, in := range r.inputs {
		if s.joined(&in.m) {
			if err := r.addLinks(ctx, s, in, links); err != nil {
				return nil, err
			}
		}
	}
	if len(s.entity.Match) > 0 {
		if report.Match, err = r.match(ctx, s, links); err != nil {
			return nil, err
		}
	}
	if s.entity.Titles != nil {
		if report.Titles, err = r.titles(ctx, s, links); err != nil {
			return nil, err
		}
	}
	if s.entities, err = links.Resolve(ctx); err != nil {
		return nil, err
	}
	report.Links = s.withhold(s.entities.Report)
	return report, nil
}

// joinBatch is the number of joins that are handed over at once.
const joinBatch = 500

// joins hands over which keys of users have been found to be one, those of the best kinds first, so that a key that is joined to one that has just been joined
// goes where that went.
func (r *run) joins(ctx context.Context) error {
	if r.sink.Joins == nil || r.users.entities == nil || !r.o.Share.First() {
		return nil
	}
	var batch []Join
	flush := func() error {
		out := batch
		batch = nil
		if err := ctx.Err(); err != nil || len(out) == 0 {
			return err
		}
		return r.sink.Joins(ctx, out)
	}
	err := r.users.entities.Joined(func(key, canonical identity.Key) error {
		j := Join{r.users.stored(key), r.users.stored(canonical)}
		if len(j.From) > fusion.MaxKeyBytes || len(j.To) > fusion.MaxKeyBytes { // no event is stored under it
			return nil
		}
		if batch = append(batch, j); len(batch) < joinBatch {
			return nil
		}
		return flush()
	})
	return cmp.Or(err, flush())
}

// withhold replaces keys in a report by their pseudonyms.
func (s *side) withhold(l identity.LinkReport) *identity.LinkReport {
	if s.hash == nil {
		return &l
	}
	hidden := func(k identity.Key) identity.Key { return identity.Key(s.shown(k)) }
	l.Largest = hidden(l.Largest)
	l.Samples = slices.Clone(l.Samples)
	for i := range l.Samples {
		h := &l.Samples[i]
		h.Key, h.With = hidden(h.Key), slices.Clone(h.With)
		for j := range h.With {
			h.With[j] = hidden(h.With[j])
		}
	}
	return &l
}

func (r *run) addLinks(ctx context.Context, s *side, in *input, links *identity.Links) error {
	return r.each(ctx, in, func(fields []record.Field) (func(*record.Record) error, error) {
		keys := keysOf(in, fields)
		var have []identity.Key
		return func(rec *record.Record) error {
			have = keys(rec.Values, have[:0])
			for _, k := range have { // all of them, before any is linked
				if strings.IndexByte(k.Text, 0) >= 0 {
					return r.refuseLate(in, fields, rec, "bad_key", fmt.Sprintf("the %s holds a NUL byte", k.Kind))
				}
				if err := s.checkKind(k.Kind); err != nil {
					return r.refuseLate(in, fields, rec, unknownKind, err.Error())
				}
			}
			if len(have) == 1 {
				return links.AddKey(have[0])
			}
			for i, k := range have {
				for _, other := range have[:i] {
					if err := links.Add(other, k); err != nil {
						return err
					}
				}
			}
			return nil
		}, nil
	})
}

// keysOf returns what finds the keys in records of links.
func keysOf(in *input, fields []record.Field) func(values []record.Value, dst []identity.Key) []identity.Key {
	var kinds, texts []int // where a field is called as its kind, that is -1
	for _, name := range in.m.Keys {
		kinds, texts = append(kinds, -1), append(texts, record.FieldIndex(fields, name))
	}
	if len(in.m.Keys) == 0 {
		for _, side := range []string{"left", "right"} {
			kinds, texts = append(kinds, record.FieldIndex(fields, side+"_kind")), append(texts, record.FieldIndex(fields, side))
		}
	}
	return func(values []record.Value, dst []identity.Key) []identity.Key {
		for i, at := range texts {
			if values[at].IsNull() {
				continue
			}
			k := identity.Key{Text: values[at].Text()}
			if kinds[i] >= 0 {
				k.Kind = values[kinds[i]].Text()
			} else {
				k.Kind = in.m.Keys[i]
			}
			dst = append(dst, k)
		}
		return dst
	}
}

// listings calls yield with the fields of each record of the side, in the order of the sources. The values are valid during the call.
func (r *run) listings(ctx context.Context, s *side, fields []string, yield func(source string, k identity.Key, values []string) error) error {
	for _, in := range r.inputs {
		if in.m.Kind != s.kind {
			continue
		}
		err := r.each(ctx, in, func(have []record.Field) (func(*record.Record) error, error) {
			key := record.FieldIndex(have, s.field)
			at := make([]int, len(fields))
			for i, name := range fields {
				at[i] = record.FieldIndex(have, name)
			}
			values, kindOf := make([]string, len(fields)), s.kindIn(in, have)
			return func(rec *record.Record) error {
				kind, err := kindOf(rec.Values)
				if err != nil || rec.Values[key].IsNull() {
					return nil //nolint:nilerr // refused when records are made
				}
				for i, at := range at {
					values[i] = ""
					if at >= 0 {
						values[i] = rec.Values[at].String()
					}
				}
				return yield(in.m.SourceName(), identity.Key{Kind: cmp.Or(kind, s.entity.Kinds[0]), Text: rec.Values[key].Text()}, values)
			}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// listingKey makes one text of a key, and split takes it apart.
func listingKey(k identity.Key) string { return k.Kind + "\x00" + k.Text }

func split(key string) identity.Key {
	kind, text, _ := strings.Cut(key, "\x00")
	return identity.Key{Kind: kind, Text: text}
}

// match links accounts of one person by score.
func (r *run) match(ctx context.Context, s *side, links *identity.Links) (*identity.MatchReport, error) {
	cfg := identity.PersonMatch()
	cfg.Secret = r.secret
	cfg.Probability = cmp.Or(s.entity.Probability, cfg.Probability)
	cfg.Expected = cmp.Or(s.entity.Expected, cfg.Expected)
	forms := []string{"email", "phone", "name", "postcode", "name"} // in the order of PersonMatch, whose last are initials
	for _, form := range slices.Sorted(maps.Keys(s.entity.Match)) {
		if !slices.Contains(forms, form) {
			return nil, r.file.Fail(s.name+".match."+form, fmt.Errorf("%w: %q is not compared; want email, phone, name or postcode", fusion.ErrMapping, form))
		}
	}
	m, err := identity.NewMatcher(cfg)
	if err != nil {
		return nil, r.file.Fail(s.name+".match", err)
	}
	fields := make([]string, len(forms))
	for i, form := range forms {
		fields[i] = s.entity.Match[form]
	}
	// What sources say about an account is put together first: one may have its address, another its phone.
	accounts := map[string][]string{}
	err = r.listings(ctx, s, fields, func(_ string, k identity.Key, values []string) error {
		key := listingKey(k)
		have := accounts[key]
		if have == nil {
			accounts[key] = slices.Clone(values)
			return nil
		}
		for i, v := range values {
			have[i] = cmp.Or(have[i], v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for key, values := range accounts { // in whatever order: the result does not depend on it
		if err := m.Add(key, values); err != nil {
			return nil, err
		}
	}
	pairs, report, err := m.Match(ctx)
	if err != nil {
		return nil, err
	}
	for i := range report.OversizedKeys {
		report.OversizedKeys[i] = s.shownPair(report.OversizedKeys[i])
	}
	s.showPairs(report.RefusedPairs)
	return &report, addPairs(links, pairs)
}

// titles links products that are listed twice.
func (r *run) titles(ctx context.Context, s *side, links *identity.Links) (*identity.DuplicateReport, error) {
	cfg := identity.DefaultTitles()
	cfg.Similarity = cmp.Or(s.entity.Titles.Similarity, cfg.Similarity)
	cfg.Despite = max(cfg.Despite, cfg.Similarity)
	cfg.Synonyms = s.entity.Titles.Synonyms
	t, err := identity.NewTitles(cfg)
	if err != nil {
		return nil, r.file.Fail(s.name+".titles", err)
	}
	fields := append([]string{cmp.Or(s.entity.Titles.Field, fusion.DefaultTitle)}, s.entity.Titles.Agree...)
	seen := map[string]bool{} // a source that lists a product twice says nothing new
	err = r.listings(ctx, s, fields, func(source string, k identity.Key, values []string) error {
		key := listingKey(k) + "\x00" + source
		if seen[key] {
			return nil
		}
		seen[key] = true
		return t.Add(identity.Product{Key: key, Source: source, Title: values[0], Attributes: slices.Clone(values[1:])})
	})
	if err != nil {
		return nil, err
	}
	pairs, report, err := t.Find(ctx)
	if err != nil {
		return nil, err
	}
	for _, list := range [][]identity.Pair{pairs, report.RefusedPairs} {
		for i := range list {
			list[i].A, list[i].B = withoutSource(list[i].A), withoutSource(list[i].B)
		}
	}
	s.showPairs(report.RefusedPairs)
	return &report, addPairs(links, pairs)
}

func withoutSource(key string) string { return key[:strings.LastIndexByte(key, 0)] }

func addPairs(links *identity.Links, pairs []identity.Pair) error {
	for _, p := range pairs {
		if err := links.Add(split(p.A), split(p.B)); err != nil {
			return err
		}
	}
	return nil
}

// shownPair returns a key of a pair as reports have it.
func (s *side) shownPair(key string) string {
	k := s.shown(split(key))
	return k.Kind + ":" + k.Text
}

func (s *side) showPairs(pairs []identity.Pair) {
	for i := range pairs {
		pairs[i].A, pairs[i].B = s.shownPair(pairs[i].A), s.shownPair(pairs[i].B)
	}
}
