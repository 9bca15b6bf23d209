package identity

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Form is how values of a field are written alike before they are compared.
type Form uint8

// Forms of fields.
const (
	// Plain is text: case, width, and blanks do not matter.
	Plain Form = iota
	// Email is an e-mail address: case and what follows a plus sign do not matter; dots do not in addresses of Gmail, if asked.
	Email
	// Phone is a phone number: only its digits matter, and how the country code is written does not.
	Phone
	// Name is a person's name: case, accents, punctuation and the order of its parts do not matter.
	Name
	// Initials are those of the parts of a person's name, which typing errors mostly leave as they are.
	Initials
	// Postcode is a postal code: case, blanks and punctuation do not matter.
	Postcode
)

// FormOptions are options of forms. They change results.
type FormOptions struct {
	// GmailDots says that dots in addresses at gmail.com and googlemail.com do not matter, as Google has it.
	GmailDots bool
	// Country is the calling code of numbers without one, such as "49"; without it they stay as they are, and do not equal those with one.
	Country string
}

// Normalize returns the form of a value in which equal ones are equal, or "" if it is none: an address without @, a number of fewer than
// six digits, a value of zeros or of one repeated digit.
func (f Form) Normalize(value string, o FormOptions) string {
	value = norm.NFKC.String(strings.ToValidUTF8(value, ""))
	switch f {
	case Email:
		return email(value, o.GmailDots)
	case Phone:
		return phone(value, o.Country)
	case Name:
		return name(value)
	case Initials:
		parts := strings.Fields(name(value))
		for i, p := range parts {
			_, n := utf8.DecodeRuneInString(p)
			parts[i] = p[:n]
		}
		return strings.Join(parts, " ")
	case Postcode:
		return strings.ToUpper(strings.Map(keep(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }), value))
	case Plain:
	}
	return strings.ToLower(strings.Join(strings.Fields(value), " "))
}

func keep(want func(rune) bool) func(rune) rune {
	return func(r rune) rune {
		if want(r) {
			return r
		}
		return -1
	}
}

func email(value string, gmailDots bool) string {
	value = strings.ToLower(strings.TrimSpace(value))
	for strings.HasPrefix(value, "mailto:") {
		value = strings.TrimSpace(value[len("mailto:"):])
	}
	at := strings.LastIndexByte(value, '@')
	if at < 1 || at == len(value)-1 || strings.ContainsFunc(value, unicode.IsSpace) {
		return ""
	}
	local, domain := value[:at], strings.TrimRight(value[at+1:], ".")
	if plus := strings.IndexByte(local, '+'); plus > 0 {
		local = local[:plus]
	}
	if domain == "googlemail.com" {
		domain = "gmail.com"
	}
	if gmailDots && domain == "gmail.com" {
		local = strings.ReplaceAll(local, ".", "")
	}
	if local == "" || domain == "" {
		return ""
	}
	return local + "@" + domain
}

func phone(value, country string) string {
	value = strings.TrimSpace(value)
	plus := strings.HasPrefix(value, "+")
	if plus {
		value = strings.ReplaceAll(value, "(0)", "") // +49 (0)30 ...
	}
	digits := strings.Map(keep(func(r rune) bool { return r >= '0' && r <= '9' }), value)
	switch {
	case plus:
	case strings.HasPrefix(digits, "00"):
		digits, plus = digits[2:], true
	case country != "":
		// A trunk prefix, if any, goes: 030 is +49 30.
		digits, plus = country+strings.TrimPrefix(digits, "0"), true
	}
	if len(digits) < 6 || len(digits) > 15 || strings.Trim(digits, digits[len(digits)-1:]) == "" {
		return ""
	}
	if plus {
		return "+" + digits
	}
	return digits
}

// letters that have no mark to take off.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i")

func name(value string) string {
	value = letters.Replace(strings.ToLower(plainLetters(value)))
	parts := strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// plainLetters takes the accents off letters.
func plainLetters(s string) string {
	return norm.NFC.String(strings.Map(keep(func(r rune) bool { return !unicode.Is(unicode.Mn, r) }), norm.NFD.String(s)))
}
