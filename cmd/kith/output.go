package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// json reports whether the result goes to standard output as JSON.
func (a *app) json() bool { return a.output.value == "json" }

// printJSON writes the result of a command.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printf writes text for people to standard output.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}

// note tells people something beside the result, on standard error.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.err, format+"\n", args...)
}

// terminal reports whether w is a terminal that understands escape sequences.
func (a *app) terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if name, _ := a.env("TERM"); name == "dumb" {
		return false
	}
	return ok && term.IsTerminal(int(f.Fd()))
}

// colors reports whether standard output takes colors: a terminal, and NO_COLOR (https://no-color.org) is not set.
func (a *app) colors() bool {
	no, _ := a.env("NO_COLOR")
	return no == "" && a.terminal(a.out)
}

// bold and dim dress text on a terminal that takes colors.
func (a *app) bold(s string) string { return a.dress(s, text.Bold) }
func (a *app) dim(s string) string  { return a.dress(s, text.Faint) }

func (a *app) dress(s string, c text.Color) string {
	if !a.colors() {
		return s
	}
	return "\x1b[" + strconv.Itoa(int(c)) + "m" + s + "\x1b[0m"
}

// columns describes a table: names of columns, those of numbers with a leading ">".
type columns []string

// printTable writes a table with aligned columns and no lines, each line after indent.
func (a *app) printTable(indent string, head columns, rows [][]any) error {
	w := table.NewWriter()
	style := table.StyleDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	header, configs := table.Row{}, []table.ColumnConfig{}
	for i, name := range head {
		plain := strings.TrimPrefix(name, ">")
		header = append(header, strings.ToUpper(plain))
		if plain != name {
			configs = append(configs, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	w.SetColumnConfigs(configs)
	w.AppendHeader(header)
	for _, row := range rows {
		w.AppendRow(row)
	}
	for i, line := range strings.Split(w.Render(), "\n") {
		line = strings.TrimRight(line, " ")
		if i == 0 {
			line = a.dim(line)
		}
		if err := a.printf("%s%s\n", indent, line); err != nil {
			return err
		}
	}
	return nil
}

// printable returns a key as it may be shown: quoted if it holds what a terminal could take for a command.
func printable(key string) string {
	for _, r := range key {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(key)
		}
	}
	return key
}

// fit cuts text to a width in characters.
func fit(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

// wrap breaks words into lines of up to width characters, each but the first after indent.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	line := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case line+1+len(word) > width:
			b.WriteString("\n" + indent)
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}

// count writes a number with separators of thousands.
func count[T int | int64 | uint32 | uint64](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// plural writes a number with its noun.
func plural[T int | int64 | uint32 | uint64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// size writes a number of bytes.
func size[T int64 | uint64](n T) string {
	x, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if x < 1000 {
			break
		}
		x, unit = x/1000, next
	}
	if unit == "B" {
		return fmt.Sprintf("%.0f B", x)
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}

// seconds writes a duration in seconds.
func seconds(s float64) string {
	switch {
	case s < 0.0995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 99.5:
		return fmt.Sprintf("%.2g s", s)
	}
	return fmt.Sprintf("%.0f s", s)
}

// score writes a score for people.
func score(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }

// timeOf writes a time in Unix milliseconds, in UTC.
func timeOf(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// printFacts writes names and values in two columns.
func (a *app) printFacts(facts [][2]string) error {
	width := 0
	for _, f := range facts {
		width = max(width, len(f[0]))
	}
	for _, f := range facts {
		if err := a.printf("%s  %s\n", a.dim(fmt.Sprintf("%-*s", width, f[0])), f[1]); err != nil {
			return err
		}
	}
	return nil
}
