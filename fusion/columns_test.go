package fusion

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

func TestParseColumns(t *testing.T) {
	tests := []struct {
		in   string
		want Columns
	}{
		{"", Columns{}},
		{"  ", Columns{}},
		{"user=userId,item=movieId,weight=rating,time=timestamp", Columns{User: "userId", Item: "movieId", Value: "rating", Time: "timestamp"}},
		{"item=sku", Columns{Item: "sku"}},
		{" user = a b , value = 3 ", Columns{User: "a b", Value: "3"}},
		{"rating=-,time=-", Columns{Value: None, Time: None}},
		{"behavior=type,id=event,context.device=ua,context.shop=3", Columns{Behavior: "type", ID: "event", Context: map[string]string{"device": "ua", "shop": "3"}}},
		{"item=a=b", Columns{Item: "a=b"}},
		{"user,item,weight,time", Columns{User: "1", Item: "2", Value: "3", Time: "4", Behavior: None, ID: None}},
		{"user,item,-,time", Columns{User: "1", Item: "2", Value: None, Time: "4", Behavior: None, ID: None}},
		{"-,item,-,User", Columns{User: "4", Item: "2", Value: None, Time: None, Behavior: None, ID: None}},
		{"item,user,behavior,id,rating", Columns{User: "2", Item: "1", Value: "5", Time: None, Behavior: "3", ID: "4"}},
		{"2,1,3", Columns{User: "2", Item: "1", Value: "3", Time: None, Behavior: None, ID: None}},
		{"1,2,-,3", Columns{User: "1", Item: "2", Value: None, Time: "3", Behavior: None, ID: None}},
		{"7,12", Columns{User: "7", Item: "12", Value: None, Time: None, Behavior: None, ID: None}},
	}
	for _, tt := range tests {
		got, err := ParseColumns(tt.in)
		if err != nil || !cmp.Equal(got, tt.want) {
			t.Errorf("%q: %v %s", tt.in, err, cmp.Diff(tt.want, got))
		}
	}
}

func TestParseColumnsErrors(t *testing.T) {
	tests := []struct{ in, want string }{
		{"user=a,item", `"item" is not role=column`},
		{"user=,item=b", `"user=" is not role=column`},
		{"userId=a,item=b", `unknown role "userId"`},
		{"user=a,user=b", "user is given twice"},
		{"value=a,weight=b", "weight is given twice"},
		{"context.=a", "no key"},
		{"context.a=b,context.a=c", "context.a is given twice"},
		{"user=-,item=b", "user and item are needed"},
		{"userId,movieId", `unknown role "userId"`},
		{"user,weight", "user and item are needed"},
		{"user,item,user", "user is given twice"},
		{"user,item,,time", `unknown role ""`},
		{"1,item", `"item" stands among positions`},
		{"1,0", `"0" stands among positions`},
		{"1", "user and item are needed"},
		{"1,-", "user and item are needed"},
		{"1,2,3,4,5", "5 positions"},
	}
	for _, tt := range tests {
		got, err := ParseColumns(tt.in)
		if !errors.Is(err, ErrMapping) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "user, item, weight, time, behavior, id") {
			t.Errorf("%q: got %+v, %v; want an error with %q and the roles", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseColumns(f *testing.F) {
	for _, in := range []string{"", "user=a,item=b", "user,item,-,time", "2,1,3", "context.k=v", "=,=", "-,-", "1,1"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		c, err := ParseColumns(in)
		if err != nil {
			if !errors.Is(err, ErrMapping) {
				t.Fatalf("%q: %v; want ErrMapping", in, err)
			}
			return
		}
		m := Mapping{Path: "x", Columns: c}
		if err := m.validate(); err != nil {
			t.Fatalf("%q: parsed, but not valid: %v", in, err)
		}
		// Whatever the columns, finding them does not panic, and gives a place in the file.
		p, err := c.resolve([]string{"user", "item", "rating"}, nil)
		if err != nil {
			return
		}
		for _, at := range p.chosen() {
			if at < -1 || at >= 3 || at >= p.need {
				t.Fatalf("%q: column %d of 3, need %d", in, at, p.need)
			}
		}
	})
}

// sampleOf makes records of lines with fields between commas.
func sampleOf(lines ...string) []source.Record {
	var out []source.Record
	for _, line := range lines {
		var rec source.Record
		for f := range strings.SplitSeq(line, ",") {
			rec.Fields = append(rec.Fields, []byte(f))
		}
		out = append(out, rec)
	}
	return out
}

func TestResolveColumns(t *testing.T) {
	const no = -1
	tests := []struct {
		name   string
		c      Columns
		header string
		sample []source.Record
		want   [6]int // user, item, value, time, behavior, id
	}{
		{"MovieLens", Columns{}, "userId,movieId,rating,timestamp", nil, [6]int{0, 1, 2, 3, no, no}},
		{"any order, other columns", Columns{}, "x,Item-ID,y,CUSTOMER_ID,event type", nil, [6]int{3, 1, no, no, 4, no}},
		{"first usual name wins", Columns{}, "customer,user,product,item,quantity,rating", nil, [6]int{1, 3, 5, no, no, no}},
		{"by name", Columns{User: "b", Item: "A"}, "a,b,rating", nil, [6]int{1, 0, 2, no, no, no}},
		{"exact name before other case", Columns{User: "a", Item: "item"}, "A,a,item", nil, [6]int{1, 2, no, no, no, no}},
		{"by position", Columns{User: "2", Item: "1"}, "user,item", nil, [6]int{1, 0, no, no, no, no}},
		{"name before position", Columns{User: "2", Item: "3"}, "2,x,y", nil, [6]int{0, 2, no, no, no, no}},
		{"none", Columns{Value: None, Time: None}, "user,item,rating,time", nil, [6]int{0, 1, no, no, no, no}},
		{"taken by another role", Columns{ID: "event"}, "event,user,item", nil, [6]int{1, 2, no, no, no, 0}},
		{"id", Columns{}, "event_id,user,item", nil, [6]int{1, 2, no, no, no, 0}},

		{"no header, two", Columns{}, "", sampleOf("1,2", "3,4"), [6]int{0, 1, no, no, no, no}},
		{"no header, ratings", Columns{}, "", sampleOf("1,2,3.5", "3,4,5"), [6]int{0, 1, 2, no, no, no}},
		{"no header, numbers with gaps", Columns{}, "", sampleOf("1,2,", "3,4,5"), [6]int{0, 1, 2, no, no, no}},
		{"no header, third is text", Columns{}, "", sampleOf("1,2,buy", "3,4,5"), [6]int{0, 1, no, no, no, no}},
		{"no header, third is Unix time", Columns{}, "", sampleOf("1,2,881250949", "3,4,891717742"), [6]int{0, 1, no, 2, no, no}},
		{"no header, third is date", Columns{}, "", sampleOf("1,2,2024-01-31"), [6]int{0, 1, no, 2, no, no}},
		{"no header, four", Columns{}, "", sampleOf("196,242,3,881250949", "1,2,5,891717742"), [6]int{0, 1, 2, 3, no, no}},
		{"no header, time before rating", Columns{}, "", sampleOf("196,242,881250949,3"), [6]int{0, 1, 3, 2, no, no}},
		{"no header, fourth is text", Columns{}, "", sampleOf("1,2,3,x"), [6]int{0, 1, 2, no, no, no}},
		{"no header, more than four", Columns{}, "", sampleOf("1,2,3,4,5,6"), [6]int{0, 1, 2, 3, no, no}},
		{"no header, user and item swapped", Columns{User: "2"}, "", sampleOf("1,2,3"), [6]int{1, 0, 2, no, no, no}},
		{"no header, value elsewhere", Columns{Value: "5"}, "", sampleOf("1,2,881250949,x,5"), [6]int{0, 1, 4, 2, no, no}},
		{"no header, odd rows first", Columns{}, "", sampleOf("92834", "1,2,3", "4,5,6"), [6]int{0, 1, 2, no, no, no}},
		{"no header, none", Columns{Value: None, Time: None}, "", sampleOf("1,2,3,4"), [6]int{0, 1, no, no, no, no}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var header []string
			if tt.header != "" {
				header = strings.Split(tt.header, ",")
			}
			p, err := tt.c.resolve(header, tt.sample)
			got := [6]int{p.user, p.item, p.value, p.time, p.behavior, p.id}
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestResolveContext(t *testing.T) {
	c := Columns{Context: map[string]string{"b": "user", "a": "shop"}}
	p, err := c.resolve([]string{"user", "item", "shop"}, nil)
	if err != nil || p.need != 3 || !cmp.Equal(p.context, []contextColumn{{"a", 2}, {"b", 0}}, cmp.AllowUnexported(contextColumn{})) {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestResolveErrors(t *testing.T) {
	tests := []struct {
		name, header string
		c            Columns
		want         string
	}{
		{"no user", "id,item,rating", Columns{}, "no column for the user; the file has the columns id, item, rating: name it, as in columns user=NAME"},
		{"no item", "uid,sid,3", Columns{}, "no column for the item"},
		{"unknown name", "user,item", Columns{Value: "stars"}, `weight column "stars" is not there; the file has the columns user, item`},
		{"position beyond the last", "user,item", Columns{Time: "3"}, "time column 3 is beyond the last"},
		{"twice", "user,item", Columns{User: "item", Item: "item"}, "user and item are both column item"},
		{"ambiguous case", "User,USER,item", Columns{User: "user"}, "one of 2 that differ in case only"},
		{"unknown context", "user,item", Columns{Context: map[string]string{"k": "x"}}, `context.k column "x" is not there`},
		{"many columns", "a" + strings.Repeat(",a", 99), Columns{User: "x"}, "a, ..."},
		{"no header", "", Columns{User: "3"}, "the file has no header, and rows of 2 fields"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var header []string
			if tt.header != "" {
				header = strings.Split(tt.header, ",")
			}
			_, err := tt.c.resolve(header, sampleOf("1,2"))
			if !errors.Is(err, ErrMapping) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want an error with %q", err, tt.want)
			}
		})
	}
}

func TestUsualNamesAreOfOneRole(t *testing.T) {
	of := map[string]string{}
	for role, names := range usual {
		for _, name := range names {
			if fold(name) != name {
				t.Errorf("%s is not folded", name)
			}
			if other := of[name]; other != "" {
				t.Errorf("%s is of %s and of %s", name, other, role)
			}
			of[name] = role
		}
	}
	if !isUsualName("User_ID") || isUsualName("lamp") {
		t.Error("isUsualName")
	}
}

func TestRaggedRowsAreNotGuessed(t *testing.T) {
	lines := "1 10 11 12 13\n2 10\n3 11 12 13 14 15 16\n4 12 13\n5 1 2 3 4 5\n"
	path := filepath.Join(t.TempDir(), "sequences.txt")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := ReadTable(t.Context(), []Mapping{{Path: path}}, DefaultWeights(), 0, nil)
	if !errors.Is(err, ErrMapping) || !strings.Contains(err.Error(), "lines or baskets") {
		t.Errorf("got %v, want ErrMapping and the remedy", err)
	}
	table, _, err := ReadTable(t.Context(), []Mapping{{Path: path, Source: source.Options{Format: source.Lines}}}, DefaultWeights(), 0, nil)
	if err != nil || len(table.Item) != 18 {
		t.Errorf("as lines: got %v, %v, want 18 entries", table, err)
	}
}
