package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/source/synthetic"
)

// TestHelp compares the help of every command with its golden file, and checks that each has an example.
func TestHelp(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		words := strings.Fields(c.CommandPath())[1:]
		name := strings.Join(append([]string{"kith"}, words...), "-")
		t.Run(name, func(t *testing.T) {
			got := mustKith(t, append(words, "--help")...)
			golden(t, filepath.Join("help", name), got)
			if !strings.Contains(got, "Examples:") {
				t.Error("no example")
			}
			for line := range strings.Lines(got) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 110 {
					t.Errorf("line of %d characters: %s", n, line)
				}
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&app{}).root())
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	empty := writeFile(t, "empty.csv", "user,item\n")
	bad := writeFile(t, "bad.csv", "user,item\n,1\n,2\n")
	good := writeFile(t, "good.csv", "user,item\na,1\nb,1\n")
	mapping := writeFile(t, "map.yaml", "sources:\n  - path: x.csv\n    colums: {}\n")
	config := writeFile(t, "kith.yaml", "data-dir: d\nport: 7\n")
	config2 := writeFile(t, "kith.yaml", "partitions: many\n")
	for _, tt := range []struct {
		name string
		env  []string
		args []string
		code int
		want []string // parts of standard error
	}{
		{"unknown command", nil, []string{"evaluat"}, exitUsage, []string{`unknown command "evaluat"; did you mean evaluate?`, "See 'kith --help'"}},
		{"unknown subcommand", nil, []string{"models", "lst"}, exitUsage, []string{`"lst"`, "list"}},
		{"unknown flag", nil, []string{"neighbors", "--imput", "x"}, exitUsage, []string{"--imput", "See 'kith neighbors --help'"}},
		{"argument too many", nil, []string{"build", "now"}, exitUsage, []string{`"now"`}},
		{"bad output", nil, []string{"version", "-o", "xml"}, exitUsage, []string{`"xml"`, "table or json"}},
		{"bad variable", []string{"KITH_OUTPUT=xml"}, []string{"version"}, exitUsage, []string{"KITH_OUTPUT", "table or json"}},
		{"unknown measure", nil, []string{"neighbors", "--input", good, "--measure", "euclid"}, exitUsage, []string{`"euclid"`, "want cosine, adjusted-cosine, pearson"}},
		{"k", nil, []string{"neighbors", "--input", good, "-k", "0"}, exitUsage, []string{"-k is 0", "1 to 1000"}},
		{"nodes", nil, []string{"neighbors", "--input", good, "--nodes", "0"}, exitUsage, []string{"--nodes is 0", "1 to 64"}},
		{"memory limit", nil, []string{"neighbors", "--input", good, "--memory-limit", "much"}, exitUsage, []string{"--memory-limit", "512MiB or 2GB"}},
		{"shrinkage", nil, []string{"neighbors", "--input", good, "--shrinkage", "-1"}, exitUsage, []string{"Shrinkage is -1"}},
		{"half-life", nil, []string{"neighbors", "--input", good, "--half-life", "-1h"}, exitUsage, []string{"HalfLife"}},
		{"weight", nil, []string{"neighbors", "--input", good, "--weight", "purchase"}, exitUsage, []string{"purchase=5"}},
		{"no input", nil, []string{"neighbors"}, exitUsage, []string{"--input", "--mapping"}},
		{"columns", nil, []string{"neighbors", "--input", good, "--columns", "usr,item"}, exitUsage, []string{"--columns", `"usr"`}},
		{"no such column", nil, []string{"neighbors", "--input", good, "--columns", "user=customer"}, exitError, []string{"good.csv", `"customer"`, "user, item"}},
		{"sep", nil, []string{"neighbors", "--input", good, "--sep", `"`}, exitUsage, []string{"--sep"}},
		{"format", nil, []string{"neighbors", "--input", good, "--format", "xls"}, exitUsage, []string{"--format", `"xls"`}},
		{"missing file", nil, []string{"neighbors", "--input", filepath.Join(dir, "nope.csv")}, exitError, []string{"nope.csv", "no such file", "check the path"}},
		{"missing mapping", nil, []string{"ingest", "--mapping", filepath.Join(dir, "nope.yaml")}, exitUsage, []string{"nope.yaml", "check the path"}},
		{"key of mapping", nil, []string{"ingest", "--mapping", mapping}, exitUsage, []string{"map.yaml:3:5", "colums", `did you mean "columns"?`}},
		{"no rows", nil, []string{"neighbors", "--input", empty}, exitError, []string{"empty.csv", "no valid row"}},
		{"no valid row", nil, []string{"neighbors", "--input", bad, "--dead-letters", filepath.Join(dir, "r1.jsonl")}, exitError, []string{"bad.csv", "no valid row", "no_user 2", "r1.jsonl"}},
		{"no valid row to ingest", nil, []string{"ingest", "--dry-run", "--dead-letters", filepath.Join(dir, "r2.jsonl"), bad}, exitError, []string{"no valid row", "no_user 2"}},
		{"extension", nil, []string{"neighbors", "--input", good, "--out", filepath.Join(dir, "x.txt")}, exitUsage, []string{"x.txt", ".parquet, .csv or .jsonl"}},
		{"no folder", nil, []string{"neighbors", "--input", good, "--out", filepath.Join(dir, "a", "x.csv")}, exitUsage, []string{"make it first"}},
		{"empty folder", nil, []string{"neighbors", "--input", t.TempDir()}, exitError, []string{"the folder has no file that ends in .csv", "check the path"}},
		{"no server", nil, []string{"status", "--addr", "127.0.0.1:1"}, exitError, []string{"127.0.0.1:1", "connection refused", "kith server", "--addr"}},
		{"no server by variable", []string{"KITH_ADDR=127.0.0.1:1,127.0.0.1:2"}, []string{"build"}, exitError, []string{"127.0.0.1:1, 127.0.0.1:2"}},
		{"address", nil, []string{"status", "--addr", "localhost"}, exitUsage, []string{`"localhost"`, "host:port"}},
		{"whom", nil, []string{"recommend"}, exitUsage, []string{"--basket"}},
		{"whom of two", nil, []string{"recommend", "u", "--basket", "i"}, exitUsage, []string{"not both"}},
		{"n", nil, []string{"recommend", "u", "-n", "0"}, exitUsage, []string{"-n is 0", "1 to 1000"}},
		{"model", nil, []string{"recommend", "u", "--model", "ALS"}, exitUsage, []string{`"ALS"`, "hybrid, item-knn, user-knn or popularity"}},
		{"item", nil, []string{"similar"}, exitUsage, []string{"want one"}},
		{"version", nil, []string{"models", "show", "latest"}, exitUsage, []string{`"latest"`}},
		{"models to evaluate", nil, []string{"evaluate", "--input", good, "--models", "oracle"}, exitUsage, []string{`"oracle"`, "itemknn"}},
		{"base to evaluate", nil, []string{"evaluate", "--input", good, "--models", "rrf", "--base", "itemknn,rrf"}, exitUsage, []string{`base: rrf`, "made of no others"}},
		{"split", nil, []string{"evaluate", "--input", good, "--split", "half"}, exitUsage, []string{`"half"`, "k-fold"}},
		{"split without times", nil, []string{"evaluate", "--input", good, "--split", "time"}, exitError, []string{"no times"}},
		{"out", nil, []string{"generate"}, exitUsage, []string{"--out"}},
		{"shop", nil, []string{"generate", "--users", "0", "--out", dir}, exitUsage, []string{"Users is 0"}},
		{"folder in use", nil, []string{"generate", "--out", filepath.Dir(good)}, exitError, []string{"not empty"}},
		{"shell", nil, []string{"completion", "ksh"}, exitUsage, []string{`"ksh"`, "bash, zsh, fish or powershell"}},
		{"unknown key", nil, []string{"server", "--config", config}, exitUsage, []string{"kith.yaml", `unknown key "port"`, "grpc-addr"}},
		{"value of key", nil, []string{"server", "--config", config2}, exitUsage, []string{"kith.yaml", "partitions"}},
		{"missing configuration", nil, []string{"server", "--config", filepath.Join(dir, "nope.yaml")}, exitUsage, []string{"nope.yaml", "--config"}},
		{"bootstrap-expect", nil, []string{"server", "--data-dir", filepath.Join(dir, "d"), "--bootstrap-expect", "2"}, exitUsage, []string{"BootstrapExpect is 2", "1, 3 or 5"}},
		{"no file to back up to", nil, []string{"cluster", "backup"}, exitUsage, []string{"want one", "- for standard output"}},
		{"no folder to back up to", nil, []string{"cluster", "backup", filepath.Join(dir, "a", "x.kith")}, exitUsage, []string{"make it first"}},
		{"backup to a folder", nil, []string{"cluster", "backup", dir}, exitUsage, []string{"is not a file"}},
		{"backup as JSON", nil, []string{"cluster", "backup", "-", "-o", "json"}, exitUsage, []string{"leave out -o json"}},
		{"backup of nobody", nil, []string{"cluster", "backup", filepath.Join(dir, "x.kith"), "--addr", "127.0.0.1:1"}, exitError, []string{"x.kith", "connection refused"}},
		{"verify what is no backup", nil, []string{"cluster", "verify", good}, exitError, []string{"good.csv", "damaged backup", "it begins with", "an earlier backup"}},
		{"verify nothing", nil, []string{"cluster", "verify", filepath.Join(dir, "nope.kith")}, exitError, []string{"nope.kith", "check the path"}},
		{"restore what is no backup", nil, []string{"cluster", "restore", good, "--addr", "127.0.0.1:1"}, exitError, []string{"good.csv", "damaged backup"}},
		{"restore with no streams", nil, []string{"cluster", "restore", good, "--streams", "0"}, exitUsage, []string{"--streams is 0", "1 to 64"}},
		{"health of nobody", nil, []string{"health", "--addr", "127.0.0.1:1"}, exitError, []string{"127.0.0.1:1 does not answer: connection refused"}},
		{"health of no address", nil, []string{"health", "--addr", "localhost"}, exitUsage, []string{"host:port"}},
		{"gossip key", nil, []string{"server", "--gossip-key", "c2VjcmV0"}, exitUsage, []string{"--gossip-key", "16, 24 or 32 bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := kith(t, tt.env, tt.args...)
			if got.code != tt.code {
				t.Errorf("exit code %d, want %d", got.code, tt.code)
			}
			if got.out != "" {
				t.Errorf("standard output %q, want nothing", got.out)
			}
			for _, part := range tt.want {
				if !strings.Contains(got.err, part) {
					t.Errorf("standard error %q lacks %q", got.err, part)
				}
			}
			if strings.Contains(got.err, "c2VjcmV0") {
				t.Errorf("standard error shows the key: %q", got.err)
			}
		})
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := kithContext(t, ctx, nil, "status", "--addr", "127.0.0.1:1")
	if got.code != exitInterrupted || !strings.Contains(got.err, "interrupted") {
		t.Errorf("got exit code %d and %q, want %d", got.code, got.err, exitInterrupted)
	}
}

func TestVersion(t *testing.T) {
	if got := mustKith(t, "version"); !strings.HasPrefix(got, "kith ") {
		t.Errorf("got %q", got)
	}
	if got := mustJSON[build](t, "version"); got.Version == "" || got.Go == "" || got.Platform == "" {
		t.Errorf("got %+v", got)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := mustKith(t, "completion", shell); !strings.Contains(got, "kith") {
			t.Errorf("%s: got %d bytes without the program's name", shell, len(got))
		}
	}
	if got := mustKith(t, "__complete", "neighbors", "--measure", ""); !strings.Contains(got, "jaccard") {
		t.Errorf("completion of --measure: got %q", got)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"u17": "u17", "Zürich 東京": "Zürich 東京", "a\x1b[2Jb": `"a\x1b[2Jb"`, "a\nb": `"a\nb"`, "\xff": `"\xff"`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1000): "1,000", count(-1234567): "-1,234,567",
		size(int64(999)): "999 B", size(uint64(1_234_567)): "1.23 MB",
		seconds(0.0123): "12 ms", seconds(1.26): "1.3 s", seconds(123.4): "123 s",
		plural(1, "row", "rows"): "1 row", plural(2000, "row", "rows"): "2,000 rows",
		wrap("a bc def g", 4, "--"): "a bc\n--def\n--g",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestSettings checks where the value of a flag comes from: command line, environment, file, default.
func TestSettings(t *testing.T) {
	config := writeFile(t, "kith.yaml", "zone: file\nweight: 2\njoin: [a:1, b:2]\npartitions: 8\nlocal: true\n")
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		want map[string]string
	}{
		{"default", nil, nil, map[string]string{"zone": "", "weight": "1", "join": "[]", "partitions": "16"}},
		{"file", nil, []string{"--config", config}, map[string]string{"zone": "file", "weight": "2", "join": "[a:1,b:2]", "partitions": "8", "local": "true"}},
		{"file by environment", map[string]string{"KITH_CONFIG": config}, nil, map[string]string{"zone": "file"}},
		{"environment over file", map[string]string{"KITH_ZONE": "env", "KITH_JOIN": "c:3,d:4"}, []string{"--config", config}, map[string]string{"zone": "env", "join": "[c:3,d:4]", "weight": "2"}},
		{"flag over both", map[string]string{"KITH_ZONE": "env"}, []string{"--config", config, "--zone", "flag", "--join", "e:5"}, map[string]string{"zone": "flag", "join": "[e:5]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &app{env: func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }}
			cmd := a.serverCommand()
			if err := cmd.ParseFlags(tt.args); err != nil {
				t.Fatal(err)
			}
			if err := a.settle(cmd); err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				if got := cmd.Flags().Lookup(name).Value.String(); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestGenerate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	args := []string{"generate", "--users", "50", "--items", "30", "--events", "500", "--seed", "3", "--out", dir}
	first := mustJSON[struct {
		Events int64
		Files  []struct {
			Name string
			Rows int64
		}
	}](t, args...)
	if first.Events != 500 || len(first.Files) == 0 {
		t.Fatalf("got %+v", first)
	}
	events, err := os.ReadFile(filepath.Join(dir, "events.csv"))
	if err != nil {
		t.Fatal(err)
	}
	out := strings.ReplaceAll(mustKith(t, args...), dir, "shop") // replaces the shop
	golden(t, "generate", times(out))
	again, err := os.ReadFile(filepath.Join(dir, "events.csv"))
	if err != nil || string(again) != string(events) {
		t.Errorf("the same numbers and seed gave other bytes (%v)", err)
	}
	if out := mustKith(t, append(args, "--identities")...); !strings.Contains(out, "--mapping "+filepath.Join(dir, "fuse.yaml")) {
		t.Errorf("with identities, what is next is not to fuse them:\n%s", out)
	}
	// Identities come on top, and go when the shop is replaced by one without.
	for _, with := range []bool{true, false} {
		mustKith(t, append(slices.Clone(args), fmt.Sprint("--identities=", with))...)
		for _, name := range synthetic.PlantedFiles {
			if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != with {
				t.Errorf("identities %t: %s: %v", with, name, err)
			}
		}
	}
}
