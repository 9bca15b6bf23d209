package fusion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/kith-io/kith/source"
)

const (
	// sampleRows is how many rows are looked at to find out what columns hold.
	sampleRows = 100
	// contextRows is how many rows are read between two looks at the context.
	contextRows = 1 << 14
	// unknownColumns in positions.need refuses every row.
	unknownColumns = math.MaxInt
)

// row is what a good row says. Its bytes are valid until the next row.
type row struct {
	user, item []byte
	behavior   Behavior
	value      float64
	time       int64
	id         []byte // of the source, nil if it has none
}

// rowReader reads the rows of one source, counts them, and sets aside those
// that it refuses.
type rowReader struct {
	m         *Mapping
	src       *source.Reader
	at        positions
	behaviors behaviorTable
	constant  Behavior // of files without behavior column
	basket    []byte   // of baskets, the name of the source, that of the file if there are several, ':' and the line; otherwise nil
	comma     bool     // a comma may be a decimal point
	times     timeReader
	dead      *DeadLetterWriter
	report    Report
	refused   string       // the first row refused, for ErrNoValidRow
	idle      func() error // called at source.ErrIdle; may be nil
	source    sourceID
	file      string     // that source stands for
	typed     *typedRows // nil where the columns are all there is to say
	// fields and contextFields are scratch.
	fields        []byte
	contextFields [][]byte

	rec source.Record // of the row read last
	row
}

// openRows opens a source of events or orders, whose rows become those of events. The caller must close the reader. With an error, only
// the report of the reader may be used.
func openRows(ctx context.Context, m Mapping, dead *DeadLetterWriter) (*rowReader, error) {
	r, err := openSource(ctx, m, dead)
	if err != nil {
		return r, err
	}
	if err := r.makeEvents(); err != nil {
		return r, errors.Join(m.fail(err), r.close())
	}
	return r, nil
}

// makeEvents makes typed rows, if they are wanted, rows of events.
func (r *rowReader) makeEvents() (err error) {
	if r.typed == nil && r.m.Where != "" {
		r.typed, err = r.m.typedColumns(&r.at)
		return err
	}
	if r.typed == nil || r.typed.convs == nil {
		return nil
	}
	if r.typed.maker, err = NewEventMaker(r.typed.kind, r.typed.fields); err != nil {
		return err
	}
	r.at.context = nil
	for i, c := range r.typed.maker.context {
		r.at.context = append(r.at.context, contextColumn{c.key, i})
	}
	return nil
}

// openSource opens a source and finds its columns. The caller must close the reader. With an error, only the report of the reader may be used.
func openSource(ctx context.Context, m Mapping, dead *DeadLetterWriter) (_ *rowReader, err error) {
	r := &rowReader{m: &m, dead: dead, report: newReport(m.name()), source: newSourceID(m.name())}
	if err := m.validate(); err != nil {
		return r, err
	}
	o := m.Source
	o.KnownName = isUsualName
	if o.Header == source.HeaderAuto && (m.Columns.named() || m.namesColumns()) {
		o.Header = source.HeaderYes
	}
	o.Columns = append(o.Columns, m.Columns.names()...)
	if r.src, err = source.Open(ctx, m.Path, o); err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(m.fail(err), r.src.Close())
		}
	}()
	columns := m.Columns
	if columns.Behavior == "" && m.Behavior != "" && len(m.Behaviors) == 0 {
		columns.Behavior = None
	}
	return r, r.resolve(columns)
}

// resolve finds out which columns hold what, in which unit times are, and
// which behavior is meant.
func (r *rowReader) resolve(columns Columns) error {
	if len(r.m.Fields) > 0 {
		return r.resolveFields()
	}
	var sample []source.Record
	header := r.src.Columns()
	if header == nil {
		sample = r.src.Peek(sampleRows)
		if usualWidth(sample) == 0 {
			r.at = positions{need: unknownColumns}
			return nil
		}
	}
	var err error
	if r.at, err = columns.resolve(header, sample); err != nil {
		return err
	}
	if header != nil {
		r.src.Select(r.at.chosen()...)
		if r.at.time >= 0 || r.at.behavior >= 0 {
			sample = r.src.Peek(sampleRows)
		}
	}
	r.comma = r.src.Separator() != ","
	if r.src.Format() == source.Baskets {
		r.basket = []byte(r.report.Name)
	}
	r.behaviors = r.m.behaviorTable()
	if at := r.at.behavior; columns.Behavior == "" && at >= 0 && mayBeOther(header[at]) && !r.behaviors.knowsAny(sample, at) {
		r.at.behavior = -1
	}
	switch {
	case r.m.Behavior != "":
		r.constant = r.m.Behavior
	case r.at.value >= 0:
		r.constant = Rating
	default:
		r.constant = View
	}
	r.times = timeReader{unit: r.m.TimeUnit, layout: r.m.TimeLayout}
	if r.at.time >= 0 {
		var times [][]byte
		for _, rec := range sample {
			if r.at.time < len(rec.Fields) {
				times = append(times, trimBlanks(rec.Fields[r.at.time]))
			}
		}
		r.times.learn(times)
	}
	return nil
}

// resolveFields finds the columns of declared fields.
func (r *rowReader) resolveFields() error {
	header := r.src.Columns()
	width := len(header)
	var sample []source.Record
	if header == nil {
		sample = r.src.Peek(sampleRows)
		width = usualWidth(sample)
	}
	if r.src.Format() == source.Baskets {
		r.basket = append([]byte(r.report.Name), ':')
	}
	var err error
	if r.typed, err = r.m.typedFields(header, width); err != nil {
		return err
	}
	if header != nil {
		r.src.Select(r.typed.columns()...)
		sample = r.src.Peek(sampleRows)
	}
	r.typed.learn(sample)
	return nil
}

// next reads the next good row into r.row. It returns io.EOF after the last, or
// an error that ends the reading.
func (r *rowReader) next(ctx context.Context) error {
	for {
		if r.report.Read%contextRows == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		rec, err := r.src.Next()
		if err != nil {
			var bad *source.RowError
			switch {
			case errors.As(err, &bad):
				r.report.Read++
				if err := r.refuse(bad.Line, bad.Reason, bad.Detail, []byte(bad.Raw)); err != nil {
					return err
				}
				continue
			case err == io.EOF: //nolint:errorlint // a wrapped one is damage
				return io.EOF
			case errors.Is(err, source.ErrIdle):
				if r.idle != nil {
					if err := r.idle(); err != nil {
						return err
					}
				}
				continue
			}
			return fmt.Errorf("%s: after %d rows: %w", r.report.Name, r.report.Read, err)
		}
		r.report.Read++
		r.rec = rec
		repaired, err := r.convert(rec.Fields)
		if err == errSkipped { //nolint:errorlint // never wrapped
			r.report.Skipped++
			continue
		}
		if err != nil {
			if err := r.refuse(rec.Line, Code(err), err.Error(), nil); err != nil {
				return err
			}
			continue
		}
		r.report.Kept++
		if repaired {
			r.report.Repaired++
		}
		return nil
	}
}

// refuse counts a row, and hands it to the dead letters. The text of the row is
// that of the source if it is nil.
func (r *rowReader) refuse(line int64, code, detail string, raw []byte) error {
	r.report.reject(code)
	if r.m.Private() {
		detail, raw = Withheld, []byte{}
	}
	if r.refused == "" {
		r.refused = fmt.Sprintf("line %d: %s", line, detail)
		if file := r.src.File(); file != "" {
			r.refused = file + ", " + r.refused
		}
	}
	if r.dead == nil {
		return nil
	}
	if raw == nil {
		raw = r.src.Raw()
	}
	return r.dead.Write(DeadLetter{Source: r.report.Name, File: r.src.File(), Line: line, Reason: code, Detail: detail, Raw: string(raw)})
}

// convert makes r.row of the fields of a record, and typed values where they are wanted, or says why it cannot.
func (r *rowReader) convert(fields [][]byte) (repaired bool, err error) {
	t := r.typed
	if t == nil {
		return r.convertColumns(fields)
	}
	if t.convs == nil {
		if repaired, err = r.convertColumns(fields); err != nil {
			return false, t.skips(r, fields, err)
		}
		t.take(r, fields)
		return repaired, t.filter()
	}
	if repaired, err = t.convert(r, fields); err != nil || t.maker == nil {
		return repaired, err
	}
	return repaired, t.row(r)
}

// convertColumns makes r.row of the columns of a row.
func (r *rowReader) convertColumns(fields [][]byte) (repaired bool, err error) {
	if len(fields) < r.at.need {
		if r.at.need == unknownColumns {
			return false, fmt.Errorf("%w: none of the first %d rows can be read, so its columns are not known", ErrShortRow, sampleRows)
		}
		return false, fmt.Errorf("%w: %d fields, but column %d is mapped", ErrShortRow, len(fields), r.at.need)
	}
	if r.user, repaired, err = cleanKey(r.userOf(fields), "user", ErrNoUser, repaired); err != nil {
		return false, err
	}
	if r.item, repaired, err = cleanKey(fields[r.at.item], "item", ErrNoItem, repaired); err != nil {
		return false, err
	}
	if r.behavior, err = r.behaviorOf(fields); err != nil {
		return false, err
	}
	var comma bool
	if r.value, comma, err = r.valueOf(fields); err != nil {
		return false, err
	}
	if r.time, err = r.timeOf(fields); err != nil {
		return false, err
	}
	if r.id, err = r.idOf(fields); err != nil {
		return false, err
	}
	return repaired || comma, r.checkContext(fields)
}

// userOf returns the user of a row as it stands there.
func (r *rowReader) userOf(fields [][]byte) []byte {
	user := fields[r.at.user]
	if r.basket == nil {
		return user
	}
	r.basket = append(r.basket[:0], r.report.Name...)
	if r.rec.File != "" {
		r.basket = append(append(r.basket, '/'), r.rec.File...)
	}
	r.basket = append(append(r.basket, ':'), user...)
	return r.basket
}

func (r *rowReader) behaviorOf(fields [][]byte) (Behavior, error) {
	if r.at.behavior < 0 {
		return r.constant, nil
	}
	return r.behaviors.of(trimBlanks(fields[r.at.behavior]))
}

func (r *rowReader) timeOf(fields [][]byte) (int64, error) {
	if r.at.time < 0 {
		return 0, nil
	}
	return r.times.parse(trimBlanks(fields[r.at.time]))
}

// idOf returns the id that a row has of its own, nil if there is none.
func (r *rowReader) idOf(fields [][]byte) ([]byte, error) {
	if r.at.id < 0 {
		return nil, nil
	}
	id := trimBlanks(fields[r.at.id])
	return id, checkKey("id", id)
}

// valueOf returns the value of a row of the behavior r.behavior. A quantity
// that is not given is 1; a rating must be given.
func (r *rowReader) valueOf(fields [][]byte) (value float64, repaired bool, err error) {
	if r.at.value >= 0 {
		if field := trimBlanks(fields[r.at.value]); len(field) > 0 {
			return parseNumber(field, r.comma)
		}
	}
	if r.behavior == Rating {
		return 0, false, fmt.Errorf("%w: a rating without value", ErrBadValue)
	}
	return 1, false, nil
}

// cleanKey trims a key and checks it. Missing is the error for one that is not there.
func cleanKey(field []byte, what string, missing error, repaired bool) ([]byte, bool, error) {
	key := trimBlanks(field)
	if isMissing(key) {
		if len(key) > 0 {
			missing = fmt.Errorf("%w: %q stands for a missing value", missing, key)
		}
		return nil, false, missing
	}
	return key, repaired || len(key) < len(field), checkKey(what, key)
}

func (r *rowReader) checkContext(fields [][]byte) error {
	size := 0
	for _, c := range r.at.context {
		f := fields[c.at]
		if size += len(c.key) + len(f); size > MaxContextBytes || !utf8.Valid(f) {
			return fmt.Errorf("%w: at key %.40q", ErrBadContext, c.key)
		}
	}
	return nil
}

// finish returns the report, and an error if no row was good.
func (r *rowReader) finish() (Report, error) { return r.report, r.report.Check(r.refused) }

func (r *rowReader) close() error { return r.src.Close() }

// sourceOfRow returns the part of ids that stands for the source, and the file if there are several.
func (r *rowReader) sourceOfRow() sourceID {
	if r.rec.File != r.file {
		r.file = r.rec.File
		r.source = newSourceID(r.report.Name + "\x00" + r.file)
	}
	return r.source
}

// appendID appends to dst the id of a row that has none of its own.
func (r *rowReader) appendID(dst []byte) []byte {
	r.fields = r.fields[:0]
	for _, at := range [...]int{r.at.user, r.at.item, r.at.behavior, r.at.value, r.at.time} {
		if at >= 0 {
			r.fields = appendString(r.fields, r.rec.Fields[at])
		}
	}
	return r.sourceOfRow().appendID(dst, r.rec.Line, r.rec.Part, r.fields)
}
