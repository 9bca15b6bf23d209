package object

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/kith-io/kith/source"
)

// pattern says which objects of a bucket are meant.
type pattern struct {
	prefix  string         // that all keys begin with
	base    string         // what file names are relative to: the prefix to its last slash
	matches *regexp.Regexp // nil if the prefix decides
	one     bool           // the prefix is the key
}

// parsePattern reads the key of a URL.
func parsePattern(key string) (pattern, error) {
	fixed, _, wild := strings.Cut(key, "*")
	p := pattern{prefix: fixed, base: fixed[:strings.LastIndexByte(fixed, '/')+1]}
	if !wild {
		p.one = key != "" && !strings.HasSuffix(key, "/")
		return p, nil
	}
	var b strings.Builder
	b.WriteString(`\A(?s:`)
	for rest := key; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "***"):
			return p, fmt.Errorf("%w: pattern %q has three stars in a row; want * for any characters but slashes, or ** for any", source.ErrOptions, key)
		case strings.HasPrefix(rest, "**/"):
			b.WriteString(`(?:.*/)?`)
			rest = rest[3:]
		case strings.HasPrefix(rest, "**"):
			b.WriteString(`.*`)
			rest = rest[2:]
		case rest[0] == '*':
			b.WriteString(`[^/]*`)
			rest = rest[1:]
		default:
			text := rest
			if i := strings.IndexByte(rest, '*'); i >= 0 {
				text = rest[:i]
			}
			b.WriteString(regexp.QuoteMeta(text))
			rest = rest[len(text):]
		}
	}
	b.WriteString(`)\z`)
	var err error
	if p.matches, err = regexp.Compile(b.String()); err != nil {
		return p, fmt.Errorf("%w: pattern %q: %w", source.ErrOptions, key, err)
	}
	return p, nil
}

// match reports whether an object is meant. Of a folder, names that begin with a point or an underscore are not: they are marks of those who
// write, such as _SUCCESS. Nor are keys that end in a slash, which stand for folders.
func (p *pattern) match(key string) bool {
	switch {
	case !strings.HasPrefix(key, p.prefix) || strings.HasSuffix(key, "/"):
		return false
	case p.one:
		return key == p.prefix
	case p.matches != nil:
		return p.matches.MatchString(key)
	}
	name := path.Base(key)
	return name[0] != '.' && name[0] != '_'
}

// file returns the name of an object for records, empty if there can be only one.
func (p *pattern) file(key string) string {
	if p.one {
		return ""
	}
	return strings.TrimPrefix(key, p.base)
}
