package assist

import (
	"context"
	"time"
)

// OnWait lets a test see pauses instead of waiting.
func (c *Client) OnWait(f func(d time.Duration) error) {
	c.wait = func(_ context.Context, d time.Duration) error { return f(d) }
}

// FillIn is fillIn.
var FillIn = fillIn
