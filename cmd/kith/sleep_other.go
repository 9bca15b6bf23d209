//go:build !linux

package main

import "time"

// sleepExactly sleeps for d, as exactly as a timer does.
func sleepExactly(d time.Duration) { time.Sleep(d) }
