package db

// kind is what is done to the text of a value.
type kind uint8

const (
	_ kind = iota // as it is
	// moment is a date and a time of day, "2006-01-02 15:04:05.999", with "+00" behind it or without.
	moment
	// truth is t or f.
	truth
	// inexact stays as it is, too, but is no cursor: its text may stand for a neighboring number.
	inexact
)

// column is one of a result.
type column struct {
	name string
	kind kind
	typ  string // of the server, where the statement must name it
}

// appendValue appends text as the rows of package source have it. A moment that RFC 3339 has no form for (infinity, years of five digits or
// before Christ) stays as it is.
func appendValue(dst, text []byte, k kind) []byte {
	switch k {
	case moment:
		if n := momentLength(text); n > 0 {
			dst = append(append(dst, text[:10]...), 'T')
			return append(append(dst, text[11:n]...), 'Z')
		}
	case truth:
		switch string(text) {
		case "t":
			return append(dst, "true"...)
		case "f":
			return append(dst, "false"...)
		}
	}
	return append(dst, text...)
}

// momentLength returns the length of text before its zone, or 0 if text is no moment of UTC.
func momentLength(text []byte) int {
	const form = "0000-00-00 00:00:00"
	if len(text) < len(form) {
		return 0
	}
	for i := range len(form) {
		if digit := text[i] >= '0' && text[i] <= '9'; digit != (form[i] == '0') || !digit && text[i] != form[i] {
			return 0
		}
	}
	n := len(form)
	if n < len(text) && text[n] == '.' {
		for n++; n < len(text) && text[n] >= '0' && text[n] <= '9'; n++ {
			continue
		}
	}
	if rest := string(text[n:]); rest != "" && rest != "+00" || text[n-1] == '.' {
		return 0
	}
	return n
}
