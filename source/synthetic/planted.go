package synthetic

import (
	"context"
	"fmt"
)

// Planted says which identities are planted, to be found again: who registered twice, which keys are one person, which listings are one
// product, and which of several sources is right. Tables with the truth are written beside them.
type Planted struct {
	// Twice is the share of users with a second account, whose e-mail, phone, name and postcode are written differently, changed or missing.
	Twice float64 `json:"twice"`
	// Typos is the rate of typing errors in each field of a second account.
	Typos float64 `json:"typos"`
	// Shared is the share of households, of three users, that have a device, a postcode and mostly a family name in common.
	Shared float64 `json:"shared"`
	// Login is the share of cookies that log in some time.
	Login float64 `json:"login"`
	// Supplier is the share of products that a supplier lists under its own number, with a title of its own.
	Supplier float64 `json:"supplier"`
	// Conflicts is the share of attributes in which a source says otherwise.
	Conflicts float64 `json:"conflicts"`
}

// DefaultPlanted returns rates as shops have them, as far as that is known.
func DefaultPlanted() *Planted {
	return &Planted{
		Twice:     0.12, // shops report 5 to 15 %
		Typos:     0.05,
		Shared:    0.15,
		Login:     0.7,
		Supplier:  0.4,
		Conflicts: 0.1,
	}
}

// PlantedFiles are the files that are there if Config.Planted is, and not else.
var PlantedFiles = []string{
	FusionFile,
	AccountsFile, SightingsFile, SupplierFile, MarketplaceFile, SKUMapFile, TruthAccountsFile, TruthKeysFile, TruthSKUsFile, TruthAttributesFile,
}

func (p *Planted) validate() error {
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"Twice", p.Twice}, {"Typos", p.Typos}, {"Shared", p.Shared}, {"Login", p.Login}, {"Supplier", p.Supplier}, {"Conflicts", p.Conflicts},
	} {
		if !(f.value >= 0 && f.value <= 1) {
			return fmt.Errorf("%w: Planted.%s is %v; want 0 to 1", ErrConfig, f.name, f.value)
		}
	}
	return nil
}

// writePlanted writes the tables of planted identities, if there are any.
func (g *generator) writePlanted(ctx context.Context) error {
	if g.cfg.Planted == nil {
		return nil
	}
	for _, step := range []func(context.Context) error{g.writeAccounts, g.writeSightings, g.writeListings, g.writeFusion} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// quoted appends a text as a CSV field.
func (t *table) quoted(s string) {
	for i := range len(s) {
		if s[i] == ',' || s[i] == '"' {
			t.buf = append(t.buf, '"')
			for j := range len(s) {
				if s[j] == '"' {
					t.buf = append(t.buf, '"')
				}
				t.buf = append(t.buf, s[j])
			}
			t.buf = append(t.buf, '"')
			return
		}
	}
	t.text(s)
}
