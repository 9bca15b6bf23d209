package synthetic

import (
	"context"
	"errors"
	"strconv"
	"strings"
)

// people derives who the users are: like users, persons are functions of the configuration and the number.
type people struct {
	cfg        *Config
	customers  *customers
	households permutation // place -> number; three places are a household
	accounts   permutation // number -> number of the second account
	cookies    uint64
	shared     uint64
}

func newPeople(cfg *Config, c *customers) *people {
	return &people{
		cfg: cfg, customers: c,
		households: newPermutation(cfg.Seed, domainHouseholds, 0, cfg.Users),
		accounts:   newPermutation(cfg.Seed, domainSecondAccount, 0, cfg.Users),
		cookies:    mix(cfg.Seed + domainSightings),
		shared:     mix(cfg.Seed + domainHousehold),
	}
}

// person is who a user is.
type person struct {
	number      int
	household   int // -1 for none
	first, last uint8
	domain      uint8
	mobile      uint32 // seven digits
	postcode    uint32
	second      bool // has a second account
}

const (
	householdSize = 3
	postcodes     = 4000
)

var mailDomains = []string{"gmail.com", "gmail.com", "gmail.com", "example.com", "mail.example.org", "post.example.net", "web.example.de", "uni.example.edu"}

func (p *people) of(number int) person {
	r := newRandom(p.cfg.Seed, domainPerson, uint64(number))
	out := person{
		number: number, household: -1,
		first: uint8(r.intN(len(firstNames))), last: uint8(r.intN(len(lastNames))), domain: uint8(r.intN(len(mailDomains))),
		mobile: uint32(r.between(1_000_000, 9_999_999)), postcode: uint32(r.intN(postcodes)),
		second: r.float() < p.cfg.Planted.Twice,
	}
	h := p.households.invert(number) / householdSize
	hr := newRandom(p.cfg.Seed, domainHousehold, uint64(h))
	if hr.float() >= p.cfg.Planted.Shared {
		return out
	}
	out.household = h
	last, postcode, phone := hr.intN(len(lastNames)), hr.intN(postcodes), hr.between(1_000_000, 9_999_999)
	out.postcode = uint32(postcode)
	if r.float() < 0.8 {
		out.last = uint8(last)
	}
	if r.float() < 0.15 { // the phone at home
		out.mobile = uint32(phone)
	}
	return out
}

// shares reports whether the member of a household at a place of it, 0 to 2, uses the device that they have in common.
func (p *people) shares(household, place int) bool {
	r := newRandom(p.cfg.Seed, domainShares, uint64(household*householdSize+place))
	return r.float() < usesShared
}

// sharer returns the only user of the device of a household, or -1 if there are more or none.
func (p *people) sharer(household int) int {
	only := -1
	for place := range householdSize {
		if at := household*householdSize + place; at < p.cfg.Users && p.shares(household, place) {
			if only >= 0 {
				return -1
			}
			only = p.households.apply(at)
		}
	}
	return only
}

// appendSecond appends the key of a second account, which says nothing about the first one.
func (p *people) appendSecond(dst []byte, number int) []byte {
	return appendKey(dst, 'V', p.accounts.apply(number), p.customers.width)
}

// profile is what an account says about a person.
type profile struct{ email, phone, name, postcode string }

// fold writes names in the letters of e-mail addresses.
var fold = strings.NewReplacer("ü", "ue", "ö", "oe", "ä", "ae", "é", "e", "ñ", "n", "ł", "l", "ø", "o", "'", "", " ", "")

// address returns the e-mail address of a person, which no other one has.
func (q *person) address() (local, domain string) {
	return fold.Replace(strings.ToLower(firstNames[q.first])) + "." + fold.Replace(strings.ToLower(lastNames[q.last])) + strconv.Itoa(q.number), mailDomains[q.domain]
}

// writePhone writes a number in one of the ways in which people do.
func writePhone(digits uint32, way int) string {
	d := strconv.Itoa(int(digits))
	switch way {
	case 0:
		return "+49 170 " + d
	case 1:
		return "0170/" + d[:3] + " " + d[3:]
	case 2:
		return "0049 170" + d
	}
	return "+49 (0)170-" + d[:3] + "-" + d[3:]
}

func writeName(first, last string, way int) string {
	switch way {
	case 0:
		return last + ", " + first
	case 1:
		return strings.ToUpper(first + " " + last)
	}
	return first + " " + last
}

func writePostcode(n uint32) string { return strconv.Itoa(10_000 + int(n)*22) }

// profile returns what is given for the first account.
func (q *person) profile(r *random) profile {
	local, domain := q.address()
	out := profile{
		email: local + "@" + domain, phone: writePhone(q.mobile, r.intN(4)), name: writeName(firstNames[q.first], lastNames[q.last], 2),
		postcode: writePostcode(q.postcode),
	}
	if r.float() < 0.12 {
		out.phone = ""
	}
	if r.float() < 0.08 {
		out.postcode = ""
	}
	return out
}

// typo damages a text by leaving out or doubling one of its letters, not the first.
func typo(s string, r *random) string {
	letters := []rune(s)
	if len(letters) < 3 {
		return s
	}
	at := r.between(1, len(letters)-1)
	if r.float() < 0.5 {
		return string(letters[:at]) + string(letters[at+1:])
	}
	return string(letters[:at]) + string(letters[at]) + string(letters[at:])
}

// again returns the profile of the second account, and what is different in it.
func (q *person) again(r *random, typos float64) (out profile, changes []string) {
	change := func(s string) { changes = append(changes, s) }
	local, domain := q.address()
	switch x := r.float(); {
	case x < 0.2:
		change("email_case")
		local = strings.ToUpper(local[:1]) + local[1:]
		domain = strings.ToUpper(domain)
	case x < 0.35:
		change("email_tag")
		local += "+" + []string{"shop", "news", "2"}[r.intN(3)]
	case x < 0.55 && domain == "gmail.com":
		change("email_dots")
		local = strings.ReplaceAll(local, ".", "")
		local = local[:3] + "." + local[3:]
		if r.float() < 0.3 {
			domain = "googlemail.com"
		}
	case x < 0.65:
	default:
		change("email_other")
		local = local[:1] + strconv.Itoa(int(q.mobile%90_000)) + "x" + strconv.Itoa(q.number)
		domain = mailDomains[(int(q.domain)+3)%len(mailDomains)]
	}
	out.email = local + "@" + domain
	if r.float() < typos {
		change("email_typo")
		out.email = typo(local, r) + "@" + domain
	}
	switch x := r.float(); {
	case x < 0.12:
		change("phone_missing")
	case x < 0.22:
		change("phone_other")
		out.phone = writePhone(uint32(r.between(1_000_000, 9_999_999)), r.intN(4))
	case r.float() < typos:
		change("phone_typo")
		out.phone = writePhone((q.mobile+uint32(r.between(1, 9))*1000-1_000_000)%9_000_000+1_000_000, r.intN(4))
	default:
		out.phone = writePhone(q.mobile, r.intN(4))
	}
	first, last := firstNames[q.first], lastNames[q.last]
	if r.float() < typos {
		change("name_typo")
		last = typo(last, r)
	} else if r.float() < 0.04 {
		change("name_initial")
		first = string([]rune(first)[:1]) + "."
	}
	out.name = writeName(first, last, r.intN(3))
	switch x := r.float(); {
	case x < 0.05:
		change("postcode_missing")
	case x < 0.15:
		change("postcode_other")
		out.postcode = writePostcode(uint32(r.intN(postcodes)))
	default:
		out.postcode = writePostcode(q.postcode)
	}
	return out, changes
}

// writeAccounts writes accounts and whose they are.
func (g *generator) writeAccounts(ctx context.Context) (err error) {
	accounts := g.open(AccountsFile, "account,email,phone,name,postcode")
	truth := g.open(TruthAccountsFile, "account,user,changes")
	defer func() { err = errors.Join(err, g.close(accounts), g.close(truth)) }()
	row := func(key []byte, p profile, user int, changes []string) {
		accounts.buf = append(accounts.buf, key...)
		for _, field := range []string{p.email, p.phone, p.name, p.postcode} {
			accounts.comma()
			accounts.quoted(field)
		}
		accounts.end()
		truth.buf = append(truth.buf, key...)
		truth.comma()
		truth.buf = g.customers.appendUser(truth.buf, user)
		truth.comma()
		truth.text(strings.Join(changes, " "))
		truth.end()
	}
	var key []byte
	for i := range g.cfg.Users {
		q := g.people.of(i)
		r := newRandom(g.cfg.Seed, domainSecondAccount, uint64(i)+1)
		key = g.customers.appendUser(key[:0], i)
		row(key, q.profile(&r), i, nil)
		if q.second {
			key = g.people.appendSecond(key[:0], i)
			p, changes := q.again(&r, g.cfg.Planted.Typos)
			row(key, p, i, changes)
		}
		if i%(1<<12) == 0 && errors.Join(ctx.Err(), accounts.err, truth.err) != nil {
			return ctx.Err()
		}
	}
	return nil
}
