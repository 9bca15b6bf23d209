package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/erasure"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// eraseFlags are what 'kith erase' is asked for.
type eraseFlags struct {
	again, build, publicKey bool
	receipt, verify, key    string
}

func (a *app) eraseCommand() *cobra.Command {
	var r remote
	var f eraseFlags
	cmd := &cobra.Command{
		Use:   "erase USER",
		Short: "Remove all that there is of a person, and print a signed receipt",
		Long: `Remove the events and the profile of a user from all replicas, and from the counts of what is
popular. From then on the user is unknown, and no answer names it. Old events of the user are
refused, so that files that have them may be ingested again: those that are not newer than
the erasure and than all that was removed, and those without a time; and so are profiles. With
--allow-again all are taken. Keys that were joined to the user, such as cookies, are erased with
it.

Model versions keep what they learned from the user until a build replaces them: neighbor
lists of items change then. --build starts one, with the settings of the active version, and
waits. Backups that were made before have the user: make a new one, and delete the old ones.

The receipt is JSON, signed by the cluster. It names the user by a hash that only the cluster
can compute: erasing again gives the same. --verify checks it without a server.`,
		Example: `  kith erase u17 --receipt u17.json
  kith erase u17 --build
  kith erase --public-key
  kith erase --verify u17.json --key cpzAVRBW0Q5tkGNAcMCfVmOHYLqpYBBxMmNXSEAwIHU=`,
		Args: func(_ *cobra.Command, args []string) error { return f.check(args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.verify != "" {
				return a.verifyReceipt(f.verify, f.key)
			}
			return a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
				if f.publicKey {
					return a.printPublicKey(ctx, c)
				}
				return a.erase(ctx, c, args[0], f)
			})(cmd, args)
		},
	}
	r.register(cmd, queryTimeout)
	cmd.Flags().BoolVar(&f.again, "allow-again", false, "take events and profiles of the user from now on, old ones too")
	cmd.Flags().BoolVar(&f.build, "build", false, "build a model without the user, and wait for it")
	cmd.Flags().StringVar(&f.receipt, "receipt", "", "`file` for the receipt (default: standard output)")
	cmd.Flags().BoolVar(&f.publicKey, "public-key", false, "print the key by which receipts are verified")
	cmd.Flags().StringVar(&f.verify, "verify", "", "check the receipt in a `file`; needs no server")
	cmd.Flags().StringVar(&f.key, "key", "", "`key` to verify with, as --public-key printed it")
	return cmd
}

// check refuses flags and arguments that do not go together.
func (f *eraseFlags) check(args []string) error {
	other := f.publicKey || f.verify != ""
	switch {
	case f.publicKey && f.verify != "" || other && (f.again || f.build || f.receipt != ""):
		return usagef("--public-key and --verify go with no other flags but --key, --addr and --timeout")
	case f.verify != "" && f.key == "" || f.verify == "" && f.key != "":
		return usagef("--verify and --key go together: the key is what 'kith erase --public-key' prints")
	case other && len(args) > 0:
		return usagef("argument %q: want none", args[0])
	case !other && len(args) != 1:
		return usagef("%d arguments; want one: a user", len(args))
	}
	if !other {
		if err := catalog.CheckKey(args[0]); err != nil {
			return &usageError{err}
		}
	}
	return nil
}

func (a *app) erase(ctx context.Context, c *client, user string, f eraseFlags) error {
	req := &kithv1.EraseUserRequest{User: user, AllowAgain: f.again, RequestId: make([]byte, 16)}
	_, _ = rand.Read(req.RequestId) // never fails
	var resp *kithv1.EraseUserResponse
	err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewErasureServiceClient(conn).EraseUser(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	file, err := erasure.File(resp.Receipt, resp.Signature, ed25519.PublicKey(resp.PublicKey))
	if err != nil {
		return err
	}
	if f.receipt == "" {
		if _, err := a.out.Write(file); err != nil {
			return err
		}
	} else if err := writeMode(f.receipt, backupMode, func(w io.Writer) error { _, err := w.Write(file); return err }); err != nil {
		return fmt.Errorf("the user is erased; for a receipt, erase again: %w", err)
	}
	var r erasure.Receipt
	if err := json.Unmarshal(resp.Receipt, &r); err != nil {
		return err
	}
	profile := ""
	if r.Removed.Profile {
		profile = " and a profile"
	}
	a.note("Erased: %s%s.", plural(r.Removed.Events, "event", "events"), profile)
	if len(r.Waiting) > 0 {
		a.note("%s not answered yet: %v. They erase the user as soon as they are back; repeat the command to have it confirmed.", plural(len(r.Waiting), "replica has", "replicas have"), r.Waiting)
	}
	if f.build {
		return a.buildWithout(ctx, c, r.CleanAfter)
	}
	if r.CleanAfter > 0 {
		a.note("Model versions up to %d may have learned from the user; 'kith erase --build' or 'kith build' makes one that has not.", r.CleanAfter)
	}
	return nil
}

// buildWithout builds a model with the settings of the active one, and waits for it. Versions up to last, of which one may be under way, may
// have learned from the user.
func (a *app) buildWithout(ctx context.Context, c *client, last uint64) error {
	s, err := c.status(ctx)
	if err != nil {
		return err
	}
	if s.ActiveVersion == 0 {
		a.note("No model is active, so there is none to build anew.")
		return nil
	}
	v, err := c.version(ctx, s.ActiveVersion)
	if err != nil {
		return err
	}
	for {
		job, err := c.build(ctx, v.Spec)
		if err == nil {
			_, err = c.wait(ctx, job.Id, func(*kithv1.Job) {})
		}
		switch {
		case err != nil && (job == nil || job.Id > last):
			return fmt.Errorf("the user is erased; the build: %w", err)
		case job.Id > last:
			a.note("Version %d has learned nothing from the user, and is active.", job.Id)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

func (a *app) printPublicKey(ctx context.Context, c *client) error {
	var resp *kithv1.PublicKeyResponse
	err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewErasureServiceClient(conn).PublicKey(ctx, &kithv1.PublicKeyRequest{})
		return err
	})
	if err != nil {
		return err
	}
	key := erasure.EncodeKey(resp.PublicKey)
	if a.json() {
		return a.printJSON(map[string]string{"public_key": key})
	}
	return a.printf("%s\n", key)
}

func (a *app) verifyReceipt(path, key string) error {
	trusted, err := erasure.DecodeKey(key)
	if err != nil {
		return &usageError{fmt.Errorf("--key: %w", err)}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--verify: %w", err)
	}
	r, err := erasure.Verify(bytes.TrimSpace(file), trusted)
	if errors.Is(err, erasure.ErrForged) {
		return fmt.Errorf("%s: %w; do not rely on it", path, err)
	} else if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if a.json() {
		return a.printJSON(r)
	}
	return a.printf("%s is genuine: cluster %s erased user %s at %s: %s, profile %t.\n",
		path, r.Cluster, r.UserHash, r.Time, plural(r.Removed.Events, "event", "events"), r.Removed.Profile)
}
