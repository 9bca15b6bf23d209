package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kith-io/kith/model"
)

// configFlag names the flag that names the configuration file.
const configFlag = "config"

// settle gives the flags of cmd that the command line did not set their values from the environment or, where the
// command takes one, from the configuration file. The environment wins.
func (a *app) settle(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value, ok := a.env(variable(f.Name))
		if err != nil || f.Changed || !ok || f.Name == "help" {
			return
		}
		if e := cmd.Flags().Set(f.Name, value); e != nil {
			err = usagef("environment variable %s: %w", variable(f.Name), e)
		}
	})
	if f := cmd.Flags().Lookup(configFlag); err == nil && f != nil && f.Value.String() != "" {
		err = settleFile(cmd.Flags(), f.Value.String())
	}
	return err
}

// variable returns the name of the environment variable of a flag.
func variable(flag string) string {
	return "KITH_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settleFile reads a YAML file whose keys are names of flags.
func settleFile(flags *pflag.FlagSet, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return usagef("configuration: %w; name a YAML file with --%s", err, configFlag)
	}
	var keys map[string]any
	if err := yaml.Unmarshal(b, &keys); err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return usagef("configuration %s: line %d: %s", path, at.GetToken().Position.Line, at.GetMessage())
		}
		return usagef("configuration %s: %w", path, err)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		f := flags.Lookup(key)
		if f == nil || key == configFlag || key == "help" {
			return usagef("configuration %s: unknown key %q; want one of %s", path, key, strings.Join(fileKeys(flags), ", "))
		}
		if f.Changed {
			continue
		}
		if err := setValue(flags, f, keys[key]); err != nil {
			return usagef("configuration %s: %s: %w", path, key, err)
		}
	}
	return nil
}

// fileKeys lists the keys of a configuration file.
func fileKeys(flags *pflag.FlagSet) []string {
	var keys []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != configFlag && f.Name != "help" {
			keys = append(keys, f.Name)
		}
	})
	return keys
}

// setValue sets a flag to a value as YAML has it: a scalar or a list of scalars.
func setValue(flags *pflag.FlagSet, f *pflag.Flag, value any) error {
	list, ok := value.([]any)
	if !ok {
		s, err := scalar(value)
		if err != nil {
			return err
		}
		return flags.Set(f.Name, s)
	}
	target, ok := f.Value.(pflag.SliceValue)
	if !ok {
		return fmt.Errorf("is a list; want one value")
	}
	var texts []string
	for _, v := range list {
		s, err := scalar(v)
		if err != nil {
			return err
		}
		texts = append(texts, s)
	}
	f.Changed = true
	return target.Replace(texts)
}

func scalar(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case bool, int, int64, uint64:
		return fmt.Sprint(v), nil
	case nil:
		return "", fmt.Errorf("has no value")
	}
	return "", fmt.Errorf("is a %T; want one value", value)
}

// choice is the value of a flag that takes one of some words.
type choice struct {
	value string
	of    []string
}

// String implements pflag.Value.
func (c *choice) String() string { return c.value }

// shownChoices is how many words help shows in the place of a type; the text of a flag with more lists them.
const shownChoices = 5

// Type implements pflag.Value; help shows it.
func (c *choice) Type() string {
	if len(c.of) > shownChoices {
		return "name"
	}
	return strings.Join(c.of, "|")
}

// Set implements pflag.Value.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("want %s", alternatives(c.of))
	}
	c.value = s
	return nil
}

// alternatives joins words as in "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// modelList is the value of a flag that takes models with settings, such as als(factors=64),covisit.
type modelList []string

var _ pflag.SliceValue = (*modelList)(nil)

// String implements pflag.Value.
func (m *modelList) String() string { return strings.Join(*m, ",") }

// Type implements pflag.Value.
func (m *modelList) Type() string { return "models" }

// Set implements pflag.Value; each call adds models.
func (m *modelList) Set(s string) error {
	*m = append(*m, model.SplitNames(s)...)
	return nil
}

// Append implements pflag.SliceValue.
func (m *modelList) Append(s string) error { return m.Set(s) }

// Replace implements pflag.SliceValue.
func (m *modelList) Replace(all []string) error {
	*m = nil
	return m.Set(strings.Join(all, ","))
}

// GetSlice implements pflag.SliceValue.
func (m *modelList) GetSlice() []string { return *m }

// weights is the value of a flag that takes pairs such as purchase=5,view=1.
type weights map[string]float64

// String implements pflag.Value.
func (w weights) String() string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(w)) {
		pairs = append(pairs, k+"="+strconv.FormatFloat(w[k], 'g', -1, 64))
	}
	return strings.Join(pairs, ",")
}

// Type implements pflag.Value.
func (w weights) Type() string { return "behavior=number" }

// Set implements pflag.Value; each call adds pairs.
func (w weights) Set(s string) error {
	for pair := range strings.SplitSeq(s, ",") {
		name, number, ok := strings.Cut(strings.TrimSpace(pair), "=")
		x, err := strconv.ParseFloat(number, 64)
		if !ok || name == "" || err != nil {
			return fmt.Errorf("%q: want behavior=number, such as purchase=5", pair)
		}
		w[name] = x
	}
	return nil
}
