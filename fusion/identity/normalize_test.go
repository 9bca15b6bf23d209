package identity_test

import (
	"testing"
	"unicode/utf8"

	"github.com/kith-io/kith/fusion/identity"
)

func TestNormalize(t *testing.T) {
	tests := []struct {
		form     identity.Form
		in, want string
		options  identity.FormOptions
	}{
		{form: identity.Email, in: " Ann.Lee+shop@Example.COM ", want: "ann.lee@example.com"},
		{form: identity.Email, in: "ann.lee@gmail.com", want: "ann.lee@gmail.com"},
		{form: identity.Email, in: "a.n.n.lee@googlemail.com", want: "annlee@gmail.com", options: identity.FormOptions{GmailDots: true}},
		{form: identity.Email, in: "ann.lee@example.com", want: "ann.lee@example.com", options: identity.FormOptions{GmailDots: true}},
		{form: identity.Email, in: "ann@example.com", want: "ann@example.com"},
		{form: identity.Email, in: "+tag@example.com", want: "+tag@example.com"},
		{form: identity.Email, in: "mailto:ann@example.com.", want: "ann@example.com"},
		{form: identity.Email, in: "none"},
		{form: identity.Email, in: "@example.com"},
		{form: identity.Email, in: "ann@"},
		{form: identity.Email, in: "ann lee@example.com"},
		{form: identity.Phone, in: "+49 (0)170 / 123-45 67", want: "+491701234567"},
		{form: identity.Phone, in: "0049 170 1234567", want: "+491701234567"},
		{form: identity.Phone, in: "0170 1234567", want: "+491701234567", options: identity.FormOptions{Country: "49"}},
		{form: identity.Phone, in: "0170 1234567", want: "01701234567"},
		{form: identity.Phone, in: "+49 170 1234567", want: "+491701234567"},
		{form: identity.Phone, in: "000000000"},
		{form: identity.Phone, in: "123"},
		{form: identity.Phone, in: ""},
		{form: identity.Phone, in: "n/a"},
		{form: identity.Name, in: "Müller, Jörg-Peter", want: "jorg muller peter"},
		{form: identity.Name, in: "JOERG PETER  MULLER", want: "joerg muller peter"},
		{form: identity.Name, in: "Łukasz Groß", want: "gross lukasz"},
		{form: identity.Name, in: "王小明", want: "王小明"},
		{form: identity.Initials, in: "Müller, Jörg-Peter", want: "j m p"},
		{form: identity.Postcode, in: "sw1a-1aa", want: "SW1A1AA"},
		{form: identity.Postcode, in: "SW1A 1AA", want: "SW1A1AA"},
		{form: identity.Plain, in: "  Two   words ", want: "two words"},
	}
	for _, tt := range tests {
		if got := tt.form.Normalize(tt.in, tt.options); got != tt.want {
			t.Errorf("form %d of %q with %+v is %q, want %q", tt.form, tt.in, tt.options, got, tt.want)
		}
	}
}

// FuzzNormalize checks that a form is a form: normalizing again changes nothing, but for the country of phone numbers.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"Ann.Lee+a@Gmail.com", "+49 (0)30 123456", "0049301234", "Łukasz Müller", "SW1A 1AA", "a+b+c@x.y", "\xff@\xfe", "İstanbul", "+(0)(0)123456", "ß@ẞ.de", "mailto:mailto:a@b..", "ŉ ﬁ ſ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for form := identity.Plain; form <= identity.Postcode; form++ {
			o := identity.FormOptions{GmailDots: true}
			once := form.Normalize(s, o)
			if !utf8.ValidString(once) {
				t.Errorf("form %d of %q is not UTF-8: %q", form, s, once)
			}
			if twice := form.Normalize(once, o); twice != once && form != identity.Phone {
				t.Errorf("form %d of %q is %q, and of that %q", form, s, once, twice)
			}
		}
	})
}
