package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// The first bytes of compressed files.
const (
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
)

// foreign lists the first bytes of files that people take for tables, and what
// to do about them.
var foreign = []struct{ magic, kind, remedy string }{
	{"PK\x03\x04", "a zip archive or a workbook (.xlsx)", "unpack it, or save it as CSV"},
	{"\xd0\xcf\x11\xe0", "an old workbook (.xls)", "save it as CSV"},
	{"BZh", "compressed with bzip2", "decompress it, or compress it with gzip or zstd"},
	{"\xfd7zXZ", "compressed with xz", "decompress it, or compress it with gzip or zstd"},
	{"7z\xbc\xaf", "a 7-Zip archive", "unpack it"},
	{"SQLite f", "an SQLite database", "export the table as CSV"},
	{"Obj\x01", "Avro", "convert it to Parquet"},
	{"\x89HDF", "HDF5", "convert it to Parquet"},
	{"ARROW1", "Arrow (Feather)", "convert it to Parquet"},
}

// checkMagic refuses what would be read as nonsense.
func checkMagic(magic []byte, parquet bool) error {
	for _, f := range foreign {
		if bytes.HasPrefix(magic, []byte(f.magic)) && (f.magic != "BZh" || bytes.HasSuffix(magic, []byte("1AY&"))) {
			return fmt.Errorf("%w: it is %s; %s", ErrFormat, f.kind, f.remedy)
		}
	}
	if parquet && (bytes.HasPrefix(magic, []byte(gzipMagic)) || bytes.HasPrefix(magic, []byte(zstdMagic))) {
		return fmt.Errorf("%w: it is a Parquet file in a compressed stream; decompress it (Parquet compresses its columns itself)", ErrFormat)
	}
	return nil
}

// decompress returns a reader of what is in br if its first bytes are those
// of gzip or zstd, otherwise nil.
func decompress(br *bufio.Reader, magic []byte, bound *expansion) (io.ReadCloser, error) {
	switch {
	case bytes.HasPrefix(magic, []byte(gzipMagic)):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %w", ErrCorrupt, err)
		}
		return &corruptReader{z, "gzip", bound}, nil
	case bytes.HasPrefix(magic, []byte(zstdMagic)):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("%w: zstd: %w", ErrCorrupt, err)
		}
		return &corruptReader{z.IOReadCloser(), "zstd", bound}, nil
	}
	return nil, nil
}

// maxWindow is the most that a zstd file may make us keep of what came before: what the zstd program takes without being asked, too.
const maxWindow = 128 << 20

// expansionFree is what a file may expand to, however small it is.
const expansionFree = 64 << 20

// expansion bounds what a compressed file expands to. It counts what is read of the file.
type expansion struct {
	in    io.Reader
	most  int64 // times
	read  int64
	wrote int64
}

// Read implements io.Reader.
func (e *expansion) Read(p []byte) (int, error) {
	n, err := e.in.Read(p)
	e.read += int64(n)
	return n, err
}

// check is told that n more bytes were decompressed.
func (e *expansion) check(n int) error {
	if e.wrote += int64(n); e.wrote > expansionFree && e.wrote/e.most > e.read {
		return fmt.Errorf("%d bytes expand to more than %d times as many; if the file is good, raise max_expansion", e.read, e.most)
	}
	return nil
}

// corruptReader marks errors of a decompressor as ErrCorrupt.
type corruptReader struct {
	io.ReadCloser
	what  string
	bound *expansion
}

// Read implements io.Reader.
func (c *corruptReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if tooMuch := c.bound.check(n); tooMuch != nil {
		err = tooMuch
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped one is damage
		err = fmt.Errorf("%w: %s: %w", ErrCorrupt, c.what, err)
	}
	return n, err
}

// checkText refuses what is no text in a known encoding, given its first bytes.
func checkText(sample []byte, separator string) error {
	var zeros [2]int // at even and odd places
	control := 0
	for i, c := range sample {
		switch {
		case strings.IndexByte(separator, c) >= 0:
		case c == 0:
			zeros[i&1]++
			control++
		case c < ' ' && (c < '\t' || c > '\r') && c != '\x1b':
			control++
		}
	}
	half := len(sample) / 2
	if few, many := min(zeros[0], zeros[1]), max(zeros[0], zeros[1]); many >= 2 && 2*many > half && 8*few < many {
		order := "utf-16le"
		if zeros[0] > zeros[1] {
			order = "utf-16be"
		}
		return fmt.Errorf("%w: it looks like UTF-16 without a byte-order mark; give the encoding %s", ErrFormat, order)
	}
	if control >= 8 && 50*control > len(sample) {
		return fmt.Errorf("%w: %d of its first %d bytes are control characters, so it is no text; is it compressed or a database?", ErrFormat, control, len(sample))
	}
	return nil
}

// decodeText turns text in encoding enc into UTF-8 without byte-order mark.
//
// If what is returned are the bytes of r from one on, plain is the number of bytes before it, otherwise -1.
func decodeText(r io.Reader, enc string) (text io.Reader, plain int, err error) {
	switch strings.ToLower(enc) {
	case "latin1", "latin-1", "iso-8859-1":
		return charmap.ISO8859_1.NewDecoder().Reader(r), -1, nil
	case "windows-1252", "cp1252":
		return charmap.Windows1252.NewDecoder().Reader(r), -1, nil
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().Reader(r), -1, nil
	case "utf-16", "utf16", "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(r), -1, nil
	}
	br := bufio.NewReaderSize(r, 64<<10)
	bom, err := br.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, -1, err
	}
	switch {
	case len(bom) >= 2 && (bom[0] == 0xff && bom[1] == 0xfe || bom[0] == 0xfe && bom[1] == 0xff):
		return unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Reader(br), -1, nil
	case bytes.Equal(bom, []byte{0xef, 0xbb, 0xbf}):
		if _, err := br.Discard(3); err != nil {
			return nil, -1, err
		}
		plain = 3
	}
	return br, plain, nil
}

// plainName strips the directory and a compression extension.
func plainName(name string) string {
	name = filepath.Base(name)
	for _, ext := range []string{".gz", ".zst", ".zstd"} {
		if s, ok := strings.CutSuffix(strings.ToLower(name), ext); ok {
			return s
		}
	}
	return strings.ToLower(name)
}

func isParquetName(name string) bool {
	ext := filepath.Ext(plainName(name))
	return ext == ".parquet" || ext == ".pq"
}
