package fusion

import (
	"fmt"

	"github.com/kith-io/kith/source"
)

// mappingRemote has the keys of a source whose path is a URL; see docs/sources.md. All are optional:
//
//	path: postgres://reader@db.example.com/shop
//	table: orders               # or query: select ..., of databases
//	cursor: [updated_at, id]    # or one column
//	password_env: SHOP_PASSWORD # the environment variable that has the password
//	endpoint: https://s3.example.com # of object stores, and region
//	group: kith                 # of Kafka, and message_fields, the list of what its messages hold
//	follow: true                # of Kafka: wait for what comes
type mappingRemote struct {
	Table       string    `yaml:"table"`
	Query       string    `yaml:"query"`
	Cursor      oneOrMany `yaml:"cursor"`
	PasswordEnv string    `yaml:"password_env"`
	Endpoint    string    `yaml:"endpoint"`
	Region      string    `yaml:"region"`
	Group       string    `yaml:"group"`
	Fields      []string  `yaml:"message_fields"`
	Follow      bool      `yaml:"follow"`
}

// remote returns the keys as package source has them. A file has none of them.
func (m *mappingRemote) remote(path string) (source.Remote, error) {
	r := source.Remote{
		Table: m.Table, Query: m.Query, Cursor: m.Cursor, PasswordEnv: m.PasswordEnv,
		Endpoint: m.Endpoint, Region: m.Region, Group: m.Group, Fields: m.Fields, Follow: m.Follow,
	}
	if given := r.Given(); len(given) > 0 && source.Scheme(path) == "" {
		return r, fmt.Errorf("%w: %s is for a path that is a URL, such as postgres://user@host/database; %s is a file", ErrMapping, given[0], path)
	}
	return r, nil
}

// oneOrMany is a list, of which a single text may be written alone.
type oneOrMany []string

// UnmarshalYAML takes a text or a list of texts.
func (o *oneOrMany) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if err := unmarshal(&one); err == nil {
		*o = oneOrMany{one}
		return nil
	}
	return unmarshal((*[]string)(o))
}
