package auth

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/kith-io/kith/node/wire"
)

// Route puts the Guard before the handler of a route, which is named by its pattern in the table.
func (g *Guard) Route(pattern string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{name: pattern, bearer: r.Header.Values("Authorization"), state: r.TLS, from: r.RemoteAddr, began: g.cfg.Now()}
		err := g.admit(r.Context(), c)
		if err != nil {
			g.note(c, nil, err)
			refuse(w, err)
			return
		}
		h.ServeHTTP(w, r)
		g.note(c, nil, nil)
	})
}

// refusal is the answer to a request that was refused.
type refusal struct {
	Error struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"error"`
}

func refuse(w http.ResponseWriter, err error) {
	code := http.StatusForbidden
	switch {
	case errors.Is(err, wire.ErrUnauthenticated):
		code = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", "Bearer")
	case errors.Is(err, wire.ErrLimited):
		code = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wire.RetryIn(err).Seconds())))))
	}
	var out refusal
	out.Error.Reason, out.Error.Message = wire.Reason(err), err.Error()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Connection", "close") // the body is not read
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(out) // a client that has gone needs no answer
}
