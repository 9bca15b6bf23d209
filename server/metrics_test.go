package server_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/server"
)

var update = flag.Bool("update", false, "rewrite the table of metrics in docs/observability.md")

// metric is a metric as a registry describes it.
type metric struct {
	name, help string
	labels     []string
}

// description matches the text of a prometheus.Desc.
var description = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: (".*"), unit: "[^"]*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// metrics returns the metrics of our own that a server with all that there is can tell, by name, whether or not they have values by now.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	s := newSecured(t)
	s.key(auth.NewKey{Name: "any", Roles: []auth.Role{auth.Read}})
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.GRPCAddr, cfg.RaftAddr, cfg.GossipAddr = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s.configure(0, &cfg)
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}()
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		srv.Registry().Describe(descs)
	}()
	all := map[string]metric{}
	for d := range descs {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			t.Fatalf("%s is not as expected", d)
		}
		m := metric{name: parts[1]}
		if !strings.HasPrefix(m.name, "kith_") {
			continue
		}
		if _, err := fmt.Sscanf(parts[2], "%q", &m.help); err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		for l := range strings.SplitSeq(parts[3]+","+parts[4], ",") {
			if name, _, _ := strings.Cut(l, "="); name != "" {
				m.labels = append(m.labels, name)
			}
		}
		all[m.name] = m
	}
	if len(all) < 60 {
		t.Fatalf("only %d metrics", len(all))
	}
	return all
}

// TestMetricsFollowTheConventions of https://prometheus.io/docs/practices/naming: base units, and _total for what is counted.
func TestMetricsFollowTheConventions(t *testing.T) {
	for name, m := range metrics(t) {
		if m.help == "" || !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s has the help %q", name, m.help)
		}
		if regexp.MustCompile(`_(ms|milliseconds|minutes|hours|kib|mib|kb|mb|percent|count|sum|bucket)(_|$)`).MatchString(name) {
			t.Errorf("%s: the name has another unit than seconds and bytes, or an ending of a histogram", name)
		}
		for _, l := range m.labels {
			if slices.Contains([]string{"user", "item", "key", "id", "path", "address", "error", "message"}, l) {
				t.Errorf("%s has the label %s, which has no bound or names somebody", name, l)
			}
		}
	}
}

// Marks around the table of metrics.
const tableBegin, tableEnd = "<!-- metrics: made by go test ./server -run TestMetricsAreDocumented -update -->\n", "<!-- end of metrics -->\n"

// TestMetricsAreDocumented compares docs/observability.md with the metrics that there are.
func TestMetricsAreDocumented(t *testing.T) {
	const file = "../docs/observability.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableBegin)
	table, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of metrics", file)
	}
	all := metrics(t)
	names := []string{}
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	want := "| metric | labels | meaning |\n|---|---|---|\n"
	for _, name := range names {
		labels := ""
		if len(all[name].labels) > 0 {
			labels = "`" + strings.Join(all[name].labels, "`, `") + "`"
		}
		want += fmt.Sprintf("| `%s` | %s | %s |\n", name, labels, all[name].help)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("%s is not up to date; run go test ./server -run TestMetricsAreDocumented -update, and read the diff. Want:\n%s", file, want)
	}
}

var metricNames = regexp.MustCompile(`\bkith_[a-z0-9_]+`)

// TestDashboardAndRulesKnowTheMetrics looks up all metrics that the dashboard and the rules of deploy ask for.
func TestDashboardAndRulesKnowTheMetrics(t *testing.T) {
	all := metrics(t)
	check := func(where, expr string) {
		t.Helper()
		if strings.TrimSpace(expr) == "" {
			t.Errorf("%s asks for nothing", where)
		}
		for _, name := range metricNames.FindAllString(expr, -1) {
			_, known := all[name]
			for _, ending := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, ending); ok {
					_, histogram := all[base]
					known = known || histogram
				}
			}
			if !known {
				t.Errorf("%s asks for %s, which no server has: %s", where, name, expr)
			}
		}
	}
	read := func(file string, decode func([]byte, any) error, into any) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("../deploy", file))
		if err == nil {
			err = decode(b, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}

	var board struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	read("grafana/kith.json", json.Unmarshal, &board)
	var rows []string
	asked := 0
	for _, p := range board.Panels {
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		for _, target := range p.Targets {
			check("panel "+p.Title, target.Expr)
			asked++
		}
	}
	if got := strings.Join(rows, ", "); got != "Queries, Fallbacks, Model and builds, Partitions and raft, Storage, Runtime" || asked < 40 {
		t.Errorf("the dashboard has the rows %s and %d expressions", got, asked)
	}

	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	strict := func(b []byte, into any) error { return yaml.UnmarshalWithOptions(b, into, yaml.DisallowUnknownField()) }
	read("prometheus/rules.yml", strict, &rules)
	guide, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			check("alert "+r.Alert, r.Expr)
			if !slices.Contains([]string{"page", "ticket"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.For == "" {
				t.Errorf("alert %s has the labels %v, the annotations %v and for %q", r.Alert, r.Labels, r.Annotations, r.For)
			}
			if !strings.Contains(string(guide), "`"+r.Alert+"`") {
				t.Errorf("docs/observability.md does not say what to do when %s fires", r.Alert)
			}
			alerts++
		}
	}
	if alerts < 15 {
		t.Errorf("only %d alerts", alerts)
	}
	var scrape map[string]any
	read("prometheus/prometheus.yml", yaml.Unmarshal, &scrape)
	if scrape["scrape_configs"] == nil || scrape["rule_files"] == nil {
		t.Errorf("prometheus.yml has %v", scrape)
	}
}
