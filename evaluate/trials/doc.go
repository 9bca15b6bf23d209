// Package trials makes the trials of a tuning on the servers of a cluster: Workers hands them out, and a Service on each server makes them.
//
// The one who tunes owns the work: it sends the experiment to each server, keeps what is to be tried, and gives a server the next trial when one is done. A server keeps nothing
// when the stream ends. It builds the validation data by the same code, and says the fingerprint that it found: one that found another is not used. So the figures do not depend
// on who makes a trial, nor on how many servers there are.
//
// The experiment goes over the wire as encoding/gob has it, which servers read only of the same version of the program.
package trials
