//go:build ignore

// Makedictionary writes dictionary.zst out of the word lists of github.com/go-ego/gse: go run makedictionary.go FILE... > dictionary.zst
package main

import (
	"bufio"
	"encoding/binary"
	"log"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

func main() {
	counts := map[string]uint64{}
	for _, name := range os.Args[1:] {
		file, err := os.Open(name)
		if err != nil {
			log.Fatal(err)
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			fields := strings.Fields(lines.Text()) // word, count, part of speech
			if len(fields) < 2 || strings.ContainsFunc(fields[0], func(r rune) bool { return !unicode.Is(unicode.Han, r) }) {
				continue
			}
			n, err := strconv.ParseUint(fields[1], 10, 32)
			if err != nil {
				log.Fatalf("%s: %v", name, err)
			}
			if len := utf8.RuneCountInString(fields[0]); len <= 8 && n > 0 {
				counts[fields[0]] = max(counts[fields[0]], n)
			}
		}
		if err := lines.Err(); err != nil {
			log.Fatal(err)
		}
	}
	var out []byte
	before := ""
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		shared := 0
		for shared < min(len(word), len(before)) && word[shared] == before[shared] {
			shared++
		}
		out = binary.AppendUvarint(out, uint64(shared))
		out = binary.AppendUvarint(out, uint64(len(word)-shared))
		out = append(out, word[shared:]...)
		out = binary.AppendUvarint(out, counts[word])
		before = word
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(enc.EncodeAll(out, nil)); err != nil {
		log.Fatal(err)
	}
}
