//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// otherVersion is that of the other program, if the drill builds it.
const otherVersion = "0.0.0-other"

// versionFlag stamps a version into a program that is built.
func versionFlag(version string) string { return "-ldflags=-X main.version=" + version }

// versionOf asks a program for its version.
func versionOf(ctx context.Context, program string) (string, error) {
	out, err := exec.CommandContext(ctx, program, "version", "-o", "json").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", program, err)
	}
	var is struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(out, &is); err != nil {
		return "", fmt.Errorf("version of %s: %w", program, err)
	}
	return is.Version, nil
}

// upgraded is no fault by itself: the servers are stopped one after the other, and started with another program, as the guide says; and
// in the end with the first one again. No query may fail meanwhile.
type upgraded struct{}

func (f *upgraded) kind() string     { return "another program, one server after the other, and back" }
func (f *upgraded) survivable() bool { return true }

// failsNoQuery implements smooth.
func (f *upgraded) failsNoQuery() {}

func (f *upgraded) inject(ctx context.Context, c *cluster) ([]*process, error) {
	return nil, c.roll(ctx, c.cfg.other)
}

func (f *upgraded) heal(ctx context.Context, c *cluster) (string, error) {
	return "", c.roll(ctx, c.cfg.kith)
}

// roll gives all servers another program.
func (c *cluster) roll(ctx context.Context, program string) error {
	version, err := versionOf(ctx, program)
	if err != nil {
		return err
	}
	for _, p := range c.servers {
		if err := p.quit(ctx); err != nil {
			return err
		}
		p.bin = program
		if err := p.start(); err != nil {
			return err
		}
		if err := c.awaitHealthy(ctx, p); err != nil {
			return fmt.Errorf("%s of version %s: %w", p.id, version, err)
		}
	}
	return c.eventually(ctx, func(ctx context.Context) error {
		s, err := c.status(ctx, 0)
		if err != nil {
			return err
		}
		var wrong []string
		for _, m := range s.Members {
			if m.Version != version {
				wrong = append(wrong, fmt.Sprintf("%s has version %s, want %s", m.Id, m.Version, version))
			}
		}
		if len(wrong) > 0 {
			return errors.New(strings.Join(wrong, "; "))
		}
		return nil
	})
}

// awaitHealthy waits until a server says that it is ready, as 'kith health --ready' does.
func (c *cluster) awaitHealthy(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	conn := c.conns[c.index(p)]
	return c.eventually(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		resp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: "ready"})
		if err == nil && resp.Status != healthv1.HealthCheckResponse_SERVING {
			err = fmt.Errorf("%s is %s", p.id, resp.Status)
		}
		return err
	})
}
