package fusion

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// millis returns a time as Unix milliseconds.
func millis(t testing.TB, rfc3339 string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, rfc3339)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}

func TestParseTime(t *testing.T) {
	tests := []struct {
		in, want string // an RFC 3339 time, "" for unknown, "!" for an error
	}{
		{"", ""},
		{"0", ""},
		{"0.0", ""},
		{"881250949", "1997-12-04T15:55:49Z"},
		{"881250949000", "1997-12-04T15:55:49Z"},
		{"881250949123", "1997-12-04T15:55:49.123Z"},
		{"881250949123999", "1997-12-04T15:55:49.123Z"},
		{"881250949123999999", "1997-12-04T15:55:49.123Z"},
		{"1431430623510000000", "2015-05-12T11:37:03.51Z"},
		{"881250949.5", "1997-12-04T15:55:49.5Z"},
		{"8.81250949e8", "1997-12-04T15:55:49Z"},
		{"20240229", "2024-02-29T00:00:00Z"},
		{"20240229.0", "2024-02-29T00:00:00Z"},
		{"20240230", "1970-08-23T06:17:10Z"}, // no date
		{"1", "1970-01-01T00:00:01Z"},
		{"9223372036854775807", "2262-04-11T23:47:16.854Z"},
		{"100000000000000000000", "5138-11-16T09:46:40Z"}, // nanoseconds beyond int64
		{"-5", "!"},
		{"-0.5", "!"},
		{"1e300", "!"},

		{"2016-05-09", "2016-05-09T00:00:00Z"},
		{"2016/5/9", "2016-05-09T00:00:00Z"},
		{"2016.05.09 7:05", "2016-05-09T07:05:00Z"},
		{"2017-07-09 21:57:05", "2017-07-09T21:57:05Z"},
		{"2017-07-09T21:57:05Z", "2017-07-09T21:57:05Z"},
		{"2017-07-09t21:57:05z", "2017-07-09T21:57:05Z"},
		{"2017-07-09 21:57:05 UTC", "2017-07-09T21:57:05Z"},
		{"2017-07-09T21:57:05.1", "2017-07-09T21:57:05.1Z"},
		{"2017-07-09T21:57:05,123456789+02:00", "2017-07-09T19:57:05.123Z"},
		{"2017-07-09 21:57:05 +0000", "2017-07-09T21:57:05Z"},
		{"2017-07-09T21:57-0330", "2017-07-10T01:27:00Z"},
		{"2017-07-09T21:57:05+02", "2017-07-09T19:57:05Z"},
		{"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
		{"1970-01-01", ""},
		{"1969-12-31", "!"},
		{"0001-01-01", "!"},
		{"2023-02-29", "!"},
		{"2023-13-01", "!"},
		{"2023-04-31", "!"},
		{"2023-00-10", "!"},
		{"2023-01-01T", "!"},
		{"2023-01-01T1", "!"},
		{"2023-01-01T24:00", "!"},
		{"2023-01-01T10:60", "!"},
		{"2023-01-01T10:00:60", "!"},
		{"2023-01-01T10:00:00.", "!"},
		{"2023-01-01T10:00:00 ", "!"},
		{"2023-01-01T10:00:00 CET", "!"},
		{"2023-01-01T10:00:00+24:00", "!"},
		{"2023-01-01T10:00:00+1", "!"},
		{"2023-01-01T10:00:00ZZ", "!"},
		{"2023-01/01", "!"},
		{"2023-01-01x", "!"},
		{"2023-1", "!"},
		{"2023", "1970-01-01T00:33:43Z"},
		{"yesterday", "!"},
		{"2025-13-41T25:61:61Z", "!"},
		{"n/a", "!"},
		{"0000-00-00 00:00:00", "!"},
		{"NaN", "!"},
		{"0x10", "!"},
		{"12/1/10 8:26", "!"},
	}
	for _, tt := range tests {
		got, err := (&timeReader{}).parse([]byte(tt.in))
		switch tt.want {
		case "!":
			if !errors.Is(err, ErrBadTime) {
				t.Errorf("%q: got %d, %v; want ErrBadTime", tt.in, got, err)
			}
		case "":
			if got != 0 || err != nil {
				t.Errorf("%q: got %d, %v; want 0", tt.in, got, err)
			}
		default:
			if want := millis(t, tt.want); got != want || err != nil {
				t.Errorf("%q: got %d (%s), %v; want %s", tt.in, got, time.UnixMilli(got).UTC().Format(time.RFC3339Nano), err, tt.want)
			}
		}
	}
}

func TestAmbiguousDateSaysWhatToDo(t *testing.T) {
	_, err := (&timeReader{}).parse([]byte("03/04/2021 10:00"))
	if !errors.Is(err, ErrBadTime) || !strings.Contains(err.Error(), "time_layout") {
		t.Errorf("got %v", err)
	}
}

// TestTimeUnitOfFile: all numbers of a file are in one unit, whatever their size.
func TestTimeUnitOfFile(t *testing.T) {
	tests := []struct {
		name   string
		sample []string
		unit   TimeUnit
	}{
		{"seconds", []string{"881250949", "5"}, Seconds},
		{"milliseconds with an early one", []string{"5000", "1430623510000", "1430623510001"}, Milliseconds},
		{"microseconds", []string{"1430623510000000"}, Microseconds},
		{"nanoseconds", []string{"1430623510000000000"}, Nanoseconds},
		{"dates", []string{"20240131", "20240201"}, compactDate},
		{"a number that is no date among dates", []string{"20240131", "20240132", "20240201"}, compactDate},
		{"texts", []string{"2024-01-31", ""}, TimeAuto},
		{"tie", []string{"1430623510000", "1430623510"}, Seconds},
	}
	for _, tt := range tests {
		var sample [][]byte
		for _, s := range tt.sample {
			sample = append(sample, []byte(s))
		}
		var r timeReader
		if r.learn(sample); r.unit != tt.unit {
			t.Errorf("%s: unit %q, want %q", tt.name, r.unit, tt.unit)
		}
	}
	for _, unit := range []TimeUnit{Seconds, Milliseconds, Microseconds, Nanoseconds} {
		per := map[TimeUnit]time.Duration{Seconds: time.Second, Milliseconds: time.Millisecond, Microseconds: time.Microsecond, Nanoseconds: 1}[unit]
		at := time.Date(1970, 1, 3, 1, 2, 3, 0, time.UTC)
		r := timeReader{unit: unit}
		r.learn([][]byte{[]byte("1430623510000")}) // has no say
		for _, in := range []string{fmt.Sprint(at.UnixNano() / int64(per)), fmt.Sprint(at.UnixNano()/int64(per)) + ".0"} {
			if got, err := r.parse([]byte(in)); got != at.UnixMilli() || err != nil {
				t.Errorf("%s %s: got %d, %v; want %d", in, unit, got, err, at.UnixMilli())
			}
		}
	}
	r := timeReader{unit: compactDate}
	for _, in := range []string{"20240132", "5", "1430623510"} {
		if got, err := r.parse([]byte(in)); !errors.Is(err, ErrBadTime) {
			t.Errorf("%s among dates: got %d, %v", in, got, err)
		}
	}
}

func TestTimeLayout(t *testing.T) {
	tests := []struct {
		layout, in, want string
	}{
		{"02/01/2006", "03/04/2021", "2021-04-03T00:00:00Z"},
		{"01/02/2006", "03/04/2021", "2021-03-04T00:00:00Z"},
		{"1/2/06 15:04", "12/1/10 8:26", "2010-12-01T08:26:00Z"},
		{"Jan 2, 2006", "May 9, 2016", "2016-05-09T00:00:00Z"},
		{"02/01/2006 15:04:05 -0700", "03/04/2021 00:30:00 +0100", "2021-04-02T23:30:00Z"},
		{"02/01/2006", "2021-04-03", "!"},
		{"02/01/2006", "31/12/1969", "!"},
	}
	for _, tt := range tests {
		if err := checkLayout(tt.layout); err != nil {
			t.Errorf("layout %q: %v", tt.layout, err)
		}
		r := timeReader{layout: tt.layout}
		got, err := r.parse([]byte(tt.in))
		if tt.want == "!" {
			if !errors.Is(err, ErrBadTime) {
				t.Errorf("%q by %q: got %d, %v; want ErrBadTime", tt.in, tt.layout, got, err)
			}
		} else if want := millis(t, tt.want); got != want || err != nil {
			t.Errorf("%q by %q: got %d, %v; want %d", tt.in, tt.layout, got, err, want)
		}
		if got, err := r.parse(nil); got != 0 || err != nil {
			t.Errorf("empty by %q: %d, %v", tt.layout, got, err)
		}
	}
	for _, layout := range []string{"dd/mm/yyyy", "%d/%m/%Y", "15:04", "2006", "02/01", "02/01/2006 MST", "2006-01-02 03:04"} {
		if err := checkLayout(layout); (err == nil) != (layout == "2006-01-02 03:04") {
			t.Errorf("layout %q: %v", layout, err)
		}
	}
}

// TestTimeIsLikePackageTime: the fast parser agrees with package time on its layouts.
func TestTimeIsLikePackageTime(t *testing.T) {
	layouts := []string{
		time.RFC3339, time.RFC3339Nano, time.DateTime, time.DateOnly, "2006/01/02 15:04", "2006-1-2 15:04:05.000000", "2006-01-02T15:04:05-0700",
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, MaxTime/1000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos"))
		at = at.In(time.FixedZone("", 60*rapid.IntRange(-12*60, 14*60).Draw(t, "offset")))
		text := at.Format(rapid.SampledFrom(layouts).Draw(t, "layout"))
		sameAsPackageTime(t, text, layouts)
	})
}

func sameAsPackageTime(t interface{ Fatalf(string, ...any) }, text string, layouts []string) {
	for _, layout := range layouts {
		want, err := time.Parse(layout, text)
		if err != nil || want.UnixMilli() < 0 || want.UnixMilli() > MaxTime {
			continue
		}
		if got, ok := parseISO([]byte(text)); !ok || got != want.UnixMilli() {
			t.Fatalf("%q: got %d, %t; package time has %d", text, got, ok, want.UnixMilli())
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, in := range []string{"", "0", "881250949", "1.5e9", "20240229", "2017-07-09T21:57:05.123+02:00", "2016/5/9 1:02", "03/04/2021", "-1", "9999-12-31T23:59:60Z"} {
		f.Add(in, "", "")
	}
	f.Add("03/04/2021", "", "02/01/2006")
	f.Add("5", "ms", "")
	f.Fuzz(func(t *testing.T, in, unit, layout string) {
		sameAsPackageTime(t, in, []string{time.RFC3339})
		m := Mapping{Path: "x", TimeUnit: TimeUnit(unit), TimeLayout: layout}
		if m.validate() != nil {
			return
		}
		r := timeReader{unit: m.TimeUnit, layout: layout}
		first, err := r.parse([]byte(in))
		if err != nil && !errors.Is(err, ErrBadTime) || first < 0 || first > MaxTime {
			t.Fatalf("%q: %d, %v", in, first, err)
		}
		if again, err2 := r.parse([]byte(in)); again != first || (err == nil) != (err2 == nil) {
			t.Fatalf("%q: %d, %v, the second time %d, %v", in, first, err, again, err2)
		}
	})
}

func BenchmarkTime(b *testing.B) {
	for _, in := range []string{"881250949", "2017-07-09 21:57:05", "2024-02-29T12:34:56.789012345Z"} {
		b.Run(in, func(b *testing.B) {
			var r timeReader
			field := []byte(in)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.parse(field); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
