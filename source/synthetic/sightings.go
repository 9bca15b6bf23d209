package synthetic

import (
	"context"
	"errors"
)

// noDevices and noAccounts are what programs write where they know none.
var (
	noDevices  = []string{"00000000-0000-0000-0000-000000000000", "null", "unknown"}
	noAccounts = []string{"null", "0", "undefined", "guest"}
)

// Rates of sightings.
const (
	atKiosk     = 0.02 // users who log in on a device in a shop, with its cookie
	perKiosk    = 300  // users for each such device
	noDevice    = 0.03
	noAccount   = 0.02
	usesShared  = 0.7 // of the members of a household
	sharedLogin = 0.9 // of their cookies there; a device of several asks who it is
)

// hashed returns a letter and a number that says nothing about n.
func hashed(letter byte, salt, n uint64) []byte {
	const hex = "0123456789abcdef"
	id := mix(n ^ salt)
	dst := append(make([]byte, 0, 17), letter)
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hex[id>>shift&15])
	}
	return dst
}

// sightings writes the rows of one user.
type sightings struct {
	*generator
	rows, truth *table
	r           random
	user        person
	signup      int
	cookie      uint64
}

// writeSightings writes which cookies were seen on which devices, and with which account once somebody logged in there; by user, not by time.
func (g *generator) writeSightings(ctx context.Context) (err error) {
	s := sightings{generator: g, rows: g.open(SightingsFile, "time,cookie,device,account"), truth: g.open(TruthKeysFile, "kind,key,user")}
	defer func() { err = errors.Join(err, g.close(s.rows), g.close(s.truth)) }()
	kiosks := uint64(g.cfg.Users/perKiosk + 1)
	for k := range kiosks {
		s.key("device", hashed('D', g.people.shared, 2*k+1), -1)
		s.key("cookie", hashed('C', g.people.shared, 2*k+1), -1)
	}
	for i := range g.cfg.Users {
		u := g.customers.ofNumber(i)
		s.r = newRandom(g.cfg.Seed, domainSightings, uint64(i))
		s.user, s.signup, s.cookie = g.people.of(i), max(u.signup, 0), 0
		for d := range u.devices {
			device := g.customers.appendDevice(nil, i, d)
			s.key("device", device, i)
			for range s.r.between(1, 3) {
				s.browse(device, g.cfg.Planted.Login)
			}
		}
		if h := s.user.household; h >= 0 {
			device := hashed('D', g.people.shared, 2*uint64(h))
			place := g.people.households.invert(i) % householdSize
			if place == 0 {
				s.key("device", device, g.people.sharer(h))
			}
			if g.people.shares(h, place) {
				s.browse(device, sharedLogin)
			}
		}
		if s.r.float() < atKiosk {
			k := 2*(s.r.uint64()%kiosks) + 1
			s.see(hashed('C', g.people.shared, k), hashed('D', g.people.shared, k), s.second(), true)
		}
		if i%(1<<12) == 0 && errors.Join(ctx.Err(), s.rows.err, s.truth.err) != nil {
			return ctx.Err()
		}
	}
	return nil
}

// key writes whose a key is, -1 for nobody's alone.
func (s *sightings) key(kind string, key []byte, user int) {
	s.truth.text(kind)
	s.truth.comma()
	s.truth.buf = append(s.truth.buf, key...)
	s.truth.comma()
	if user >= 0 {
		s.truth.buf = s.customers.appendUser(s.truth.buf, user)
	}
	s.truth.end()
}

// second draws a second of the window after the signup.
func (s *sightings) second() int64 {
	from := int64(min(s.signup, s.cfg.Days-1)) * daySeconds
	return from + int64(mul(s.r.float(), float64(int64(s.cfg.Days)*daySeconds-from)))
}

// browse makes a cookie of the user on a device: one or more sightings without login, then perhaps one with.
func (s *sightings) browse(device []byte, login float64) {
	cookie := hashed('C', s.people.cookies, uint64(s.user.number)<<6|s.cookie)
	s.cookie++
	s.key("cookie", cookie, s.user.number)
	at := s.second()
	for range s.r.between(1, 2) {
		s.see(cookie, device, at, false)
		at += int64(s.r.between(60, daySeconds))
	}
	if s.r.float() < login {
		s.see(cookie, device, at, true)
	}
}

func (s *sightings) see(cookie, device []byte, at int64, login bool) {
	t := s.rows
	t.buf = s.calendar.append(t.buf, at)
	t.comma()
	t.buf = append(t.buf, cookie...)
	t.comma()
	if s.r.float() < noDevice {
		t.text(noDevices[s.r.intN(len(noDevices))])
	} else {
		t.buf = append(t.buf, device...)
	}
	t.comma()
	switch {
	case login && s.user.second && s.r.float() < 0.3:
		t.buf = s.people.appendSecond(t.buf, s.user.number)
	case login:
		t.buf = s.customers.appendUser(t.buf, s.user.number)
	case s.r.float() < noAccount:
		t.text(noAccounts[s.r.intN(len(noAccounts))])
	}
	t.end()
}
