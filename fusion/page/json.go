package page

import (
	"encoding/json"
	"io"

	"github.com/kith-io/kith/fusion/pipeline"
)

// run is what the JSON form says of the run that a report is of; see About.
type run struct {
	// Complete says that the run came to its end. If it did not, Error tells why, and the report has what was done until then.
	Complete    bool    `json:"complete"`
	Error       string  `json:"error,omitempty"`
	DryRun      bool    `json:"dry_run"`
	Share       string  `json:"share,omitempty"`
	Mapping     string  `json:"mapping,omitempty"`
	Version     string  `json:"version,omitempty"`
	Started     int64   `json:"started_unix_ms,omitempty"`
	Seconds     float64 `json:"seconds"`
	DeadLetters string  `json:"dead_letters,omitempty"`
}

// WriteJSON writes the report as JSON, with what About says of the run under the key run.
func WriteJSON(w io.Writer, report *pipeline.Report, about About) error {
	of := run{
		Complete: about.Err == nil, DryRun: about.DryRun, Share: about.Share, Mapping: about.Mapping, Version: about.Version,
		Seconds: about.Took.Seconds(), DeadLetters: about.DeadLetters,
	}
	if about.Err != nil {
		of.Error = about.Err.Error()
	}
	if !about.Started.IsZero() {
		of.Started = about.Started.UnixMilli()
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		Run run `json:"run"`
		*pipeline.Report
	}{of, report})
}
