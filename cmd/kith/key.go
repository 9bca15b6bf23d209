package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/node/gossip"
)

// keysFileFlag names the file of API keys, of servers too.
const keysFileFlag = "keys-file"

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, list and revoke API keys, and change the keys of gossip",
		Long: `Make, list and revoke the API keys in a file, which servers read with --keys-file. The file
has hashes in the place of keys. Copy it to every server: each follows its own within a
second, without a restart.`,
		Example: `  kith key create --keys-file keys.json --name web --roles read
  kith key list --keys-file keys.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyCreateCommand(), a.keyListCommand(), a.keyRevokeCommand(), a.keyGossipCommand())
	return cmd
}

// jsonAPIKey is a key as it is shown. Key is there once, when it was made.
type jsonAPIKey struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	Roles   []auth.Role `json:"roles"`
	Rate    float64     `json:"rate,omitempty"`
	Burst   int         `json:"burst,omitempty"`
	State   string      `json:"state"`
	Created time.Time   `json:"created"`
	Expires *time.Time  `json:"expires,omitempty"`
	Revoked *time.Time  `json:"revoked,omitempty"`
	Key     string      `json:"key,omitempty"`
}

func viewOfKey(k auth.Key, now time.Time) jsonAPIKey {
	return jsonAPIKey{
		ID: k.ID, Name: k.Name, Roles: k.Roles, Rate: k.Rate, Burst: k.Burst, State: k.State(now), Created: k.Created, Expires: k.Expires, Revoked: k.Revoked,
	}
}

func keysFile(cmd *cobra.Command) *string {
	return cmd.Flags().String(keysFileFlag, "keys.json", "`file` of the keys")
}

func (a *app) keyCreateCommand() *cobra.Command {
	var n auth.NewKey
	var roles []string
	var days int
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an API key",
		Long: `Make an API key and print it. It is kept nowhere: the file has its SHA-256. Roles are

  read     recommendations, events, records, state of the cluster
  write    store events, store and delete records
  train    start and end builds, choose the model version
  metrics  GET /metrics alone, for Prometheus
  admin    all of these, members of the cluster, backups, erasure of users, profiles`,
		Example: `  kith key create --name web --roles read --rate 500
  kith key create --name import --roles write --days 90 -o json
  kith key create --name prometheus --roles metrics`,
		Args: noArgs,
	}
	path := keysFile(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		var err error
		if n.Roles, err = auth.ParseRoles(roles); err != nil {
			return usagef("--roles: %w", err)
		}
		if n.Name == "" || n.Name != printable(n.Name) {
			return usagef("--name is %q; want what the key is for, in letters that can be printed", n.Name)
		}
		if days != 0 {
			if n.Valid, err = daysValid(days); err != nil {
				return err
			}
		}
		now := time.Now()
		secret, k, err := auth.CreateKey(*path, n, now)
		if err != nil {
			return err
		}
		if a.json() {
			out := viewOfKey(k, now)
			out.Key = secret
			return a.printJSON(out)
		}
		if _, err := fmt.Fprintf(a.err, "Key %s for %s, in %s. It is shown this once:\n", k.ID, k.Name, *path); err != nil {
			return err
		}
		return a.printf("%s\n", secret)
	}
	f := cmd.Flags()
	f.StringVar(&n.Name, "name", "", "what the key is for")
	f.StringSliceVar(&roles, "roles", nil, "what it may do: read, write, train, metrics, admin")
	f.Float64Var(&n.Rate, "rate", 0, "most calls a second (default: --rate-limit of the server)")
	f.IntVar(&n.Burst, "burst", 0, "most calls at once (default: those of a second)")
	f.IntVar(&days, "days", 0, "how long it is valid (default: until it is revoked)")
	return cmd
}

func (a *app) keyListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the API keys of a file",
		Example: `  kith key list --keys-file keys.json`,
		Args:    noArgs,
	}
	path := keysFile(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		keys, err := auth.ReadKeys(*path)
		if err != nil {
			return err
		}
		now := time.Now()
		views := []jsonAPIKey{}
		for _, k := range keys {
			views = append(views, viewOfKey(k, now))
		}
		if a.json() {
			return a.printJSON(map[string]any{"keys": views})
		}
		var rows [][]any
		for _, v := range views {
			expires := ""
			if v.Expires != nil {
				expires = v.Expires.Format(time.DateOnly)
			}
			rows = append(rows, []any{v.ID, printable(v.Name), strings.Join(roleNames(v.Roles), ", "), v.State, v.Created.Format(time.DateOnly), expires})
		}
		return a.printTable("", columns{"id", "name", "roles", "state", "created", "expires"}, rows)
	}
	return cmd
}

func roleNames(roles []auth.Role) (names []string) {
	for _, r := range roles {
		names = append(names, string(r))
	}
	return names
}

func (a *app) keyRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "Revoke an API key",
		Example: `  kith key revoke 3f0c9a51b7d2e846 --keys-file keys.json`,
		Args:    oneArg("ID"),
	}
	path := keysFile(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		k, err := auth.RevokeKey(*path, args[0], time.Now())
		if err != nil {
			return err
		}
		if a.json() {
			return a.printJSON(viewOfKey(k, time.Now()))
		}
		return a.printf("Key %s for %s is revoked in %s. Servers refuse it when they have the file.\n", k.ID, k.Name, *path)
	}
	return cmd
}

func (a *app) keyGossipCommand() *cobra.Command {
	var path string
	step := choice{"add", []string{"add", "use", "drop"}}
	cmd := &cobra.Command{
		Use:   "gossip",
		Short: "Make or change the keys that encrypt gossip",
		Long: `Make the file of keys that encrypt membership, which servers read with --gossip-keys, or
change it. The first key encrypts; what others encrypted is understood, too. To change the
key of a cluster that runs, take each step, and copy the file to every server before the next:

  add     a new key comes last: all understand it
  use     the last key comes first: it encrypts
  drop    all keys but the first go`,
		Example: `  kith key gossip --gossip-keys gossip.keys
  kith key gossip --gossip-keys gossip.keys --step use`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			n, err := gossip.ChangeKeys(path, gossip.KeyStep(step.value))
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]any{"file": path, "keys": n})
			}
			return a.printf("%s has %s\n", path, plural(n, "key", "keys"))
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "gossip-keys", "gossip.keys", "`file` of the keys")
	f.Var(&step, "step", "what to do")
	return cmd
}
