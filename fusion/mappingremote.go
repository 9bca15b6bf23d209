package fusion

import (
	"fmt"

	"github.com/kith-io/kith/source"
)

// remote returns the keys as package source has them. A file has none of them.
func (e *mappingEntry) remote() (source.Remote, error) {
	r := source.Remote{
		Table: e.Table, Query: e.Query, Cursor: e.Cursor, PasswordEnv: e.PasswordEnv,
		Endpoint: e.Endpoint, Region: e.Region, Group: e.Group, Fields: e.MessageFields, Follow: e.Follow,
	}
	if given := r.Given(); len(given) > 0 && source.Scheme(e.Path) == "" {
		return r, fmt.Errorf("%w: %s is for a path that is a URL, such as postgres://user@host/database; %s is a file", ErrMapping, given[0], e.Path)
	}
	return r, nil
}
