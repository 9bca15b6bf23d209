package kith_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// citation is a key in brackets: the first author and the year.
var citation = regexp.MustCompile(`\[([a-z]+[0-9]{4}[a-z]?)\]`)

// TestReferencesResolve checks that every key cited in a comment or a document is in docs/references.bib, that each entry
// has what a reader needs to find it, and that none is left over.
func TestReferencesResolve(t *testing.T) {
	const file = "docs/references.bib"
	bib, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cited := map[string]bool{} // false until something cites it
	for _, entry := range regexp.MustCompile(`(?ms)^@[a-z]+\{(\w+),\n(.*?)^\}$`).FindAllStringSubmatch(string(bib), -1) {
		key, fields := entry[1], entry[2]
		if _, twice := cited[key]; twice {
			t.Errorf("%s: %s is there twice", file, key)
		}
		cited[key] = false
		for _, field := range []string{"author", "title", "year"} {
			if !regexp.MustCompile(`(?m)^  ` + field + ` += \{.`).MatchString(fields) {
				t.Errorf("%s: %s has no %s", file, key, field)
			}
		}
		if year := key[strings.IndexAny(key, "0123456789"):][:4]; !regexp.MustCompile(`(?m)^  year += \{` + year + `\}`).MatchString(fields) {
			t.Errorf("%s: %s is of another year than its key says", file, key)
		}
	}
	if n := strings.Count("\n"+string(bib), "\n@"); len(cited) != n {
		t.Errorf("%s: %d of %d entries can be read", file, len(cited), n)
	}
	check := func(where, text string) {
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			if _, ok := cited[m[1]]; !ok {
				t.Errorf("%s: [%s] is not in %s", where, m[1], file)
			}
			cited[m[1]] = true
		}
	}

	forGoFiles(t, func(name string) {
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		for _, group := range parsed.Comments {
			check(set.Position(group.Pos()).String(), group.Text())
		}
	})
	err = filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".md") {
			return err
		}
		text, err := os.ReadFile(name)
		check(name, string(text))
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for key, used := range cited {
		if !used {
			t.Errorf("%s: nothing cites %s", file, key)
		}
	}
}
