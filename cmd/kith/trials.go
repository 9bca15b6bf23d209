package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/evaluate/trials"
)

// trialsFile keeps the trials of a tuning, each a line of JSON, so that one that was interrupted goes on.
type trialsFile struct {
	*os.File
	known []evaluate.Trial
}

// openTrials reads the trials of a file, which need not exist, and opens it to add others. A last line that was not written as a whole is cut off. Whoever
// opens it closes it.
func openTrials(name string) (*trialsFile, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--state: %w", err)}
	}
	t := &trialsFile{File: f}
	if err := t.read(name); err != nil {
		return nil, errors.Join(fmt.Errorf("--state %s: %w", name, err), f.Close())
	}
	return t, nil
}

func (t *trialsFile) read(name string) error {
	all, err := io.ReadAll(t)
	if err != nil {
		return err
	}
	whole := int64(bytes.LastIndexByte(all, '\n') + 1)
	number := 0
	for line := range bytes.Lines(all[:whole]) {
		number++
		var trial evaluate.Trial
		if err := json.Unmarshal(line, &trial); err != nil || trial.Of == "" || trial.Name == "" {
			return fmt.Errorf("line %d is no trial; name a file that kith evaluate has written, or a new one", number)
		}
		t.known = append(t.known, trial)
	}
	if int64(len(all)) > whole && whole == 0 {
		return fmt.Errorf("%s is no file of trials; name a new one", name)
	}
	if err := t.Truncate(whole); err != nil {
		return err
	}
	_, err = t.Seek(whole, io.SeekStart)
	return err
}

// keep adds a trial. It is in the file when keep returns, though not yet on the disk: what a crash of the machine loses is made again.
func (t *trialsFile) keep(trial evaluate.Trial) error {
	line, err := json.Marshal(trial)
	if err != nil {
		return err
	}
	if _, err := t.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	return nil
}

// trialWorkers returns what makes trials on servers. The caller ends it.
func (a *app) trialWorkers(ctx context.Context, e *evaluate.Experiment, r *remote) (w *trials.Workers, end func(), err error) {
	r.timeout = queryTimeout
	c, err := r.open()
	if err != nil {
		return nil, nil, err
	}
	var servers []trials.Server
	for i, conn := range c.conns {
		servers = append(servers, trials.Server{Addr: c.addrs[i], Conn: conn})
	}
	w, err = trials.NewWorkers(ctx, *e, thisBuild().Version, servers, func(addr string, err error) {
		a.note("server %s is lost, others make its trials: %s", addr, reason(err))
	})
	if err != nil {
		c.close()
		return nil, nil, err
	}
	return w, func() { w.Close(); c.close() }, nil
}

// readCategories reads a CSV file of items and their categories: the first two columns, several categories of an item apart by | or in lines of their own. A
// first line whose words are item and category (or categories) is left out.
func readCategories(name string) (out map[string][]string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--categories: %w", err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	out = map[string][]string{}
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("--categories %s: %w", name, err)
		}
		if len(row) < 2 {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("--categories %s: line %d has one column, want an item and its category", name, line)
		}
		if first && strings.EqualFold(row[0], "item") && strings.HasPrefix(strings.ToLower(row[1]), "categor") {
			continue
		}
		for category := range strings.SplitSeq(row[1], "|") {
			if category = strings.TrimSpace(category); category != "" {
				out[row[0]] = append(out[row[0]], category)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("--categories %s has no category of any item", name)
	}
	return out, nil
}
