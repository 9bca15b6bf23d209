package identity

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"
)

// MatchField is a field by which accounts are compared. Two values agree or disagree; where one is missing the field says nothing.
type MatchField struct {
	Name string
	Form Form
	// Unless names a field before this one: where that agrees this one says nothing, so that a looser form of a value counts only where the strict one differs.
	Unless string
	// M is the probability that the field agrees for two accounts of one person, U that it does for two of different ones. 0 has it estimated from
	// the data.
	M, U float64
}

// MatchConfig says how accounts are compared. Every field but Samples changes results.
type MatchConfig struct {
	Fields  []MatchField
	Options FormOptions
	// Blocks are sets of fields, by position: only accounts that agree on all fields of one of them are compared.
	Blocks [][]int
	// MaxBlock is the greatest number of accounts with equal values of a block's fields. Larger ones are not compared by this block, and reported: a value
	// that so many share is a placeholder.
	MaxBlock int
	// Probability is how sure a match must be, and Expected how many matches an account has on average, before anything is known of it.
	// Among n others it is Expected/n likely that one of them, drawn at random, is the same person.
	Probability, Expected float64
	// MaxGroup is the greatest number of accounts of a person. Pairs that would make a larger group are refused, the weakest first, and
	// reported: chains of chance agreements end there.
	MaxGroup int
	// Secret, if not empty, is the key of HMAC-SHA256 by which values are replaced when they are added. Then Matcher holds nothing that can be
	// read or, without the secret, guessed.
	Secret []byte
	// Seed chooses the sample of pairs from which M is estimated, SamplePairs is its size.
	Seed        uint64
	SamplePairs int
	// Samples is how many oversized blocks and refused pairs the report shows.
	Samples int
}

// PersonMatch returns the configuration for e-mail, phone, name, postcode and the name again, in this order.
func PersonMatch() MatchConfig {
	return MatchConfig{
		Fields: []MatchField{
			{Name: "email", Form: Email},
			{Name: "phone", Form: Phone},
			{Name: "name", Form: Name},
			{Name: "postcode", Form: Postcode},
			{Name: "initials", Form: Initials, Unless: "name"}, // tells typing errors from others of the family
		},
		Options:     FormOptions{GmailDots: true},
		Blocks:      [][]int{{0}, {1}, {2, 3}},
		MaxBlock:    50, // an office that shares a phone; 50 accounts make 1225 pairs
		Probability: 0.95,
		Expected:    0.1, // shops find that 5 to 15 % of their accounts are second ones
		MaxGroup:    8,
		SamplePairs: 200_000,
		Samples:     10,
	}
}

const (
	maxFields = 16
	maxBlocks = 16
)

func (c *MatchConfig) validate() error {
	if n := len(c.Fields); n < 1 || n > maxFields {
		return fmt.Errorf("%w: Fields has %d; want 1 to %d", ErrConfig, n, maxFields)
	}
	if n := len(c.Blocks); n < 1 || n > maxBlocks {
		return fmt.Errorf("%w: Blocks has %d; want 1 to %d", ErrConfig, n, maxBlocks)
	}
	for i, f := range c.Fields {
		if f.Unless != "" && fieldIndex(c.Fields[:i], f.Unless) < 0 {
			return fmt.Errorf("%w: field %s counts unless %s agrees, which is no field before it", ErrConfig, f.Name, f.Unless)
		}
		if !(f.M >= 0 && f.M < 1) || !(f.U >= 0 && f.U < 1) {
			return fmt.Errorf("%w: field %s has M %v and U %v; want 0 to below 1", ErrConfig, f.Name, f.M, f.U)
		}
	}
	for i, b := range c.Blocks {
		if len(b) == 0 || slices.Min(b) < 0 || slices.Max(b) >= len(c.Fields) {
			return fmt.Errorf("%w: Blocks[%d] is %v; want positions of Fields", ErrConfig, i, b)
		}
	}
	switch {
	case c.MaxBlock < 2 || c.MaxBlock > 10_000:
		return fmt.Errorf("%w: MaxBlock is %d; want 2 to 10000", ErrConfig, c.MaxBlock)
	case c.MaxGroup < 2:
		return fmt.Errorf("%w: MaxGroup is %d; want at least 2", ErrConfig, c.MaxGroup)
	case !(c.Probability > 0 && c.Probability < 1):
		return fmt.Errorf("%w: Probability is %v; want between 0 and 1", ErrConfig, c.Probability)
	case !(c.Expected > 0 && c.Expected <= 100):
		return fmt.Errorf("%w: Expected is %v; want above 0, up to 100", ErrConfig, c.Expected)
	case c.SamplePairs < 0 || c.Samples < 0:
		return fmt.Errorf("%w: SamplePairs is %d, Samples %d; want 0 or more", ErrConfig, c.SamplePairs, c.Samples)
	}
	return nil
}

func fieldIndex(fields []MatchField, name string) int {
	return slices.IndexFunc(fields, func(f MatchField) bool { return f.Name == name })
}

// Matcher finds pairs of accounts that are one person. It holds the keys of accounts and 8 bytes a field, no values. It is not safe for
// concurrent use.
type Matcher struct {
	cfg    MatchConfig
	unless []uint16 // for each field the bit of the one it counts unless, or 0
	hash   hash.Hash
	keys   []string
	values []digest // row by row
	buf    []byte
}

// NewMatcher returns an empty matcher.
func NewMatcher(cfg MatchConfig) (*Matcher, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m := &Matcher{cfg: cfg, hash: sha256.New()}
	if len(cfg.Secret) > 0 {
		m.hash = hmac.New(sha256.New, cfg.Secret)
	}
	m.cfg.Secret = nil
	m.unless = make([]uint16, len(cfg.Fields))
	for i, f := range cfg.Fields {
		if f.Unless != "" {
			m.unless[i] = 1 << fieldIndex(cfg.Fields, f.Unless)
		}
	}
	return m, nil
}

// Add adds an account with the values of its fields, in their order; "" is missing. The values are not kept.
//
// 64 bits of each hash are: among ten million values two different ones are taken for equal with a probability of 3 in a million.
func (m *Matcher) Add(account string, values []string) error {
	if len(values) != len(m.cfg.Fields) {
		return fmt.Errorf("%w: account %s has %d values; want %d, one for each field", ErrConfig, account, len(values), len(m.cfg.Fields))
	}
	m.keys = append(m.keys, strings.Clone(account))
	for i, f := range m.cfg.Fields {
		normal := f.Form.Normalize(values[i], m.cfg.Options)
		if normal == "" {
			m.values = append(m.values, 0)
			continue
		}
		m.hash.Reset()
		m.buf = append(append(append(m.buf[:0], byte(f.Form)), 0), normal...)
		m.hash.Write(m.buf)
		m.values = append(m.values, digestOf(m.hash.Sum(m.buf[:0])))
	}
	clear(m.buf[:cap(m.buf)])
	return nil
}

func (m *Matcher) row(i uint32) []digest {
	n := len(m.cfg.Fields)
	return m.values[int(i)*n : int(i)*n+n]
}

// Pair is two keys, by their order, that are taken for one. Score is in bits: the logarithm of how much likelier their agreement is for one person than
// for two; for products it is the similarity of titles. Agree and Disagree have a bit for each field.
type Pair struct {
	A        string  `json:"a"`
	B        string  `json:"b"`
	Score    float64 `json:"score"`
	Agree    uint16  `json:"agree_bits,omitempty"`
	Disagree uint16  `json:"disagree_bits,omitempty"`
}

// Weights are the estimates for a field: M and U as in MatchField, and what they are worth in bits.
type Weights struct {
	Field    string  `json:"field"`
	M        float64 `json:"m"`
	U        float64 `json:"u"`
	Agree    float64 `json:"agree"`
	Disagree float64 `json:"disagree"`
}

// MatchReport says what Match did.
type MatchReport struct {
	Accounts int       `json:"accounts"`
	Weights  []Weights `json:"weights"`
	// Threshold is the score that a pair needs, in bits.
	Threshold float64 `json:"threshold"`
	// Compared is the number of pairs that shared a block, Matched that of those above the threshold, and Joined that of accounts that were joined to
	// another one.
	Compared int64 `json:"compared"`
	Matched  int64 `json:"matched"`
	Joined   int64 `json:"joined"`
	// Oversized is the number of blocks with more than MaxBlock accounts, and OversizedKeys has the first account of some.
	Oversized     int64    `json:"oversized"`
	OversizedKeys []string `json:"oversized_keys,omitempty"`
	// Refused is the number of pairs that would have made a group larger than MaxGroup, and RefusedPairs has the best of them.
	Refused      int64  `json:"refused"`
	RefusedPairs []Pair `json:"refused_pairs,omitempty"`
}

// Match compares the accounts and returns the pairs by which they are joined, without those that refer to accounts joined already, by descending
// score, then key. The result does not depend on the order of Add. Accounts must be distinct.
//
// Cost: a sort of the accounts for each block, and the pairs within blocks.
func (m *Matcher) Match(ctx context.Context) ([]Pair, MatchReport, error) {
	report := MatchReport{Accounts: len(m.keys)}
	if err := m.order(); err != nil {
		return nil, report, err
	}
	blocks := m.block(&report)
	report.Weights = m.weigh(blocks)
	n := max(float64(len(m.keys)-1), 1)
	report.Threshold = math.Log2(n/m.cfg.Expected) + math.Log2(m.cfg.Probability/(1-m.cfg.Probability))
	var found []scored
	seen := 0
	err := m.pairs(blocks, func(_ int, x, y uint32) error {
		if seen++; seen%(1<<14) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		report.Compared++
		agree, disagree := m.compare(x, y)
		if s := score(report.Weights, agree, disagree); s >= report.Threshold {
			found = append(found, scored{x, y, s, agree, disagree})
		}
		return nil
	})
	if err != nil {
		return nil, report, err
	}
	report.Matched = int64(len(found))
	joined, refused := group(len(m.keys), found, m.cfg.MaxGroup, nil)
	report.Joined, report.Refused = int64(len(joined)), int64(len(refused))
	for _, p := range refused[:min(len(refused), m.cfg.Samples)] {
		report.RefusedPairs = append(report.RefusedPairs, m.pair(p))
	}
	out := make([]Pair, len(joined))
	for i, p := range joined {
		out[i] = m.pair(p)
	}
	return out, report, nil
}

// order sorts the accounts by key, so that nothing depends on the order in which they came.
func (m *Matcher) order() error {
	order := make([]int, len(m.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return strings.Compare(m.keys[x], m.keys[y]) })
	keys, values := make([]string, 0, len(m.keys)), make([]digest, 0, len(m.values))
	for i, at := range order {
		if i > 0 && keys[i-1] == m.keys[at] {
			return fmt.Errorf("%w: account %s is there twice; settle its values first", ErrConfig, m.keys[at])
		}
		keys = append(keys, m.keys[at])
		values = append(values, m.row(uint32(at))...)
	}
	m.keys, m.values = keys, values
	return nil
}

func (m *Matcher) pair(p scored) Pair {
	return Pair{A: m.keys[p.x], B: m.keys[p.y], Score: p.score, Agree: p.agree, Disagree: p.disagree}
}

// compare returns which fields agree and which disagree.
func (m *Matcher) compare(x, y uint32) (agree, disagree uint16) {
	a, b := m.row(x), m.row(y)
	for i := range a {
		switch {
		case a[i] == 0 || b[i] == 0 || agree&m.unless[i] != 0:
		case a[i] == b[i]:
			agree |= 1 << i
		default:
			disagree |= 1 << i
		}
	}
	return agree, disagree
}

// score sums the weights of fields: log2(m/u) where they agree, log2((1-m)/(1-u)) where not.
//
// Fellegi and Sunter [fellegi1969].
func score(weights []Weights, agree, disagree uint16) float64 {
	sum := 0.0
	for i := range weights {
		switch {
		case agree&(1<<i) != 0:
			sum += weights[i].Agree
		case disagree&(1<<i) != 0:
			sum += weights[i].Disagree
		}
	}
	return sum
}

// members is a block: the accounts sorted by the values of its fields, without those where one is missing or too many are equal.
type members struct {
	fields uint16 // a bit for each
	by     []placed
	left   []uint64 // a bit for each account that was left out because too many are equal
}

type placed struct {
	value uint64
	row   uint32
}

// block makes the blocks.
func (m *Matcher) block(report *MatchReport) []members {
	blocks := make([]members, len(m.cfg.Blocks))
	for i, fields := range m.cfg.Blocks {
		b := &blocks[i]
		b.left = make([]uint64, (len(m.keys)+63)/64)
		for _, f := range fields {
			b.fields |= 1 << f
		}
	rows:
		for row := range m.keys {
			h := uint64(0)
			for _, f := range fields {
				v := m.row(uint32(row))[f]
				if v == 0 {
					continue rows
				}
				h = combine(h, uint64(v))
			}
			b.by = append(b.by, placed{h, uint32(row)})
		}
		slices.SortFunc(b.by, func(p, q placed) int { return cmp.Or(cmp.Compare(p.value, q.value), cmp.Compare(p.row, q.row)) })
		kept := b.by[:0]
		for run := range equal(b.by) {
			if len(run) <= m.cfg.MaxBlock {
				kept = append(kept, run...)
				continue
			}
			report.Oversized++
			if len(report.OversizedKeys) < m.cfg.Samples {
				report.OversizedKeys = append(report.OversizedKeys, m.keys[run[0].row])
			}
			for _, p := range run {
				b.left[p.row/64] |= 1 << (p.row % 64)
			}
		}
		b.by = kept
	}
	return blocks
}

// equal yields the stretches of equal values.
func equal(by []placed) func(yield func([]placed) bool) {
	return func(yield func([]placed) bool) {
		for start := 0; start < len(by); {
			end := start + 1
			for end < len(by) && by[end].value == by[start].value {
				end++
			}
			if !yield(by[start:end]) {
				return
			}
			start = end
		}
	}
}

// pairs calls f for each pair that shares a block, once, with the first such block.
func (m *Matcher) pairs(blocks []members, f func(block int, x, y uint32) error) error {
	for i := range blocks {
		for run := range equal(blocks[i].by) {
			for j, p := range run {
				for _, q := range run[:j] {
					agree, _ := m.compare(q.row, p.row)
					if before(blocks[:i], agree, p.row) {
						continue
					}
					if err := f(i, q.row, p.row); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// before reports whether a pair with these agreements, of which row is one, shares an earlier block.
func before(blocks []members, agree uint16, row uint32) bool {
	for i := range blocks {
		if agree&blocks[i].fields == blocks[i].fields && blocks[i].left[row/64]&(1<<(row%64)) == 0 {
			return true
		}
	}
	return false
}
