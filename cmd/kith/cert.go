package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/certs"
)

// certDir is the folder of certificates if none is named.
const certDir = "certs"

func (a *app) certCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make the certificates of a cluster: its authority, nodes and clients",
		Long: `Make the certificates of a cluster: its authority, then one for each node and each client,
with keys of ECDSA P-256. Files are readable by their owner alone, and none is overwritten.
The authority's key, ca.key, is needed only here: keep it off the servers.`,
		Example: `  kith cert ca --cluster shop
  kith cert node a --host a.example.com,10.0.0.7
  kith cert client alice --roles admin`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.certCACommand(), a.certNodeCommand(), a.certClientCommand())
	return cmd
}

// jsonCert is what was made.
type jsonCert struct {
	Cert    string    `json:"cert"`
	Key     string    `json:"key"`
	Cluster string    `json:"cluster"`
	Expires time.Time `json:"expires"`
}

func (a *app) certCACommand() *cobra.Command {
	var dir, cluster string
	var days int
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make the authority of a cluster",
		Long: `Make the authority of a cluster: ca.crt, which every node and client needs, and ca.key, which
signs certificates and is needed nowhere else.`,
		Example: `  kith cert ca --cluster shop --dir certs`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			valid, err := daysValid(days)
			if err != nil {
				return err
			}
			now := time.Now()
			pair, err := certs.NewAuthority(cluster, now, valid)
			if err != nil {
				return &usageError{err}
			}
			if err := certs.WriteAuthority(dir, pair); err != nil {
				return err
			}
			return a.madeCert(dir, "ca", cluster, now.Add(valid))
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", certDir, "`folder` to write to")
	f.StringVar(&cluster, "cluster", "kith", "`name` of the cluster; nodes of others are refused")
	f.IntVar(&days, "days", int(certs.AuthorityValid/day), "how long it is valid")
	return cmd
}

func (a *app) certNodeCommand() *cobra.Command {
	var dir string
	var hosts []string
	var days int
	cmd := &cobra.Command{
		Use:   "node NAME",
		Short: "Make the certificate of a node",
		Long: `Make the certificate of a node. Clients check that the host by which they call it is among
--host; other nodes check that it is a node of the same cluster. localhost, 127.0.0.1 and
::1 are always among the hosts.`,
		Example: `  kith cert node a --host a.example.com,10.0.0.7`,
		Args:    oneArg("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.issue(dir, args[0], []string{certs.NodeRole}, append(hosts, "localhost", "127.0.0.1", "::1"), days)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", certDir, "`folder` of the authority, to write to")
	f.StringSliceVar(&hosts, "host", nil, "DNS `names` and addresses by which clients call the node")
	f.IntVar(&days, "days", int(certs.Valid/day), "how long it is valid")
	return cmd
}

func (a *app) certClientCommand() *cobra.Command {
	var dir string
	var roles []string
	var days int
	cmd := &cobra.Command{
		Use:     "client NAME",
		Short:   "Make the certificate of a client, with roles",
		Long:    `Make the certificate of a client. Its roles say what it may do: see 'kith key create'.`,
		Example: `  kith cert client alice --roles admin`,
		Args:    oneArg("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := auth.ParseRoles(roles); err != nil {
				return usagef("--roles: %w", err)
			}
			return a.issue(dir, args[0], roles, nil, days)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", certDir, "`folder` of the authority, to write to")
	f.StringSliceVar(&roles, "roles", nil, "what it may do: read, write, train, metrics, admin")
	f.IntVar(&days, "days", int(certs.Valid/day), "how long it is valid")
	return cmd
}

const day = 24 * time.Hour

// daysValid converts a number of days.
func daysValid(days int) (time.Duration, error) {
	if days < 1 || days > 36500 {
		return 0, usagef("--days is %d; want 1 to 36500", days)
	}
	return time.Duration(days) * day, nil
}

// issue makes a certificate by the authority in a folder.
func (a *app) issue(dir, name string, roles, hosts []string, days int) error {
	valid, err := daysValid(days)
	if err != nil {
		return err
	}
	authority, err := certs.LoadAuthority(dir)
	if err != nil {
		return err
	}
	now := time.Now()
	pair, err := authority.Issue(name, roles, hosts, now, valid)
	if err != nil {
		return &usageError{err}
	}
	if err := certs.WritePair(dir, name, pair); err != nil {
		return err
	}
	return a.madeCert(dir, name, authority.Cluster(), now.Add(valid))
}

func (a *app) madeCert(dir, name, cluster string, expires time.Time) error {
	out := jsonCert{Cluster: cluster, Expires: expires.UTC().Truncate(time.Second)}
	out.Cert, out.Key = certs.PairFiles(dir, name)
	if a.json() {
		return a.printJSON(out)
	}
	return a.printf("%s and %s, for cluster %s until %s\n", out.Cert, out.Key, cluster, out.Expires.Format(time.DateOnly))
}
