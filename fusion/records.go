package fusion

import (
	"context"
	"errors"
	"io"

	"github.com/kith-io/kith/fusion/record"
)

// RecordStream yields the records of one source.
type RecordStream struct {
	ctx  context.Context // of Records: a record.Stream takes none at each step
	rows *rowReader
	rec  record.Record
}

var _ record.Stream = (*RecordStream)(nil)

// Records opens a source of any kind. Refused rows go to dead, which may be nil, and are counted by their reason; rows that the
// mapping's where does not take are counted as skipped. Sources of events and orders have an id in each record, the same as Events makes.
// Context ctx is looked at once in a while. Memory is constant. The caller must Close the stream.
func Records(ctx context.Context, m Mapping, dead *DeadLetterWriter) (*RecordStream, error) {
	rows, err := openTyped(ctx, m, dead)
	if err != nil {
		return nil, err
	}
	return &RecordStream{ctx: ctx, rows: rows, rec: record.Record{Place: record.Place{Source: rows.report.Name}}}, nil
}

// Fields returns the declared fields in their order, and then those that every source of the kind has.
func (s *RecordStream) Fields() []record.Field { return s.rows.typed.fields }

// Next returns the next record; see record.Stream.
func (s *RecordStream) Next() (record.Record, error) {
	if err := s.rows.next(s.ctx); err != nil {
		return record.Record{}, err
	}
	t := s.rows.typed
	s.rec.Place.File = s.rows.rec.File
	s.rec.Place.Line, s.rec.Place.Part = s.rows.rec.Line, s.rows.rec.Part
	s.rec.Values = t.values[:len(t.fields)]
	return s.rec, nil
}

// ReadRecords reads all records of a source, calls yield with each, and returns what became of the rows. The record is valid until yield
// returns. An error of yield ends the reading and is returned. A source without a good row is an error that matches ErrNoValidRow.
func ReadRecords(ctx context.Context, m Mapping, dead *DeadLetterWriter, yield func(fields []record.Field, rec record.Record) error) (Report, error) {
	s, err := Records(ctx, m, dead)
	if err != nil {
		return newReport(m.name()), err
	}
	for err == nil {
		var rec record.Record
		if rec, err = s.Next(); err == nil {
			err = yield(s.Fields(), rec)
		}
	}
	if err == io.EOF { //nolint:errorlint // a wrapped one is damage
		err = s.Check()
	}
	return s.Report(), errors.Join(err, s.Close())
}

// Idle makes f be called while a service that is followed has no rows (source.ErrIdle). Its errors end the stream.
func (s *RecordStream) Idle(f func() error) { s.rows.idle = f }

// Report returns what became of the rows so far. Its maps belong to the stream.
func (s *RecordStream) Report() Report { return s.rows.report }

// Check returns an error that matches ErrNoValidRow if no row was good. It is to be called after the last record.
func (s *RecordStream) Check() error {
	_, err := s.rows.finish()
	return err
}

// Close releases what Records took. It is safe to call twice.
func (s *RecordStream) Close() error { return s.rows.close() }

// openTyped opens a source whose rows become records.
func openTyped(ctx context.Context, m Mapping, dead *DeadLetterWriter) (*rowReader, error) {
	r, err := openSource(ctx, m, dead)
	if err != nil {
		return r, err
	}
	if r.typed == nil {
		r.typed, err = m.typedColumns(&r.at)
	}
	if err != nil {
		return r, errors.Join(m.fail(err), r.close())
	}
	return r, nil
}
