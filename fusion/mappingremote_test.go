package fusion

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

func TestMappingOfServices(t *testing.T) {
	ms, err := parseMappings([]byte(`
sources:
  - name: orders
    path: postgres://reader@db/shop
    query: select * from orders
    cursor: [updated_at, id]
    password_env: SHOP
  - path: mysql://reader:s3cret@db:3306/shop?tls=true
    table: views
    cursor: id
  - path: kafka://broker/clicks
    message_fields: [user.id, sku]
    group: g
    follow: true
  - path: s3://bucket/logs/*.csv
    endpoint: http://localhost:9000
    region: eu
`), "/dir", MappingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Name, Path string
		Remote     source.Remote
	}
	var got []row
	for _, m := range ms {
		got = append(got, row{m.name(), m.Path, m.Source.Remote})
	}
	want := []row{
		{"orders", "postgres://reader@db/shop", source.Remote{Query: "select * from orders", Cursor: []string{"updated_at", "id"}, PasswordEnv: "SHOP"}},
		{"mysql://db:3306/shop/views", "mysql://reader:s3cret@db:3306/shop?tls=true", source.Remote{Table: "views", Cursor: []string{"id"}}},
		{"kafka://broker/clicks", "kafka://broker/clicks", source.Remote{Fields: []string{"user.id", "sku"}, Group: "g", Follow: true}},
		{"s3://bucket/logs/*.csv", "s3://bucket/logs/*.csv", source.Remote{Endpoint: "http://localhost:9000", Region: "eu"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
}

func TestMappingOfServicesMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"{path: a.csv, table: t}":                       "table is for a path that is a URL",
		"{path: 'postgres://h/d', cursor: {}}":          ":1:44:",
		"{path: 'kafka://h/t', message_fields: {a: b}}": ":1:49:",
	} {
		_, err := parseMappings([]byte("sources: ["+text+"]"), "", MappingOptions{})
		if !errors.Is(err, ErrMapping) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want ErrMapping with %q", text, err, want)
		}
	}
}
