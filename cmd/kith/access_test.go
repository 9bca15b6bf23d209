package main

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/certs"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// TestAccess makes certificates and keys by the commands, starts a server with them, and calls it by the commands with and without.
func TestAccess(t *testing.T) {
	dir := t.TempDir()
	set, keys, ring := filepath.Join(dir, "certs"), filepath.Join(dir, "keys.json"), filepath.Join(dir, "gossip.keys")
	file := func(name string) string { return filepath.Join(set, name) }
	mustKith(t, "cert", "ca", "--dir", set, "--cluster", "shop")
	made := mustJSON[jsonCert](t, "cert", "node", "a", "--dir", set, "--host", "a.example.com")
	if made.Cluster != "shop" || made.Cert != file("a.crt") || made.Key != file("a.key") {
		t.Errorf("made %+v", made)
	}
	mustKith(t, "cert", "client", "ops", "--dir", set, "--roles", "admin")
	mustKith(t, "key", "gossip", "--gossip-keys", ring)
	for _, again := range [][]string{{"cert", "ca"}, {"cert", "node", "a"}, {"cert", "client", "ops", "--roles", "admin"}} {
		if got := kith(t, nil, append(again, "--dir", set)...); got.code != exitError || !strings.Contains(got.err, "is there already") {
			t.Errorf("kith %v again: exit code %d, %s", again, got.code, got.err)
		}
	}
	reader := mustJSON[jsonAPIKey](t, "key", "create", "--keys-file", keys, "--name", "web", "--roles", "read")
	gone := mustJSON[jsonAPIKey](t, "key", "create", "--keys-file", keys, "--name", "gone", "--roles", "read,write", "--rate", "9", "--days", "3")
	printed := strings.TrimSpace(mustKith(t, "key", "create", "--keys-file", keys, "--name", "printed", "--roles", "train"))
	mustKith(t, "key", "revoke", gone.ID, "--keys-file", keys)
	listed := mustJSON[struct{ Keys []jsonAPIKey }](t, "key", "list", "--keys-file", keys).Keys
	if len(listed) != 3 || listed[0].State != "active" || listed[1].State != "revoked" || listed[1].Rate != 9 || listed[1].Expires == nil || listed[2].Key != "" {
		t.Errorf("listed %+v", listed)
	}
	table := mustKith(t, "key", "list", "--keys-file", keys)
	if b, err := os.ReadFile(keys); err != nil || strings.Contains(string(b)+table, reader.Key[30:]) || strings.Contains(string(b)+table, printed[30:]) {
		t.Errorf("a secret stands in the file or the list (%v)", err)
	}

	writer := mustJSON[jsonAPIKey](t, "key", "create", "--keys-file", keys, "--name", "import", "--roles", "write")
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: func(_ int, cfg *server.Config) {
		cfg.TLS = certs.Files{CA: file("ca.crt"), Cert: file("a.crt"), Key: file("a.key")}
		cfg.KeysFile, cfg.GossipKeysFile, cfg.Logger = keys, ring, slog.New(slog.DiscardHandler)
		cfg.Version = thisBuild().Version
	}, Dial: dialOptions(t, &access{ca: file("ca.crt"), cert: file("ops.crt"), key: file("ops.key")})})
	addr := c.Members[0].Server.GRPCAddr()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	ratings := writeFile(t, "ratings.csv", randomRatings(rand.New(rand.NewPCG(7, 8)), 60, 30).csv())
	tune := []string{"evaluate", "--input", ratings, "--models", "itemknn", "--tune", "4", "-o", "json"}
	base := []string{"KITH_ADDR=" + addr, "KITH_TLS_CA=" + file("ca.crt"), "KITH_TIMEOUT=2s"}
	for _, tt := range []struct {
		name string
		env  []string
		args []string
		code int
		want string
	}{
		{"without TLS", []string{"KITH_ADDR=" + addr, "KITH_TIMEOUT=1s"}, []string{"status"}, exitError, "no server answers"},
		{"without a key", base, []string{"status"}, exitError, "KITH_API_KEY"},
		{"with a key", append(base, "KITH_API_KEY="+reader.Key), []string{"status"}, exitOK, ""},
		{"with a key and too little", append(base, "KITH_API_KEY="+reader.Key), []string{"build"}, exitError, "kith key list"},
		{"revoked", append(base, "KITH_API_KEY="+gone.Key), []string{"status"}, exitError, "revoked"},
		{"with a certificate", append(base, "KITH_TLS_CERT="+file("ops.crt"), "KITH_TLS_KEY="+file("ops.key")), []string{"status"}, exitOK, ""},
		{"of another host", base, []string{"status", "--tls-server-name", "b.example.com", "--api-key", reader.Key}, exitError, "b.example.com"},
		{"by its name", base, []string{"status", "--tls-server-name", "a.example.com", "--api-key", reader.Key}, exitOK, ""},
		{"by localhost", base, []string{"status", "--addr", "localhost:" + port, "--api-key", reader.Key}, exitOK, ""},
		{"authorities of the machine", base, []string{"status", "--tls-ca", "system", "--api-key", reader.Key}, exitError, "unknown authority"},
		{"probe", base, []string{"health"}, exitOK, ""},
		{"doctor", append(base, "KITH_API_KEY="+reader.Key), []string{"doctor"}, exitOK, ""},
		{"trials with a key and too little", append(base, "KITH_API_KEY="+reader.Key), append(tune, "--workers", addr), exitError, "kith key list"},
		{"trials without TLS", []string{}, append(tune, "--workers", addr), exitError, "no server is left"},
		{"a key without TLS", []string{"KITH_ADDR=" + addr}, []string{"status", "--api-key", reader.Key}, exitUsage, "--tls-ca"},
		{"half of a certificate", base, []string{"status", "--tls-cert", file("ops.crt")}, exitUsage, "belong together"},
		{"a file that is not there", base, []string{"status", "--tls-ca", file("none")}, exitError, "check the path"},
	} {
		got := kith(t, tt.env, tt.args...)
		if got.code != tt.code || !strings.Contains(got.err, tt.want) {
			t.Errorf("%s: exit code %d, want %d: %s; want %q in it", tt.name, got.code, tt.code, got.err, tt.want)
		}
		if strings.Contains(got.err+got.out, reader.Key[30:]) {
			t.Errorf("%s: the key is printed: %s%s", tt.name, got.out, got.err)
		}
	}
	// Who may train has servers make trials, which are the same as those that are made here.
	there := kith(t, append(base, "KITH_API_KEY="+printed), append(tune, "--workers", addr)...)
	here := kith(t, nil, tune...)
	seconds := regexp.MustCompile(`"seconds": ?[^,}\n]+`)
	if there.code != exitOK || seconds.ReplaceAllString(there.out, "") != seconds.ReplaceAllString(here.out, "") || !strings.Contains(here.out, `"tuned"`) {
		t.Errorf("trials of a server: exit code %d: %s%s\nthose here:\n%s", there.code, there.err, there.out, here.out)
	}
	events := filepath.Join(dir, "events.csv")
	if err := os.WriteFile(events, []byte("user,item\nu1,i1\nu1,i2\nu2,i1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(base, "KITH_TLS_CERT="+file("ops.crt"), "KITH_TLS_KEY="+file("ops.key"), "KITH_TIMEOUT=30s")
	for _, args := range [][]string{{"ingest", events}, {"build", "--wait"}, {"recommend", "u2", "-n", "1"}} {
		if got := kith(t, env, args...); got.code != exitOK {
			t.Errorf("kith %v: exit code %d: %s", args, got.code, got.err)
		}
	}
	// Who may write alone stores records without a look at those that are there.
	goods := writeFiles(t, map[string]string{"map.yaml": "sources: [{name: p, kind: products, path: p.csv, fields: {item: sku, price: price}}]\n", "p.csv": "sku,price\ni1,3\n"})
	for range 2 {
		var stored jsonIngest
		got := kith(t, append(base, "KITH_API_KEY="+writer.Key, "KITH_TIMEOUT=30s"), "ingest", "--mapping", filepath.Join(goods, "map.yaml"), "-o", "json")
		if got.code != exitOK || json.Unmarshal([]byte(got.out), &stored) != nil || stored.Stored != (recordCounts{Changed: 1}) {
			t.Errorf("ingest of products: exit code %d: %s%s", got.code, got.out, got.err)
		}
	}
	var rec struct{ Items []struct{ Item string } }
	if got := kith(t, append(base, "KITH_API_KEY="+reader.Key), "recommend", "u2", "-n", "1", "-o", "json"); got.code != exitOK ||
		json.Unmarshal([]byte(got.out), &rec) != nil || len(rec.Items) != 1 || rec.Items[0].Item != "i2" {
		t.Errorf("recommend: exit code %d: %s%s", got.code, got.out, got.err)
	}
}

// dialOptions returns the credentials of a client.
func dialOptions(t *testing.T, x *access) []grpc.DialOption {
	t.Helper()
	options, err := x.options()
	if err != nil {
		t.Fatal(err)
	}
	return options
}
