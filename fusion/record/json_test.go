package record

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
)

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		v    Value
		want string
	}{
		{Value{}, `null`},
		{OfText(""), `""`},
		{OfText("2025-03-01T12:00:00Z"), `"2025-03-01T12:00:00Z"`},
		{OfText(`a "b" <c>`), `"a \"b\" \u003cc\u003e"`},
		{OfNumber(-1.5), `-1.5`},
		{OfNumber(math.MaxFloat64), `1.7976931348623157e+308`},
		{OfBool(true), `true`},
		{OfBool(false), `false`},
		{OfTime(1740830400000), `"2025-03-01T12:00:00Z"`},
		{OfTime(1740830400123), `"2025-03-01T12:00:00.123Z"`},
		{OfTime(-1), `"1969-12-31T23:59:59.999Z"`},
	} {
		b, err := json.Marshal(c.v)
		if err != nil || string(b) != c.want {
			t.Errorf("%v: %s, %v; want %s", c.v, b, err, c.want)
		}
		var back Value
		if err = json.Unmarshal(b, &back); err == nil {
			back, err = back.As(c.v.Type())
		}
		if err != nil || back != c.v {
			t.Errorf("%s: read as %#v, %v; want %#v", b, back, err, c.v)
		}
	}
	var v Value
	for _, bad := range []string{`{}`, `[1]`} {
		if err := json.Unmarshal([]byte(bad), &v); !errors.Is(err, ErrJSON) {
			t.Errorf("%s: error %v, want ErrJSON", bad, err)
		}
	}
	if _, err := OfText("soon").As(Time); !errors.Is(err, ErrJSON) {
		t.Errorf("error %v, want ErrJSON", err)
	}
	var typ Type
	if err := json.Unmarshal([]byte(`"money"`), &typ); !errors.Is(err, ErrJSON) {
		t.Errorf("error %v, want ErrJSON", err)
	}
}

func TestFloat(t *testing.T) {
	for x, want := range map[Float]string{0.1: `0.1`, Float(math.Inf(1)): `"Infinity"`, Float(math.Inf(-1)): `"-Infinity"`, Float(math.NaN()): `"NaN"`} {
		b, err := json.Marshal(x)
		if err != nil || string(b) != want {
			t.Errorf("%v: %s, %v; want %s", x, b, err, want)
		}
		var back Float
		if err := json.Unmarshal(b, &back); err != nil || back != x && x == x {
			t.Errorf("%s: read as %v, %v", b, back, err)
		}
	}
}
