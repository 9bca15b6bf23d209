package wire

import (
	"errors"
	"io"
)

// Receive calls f with each message of a stream, until it ends, which is no error, or fails, or f does.
func Receive[M any](stream interface{ Recv() (*M, error) }, f func(*M) error) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
	}
}
