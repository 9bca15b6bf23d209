package auth

import (
	"context"
	"net/http"

	"github.com/kith-io/kith/node/wire"
)

// Route puts the Guard before the handler of a route, which is named by its pattern in the table.
func (g *Guard) Route(pattern string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := g.enter(pattern, w, r)
		if !ok {
			return
		}
		h.ServeHTTP(w, r)
		g.note(c, nil, nil)
	})
}

// admittedKey is that of a *call in a context.
type admittedKey struct{}

// Method puts the Guard before a handler that calls a method of gRPC in this process through Unary or Stream. The rule is that of the method. The
// caller is asked for and counted here, before the body is read, and not again by the call; what came of it is noted there.
func (g *Guard) Method(fullMethod string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := g.enter(fullMethod, w, r); ok {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), admittedKey{}, c)))
		}
	})
}

// admitted returns the call of a method that Method has let in, or else nil.
func admitted(ctx context.Context, method string) *call {
	if c, ok := ctx.Value(admittedKey{}).(*call); ok && c.name == method {
		return c
	}
	return nil
}

// enter authorizes and counts a request, or answers with why not.
func (g *Guard) enter(name string, w http.ResponseWriter, r *http.Request) (c *call, ok bool) {
	c = &call{name: name, bearer: r.Header.Values("Authorization"), state: r.TLS, from: r.RemoteAddr, began: g.cfg.Now()}
	if err := g.admit(r.Context(), c); err != nil {
		g.note(c, nil, err)
		w.Header().Set("Connection", "close") // the body is not read
		wire.WriteHTTP(w, err)
		return c, false
	}
	return c, true
}
