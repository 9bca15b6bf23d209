// Command kith is a distributed recommender cluster in one binary: server, client, and the tools around them.
//
// One file holds one command; app.go what all share, settings.go how flags, environment and file come together,
// output.go and progress.go what is shown, client.go the way to a cluster. What the commands do is done by the
// packages.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones of times are the same on every machine
)

func main() { os.Exit(runMain()) }

func runMain() int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	context.AfterFunc(ctx, stop) // the first signal ends in order, the second at once
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv}
	return a.run(ctx, os.Args[1:])
}
