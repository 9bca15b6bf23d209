package synthetic

import (
	"math"
	"strings"
	"testing"
)

// goldenPlanted is the hash of all files of a small shop with planted identities.
const goldenPlanted = "3c16f1de7fb94f6257149680356cdd1937bf0f17d2b207a0c5957c1b8f4e3590"

func plantedConfig(users, items int, events int64, seed uint64) Config {
	cfg := DefaultConfig(users, items, events, seed)
	cfg.Planted = DefaultPlanted()
	return cfg
}

func TestPlantedSameBytes(t *testing.T) {
	cfg := plantedConfig(300, 200, 5000, 7)
	first, _ := generate(t, cfg)
	second, _ := generate(t, cfg)
	if a, b := hash(first), hash(second); a != b {
		t.Fatalf("two runs differ: %s and %s", a, b)
	}
	if got := hash(first); got != goldenPlanted {
		t.Errorf("hash is %s; want %s", got, goldenPlanted)
	}
	// What is not planted stays as it is, but for the names of accounts in the logs and of products.
	cfg.Planted = nil
	without, _ := generate(t, cfg)
	for _, name := range []string{UsersFile, IdentitiesFile, TruthItemsFile, TruthUsersFile, TruthOrdersFile} {
		if first[name].String() != without[name].String() {
			t.Errorf("%s is another one with planted identities", name)
		}
	}
	for _, name := range PlantedFiles {
		if without[name] != nil || first[name] == nil {
			t.Errorf("%s is there without planted identities (%t), or not with them (%t)", name, without[name] != nil, first[name] == nil)
		}
	}
	if len(first)-len(without) != len(PlantedFiles) {
		t.Errorf("%d files with planted identities, %d without; want %d more", len(first), len(without), len(PlantedFiles))
	}
}

// TestPlantedTables reads the tables back: rates as asked for, and every key with its truth.
func TestPlantedTables(t *testing.T) {
	cfg := plantedConfig(4000, 2000, 20_000, 3)
	m, _ := generate(t, cfg)
	near := func(what string, got, of int, want float64) {
		t.Helper()
		if share := float64(got) / float64(of); math.Abs(share-want) > 5*math.Sqrt(want*(1-want)/float64(of)) {
			t.Errorf("%s: %d of %d, that is %.4f; want %.4f", what, got, of, share, want)
		}
	}
	owner, seconds := map[string]string{}, 0
	for _, r := range m.rows(t, TruthAccountsFile) {
		if owner[r["account"]] != "" {
			t.Fatalf("account %s is there twice", r["account"])
		}
		owner[r["account"]] = r["user"]
		if r["account"] != r["user"] {
			seconds++
		}
	}
	near("second accounts", seconds, cfg.Users, cfg.Planted.Twice)
	emails := map[string]bool{}
	for _, r := range m.rows(t, AccountsFile) {
		if owner[r["account"]] == "" || r["email"] == "" || r["name"] == "" {
			t.Fatalf("account without owner, e-mail or name: %v", r)
		}
		if emails[r["email"]] && owner[r["account"]] == r["account"] {
			t.Errorf("first account with an e-mail that is there: %v", r)
		}
		emails[r["email"]] = true
	}

	keys, shared := map[string]string{}, map[string]bool{}
	for _, r := range m.rows(t, TruthKeysFile) {
		if _, twice := keys[r["key"]]; twice {
			t.Fatalf("key %s is there twice", r["key"])
		}
		keys[r["key"]] = r["user"]
		shared[r["key"]] = r["user"] == ""
	}
	logins, cookies, usersOf := map[string]bool{}, map[string]bool{}, map[string]map[string]bool{}
	for _, r := range m.rows(t, SightingsFile) {
		if _, known := keys[r["cookie"]]; !known {
			t.Fatalf("cookie without truth: %v", r)
		}
		cookies[r["cookie"]] = true
		user, account := owner[r["account"]]
		if account {
			logins[r["cookie"]] = true
			if usersOf[r["device"]] == nil {
				usersOf[r["device"]] = map[string]bool{}
			}
			usersOf[r["device"]][user] = true
			if of := keys[r["cookie"]]; of != user && !shared[r["cookie"]] {
				t.Fatalf("cookie of %s with a login of %s: %v", of, user, r)
			}
		}
	}
	near("cookies with login", len(logins), len(cookies), cfg.Planted.Login)
	groups := 0
	for device, users := range usersOf {
		if len(users) > 1 && len(device) == 17 {
			groups++
			if !shared[device] {
				t.Errorf("device %s is of %s, and %d users log in there", device, keys[device], len(users))
			}
		}
	}
	if groups < 50 {
		t.Errorf("%d devices with several users; want more than 50", groups)
	}

	truth := map[string]map[string]string{}
	for _, r := range m.rows(t, TruthAttributesFile) {
		truth[r["item"]] = r
	}
	item := map[string]string{}
	for _, r := range m.rows(t, TruthSKUsFile) {
		item[r["sku"]] = r["item"]
	}
	listed := m.rows(t, SupplierFile)
	near("products of the supplier", len(listed), cfg.Items, cfg.Planted.Supplier)
	wrong := 0
	for _, r := range listed {
		right := truth[item[r["sku"]]]
		if right == nil {
			t.Fatalf("listing without truth: %v", r)
		}
		if r["brand"] != right["brand"] {
			wrong++
		}
		if r["weight_g"] != "" && r["weight_g"] != right["weight_g"] {
			t.Errorf("the supplier errs about a weight: %v, right is %v", r, right)
		}
	}
	near("wrong brands", wrong, len(listed), cfg.Planted.Conflicts)
	for _, r := range m.rows(t, SKUMapFile) {
		if item[r["sku"]] != r["item"] {
			t.Errorf("map has %v; truth is %s", r, item[r["sku"]])
		}
	}
	// Orders name second accounts, too.
	second := 0
	for _, r := range m.rows(t, OrdersFile) {
		if strings.HasPrefix(r["user"], "V") {
			second++
			if owner[r["user"]] == "" {
				t.Errorf("order of an account that is none: %v", r)
			}
		}
	}
	if second == 0 {
		t.Error("no order names a second account")
	}
}

func TestChineseWordsAreComplete(t *testing.T) {
	seen := map[string]string{}
	need := func(w string) {
		zh := chineseWords[w]
		if zh == "" {
			t.Errorf("%s has no translation", w)
		}
		if other := seen[zh]; other != "" && other != w {
			t.Errorf("%s and %s are both %s", w, other, zh)
		}
		seen[zh] = w
	}
	for _, w := range adjectives {
		need(w)
	}
	for _, c := range categories {
		for _, w := range append(c.materials, c.nouns...) {
			need(w)
		}
	}
}

func TestPlantedRefuses(t *testing.T) {
	for _, change := range []func(*Planted){
		func(p *Planted) { p.Twice = 1.5 },
		func(p *Planted) { p.Typos = -1 },
		func(p *Planted) { p.Shared = math.NaN() },
		func(p *Planted) { p.Conflicts = 2 },
	} {
		cfg := plantedConfig(10, 10, 10, 1)
		change(cfg.Planted)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "Planted.") {
			t.Errorf("%+v: error %v, want one that names the field", *cfg.Planted, err)
		}
	}
}
