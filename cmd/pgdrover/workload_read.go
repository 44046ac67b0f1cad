package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/pgdrover/pgdrover/router"
)

// sample is a statement of a workload.
type sample struct {
	text  []byte // empty: it is not known
	calls int64
	at    string // file:line:column
	read  int64  // bytes of the file up to here
}

// samples reads the statements that the options name, and tells how many bytes there are; 0: that is not known.
func (o routeOptions) samples(stdin io.Reader) (iter.Seq2[sample, error], int64, error) {
	flag, name := "--file", o.file
	if o.statements != "" {
		flag, name = "--statements", o.statements
	}
	in, size, shown := io.NopCloser(stdin), int64(0), "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", flag, err)
		}
		if stat, err := file.Stat(); err == nil && stat.Mode().IsRegular() {
			size = stat.Size()
		}
		in, shown = file, name
	}
	if o.statements != "" {
		return closing(in, dumpSamples(shown, in)), size, nil
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", flag, err)
	}
	return scriptSamples(shown, text), int64(len(text)), nil
}

// closing closes in when the samples have been read.
func closing(in io.Closer, samples iter.Seq2[sample, error]) iter.Seq2[sample, error] {
	return func(yield func(sample, error) bool) {
		defer in.Close()
		samples(yield)
	}
}

// scriptSamples are the statements of a script. Text that is no SQL ends it with an error.
func scriptSamples(name string, text []byte) iter.Seq2[sample, error] {
	return func(yield func(sample, error) bool) {
		line, begin, seen := 1, 0, 0 // of the part that has been counted
		for p := range router.Parts(text) {
			line += bytes.Count(text[seen:p.Off], []byte{'\n'})
			if last := bytes.LastIndexByte(text[:p.Off], '\n'); last >= begin {
				begin = last + 1
			}
			seen = p.Off
			at := fmt.Sprintf("%s:%d:%d", name, line, 1+utf8.RuneCount(text[begin:p.Off]))
			if p.Bad {
				yield(sample{}, unreadable(at, text[p.Off]))
				return
			}
			if !yield(sample{text: text[p.Off:p.End], calls: 1, at: at, read: int64(p.End)}, nil) {
				return
			}
		}
	}
}

// unreadable is the error for text that PostgreSQL's scanner rejects.
func unreadable(at string, first byte) error {
	switch first {
	case '\\':
		return fmt.Errorf("%s: a command of psql is no SQL: remove it, and data that follows COPY", at)
	case '\'', '"', '$', '/', 'e', 'E', 'u', 'U', 'b', 'B', 'x', 'X':
		return fmt.Errorf("%s: what begins here, a quote or a comment, does not end", at)
	}
	return fmt.Errorf("%s: the character %q begins nothing in SQL", at, first)
}

// dumpSamples are the rows of a CSV file with a header. Its column query has the statements, and its column calls how
// often each ran: once, if there is none.
func dumpSamples(name string, in io.Reader) iter.Seq2[sample, error] {
	return func(yield func(sample, error) bool) {
		r := csv.NewReader(in)
		r.ReuseRecord = true
		header, err := r.Read()
		if err != nil {
			yield(sample{}, csvError(name, err))
			return
		}
		query, calls := slices.Index(header, "query"), slices.Index(header, "calls")
		if query < 0 {
			yield(sample{}, fmt.Errorf("%s:1:1: the header has no column \"query\": write the file with psql --csv -c 'select query, calls from pg_stat_statements'", name))
			return
		}
		for {
			row, err := r.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(sample{}, csvError(name, err))
				return
			}
			s := sample{calls: 1, read: r.InputOffset()}
			if calls >= 0 {
				line, column := r.FieldPos(calls)
				if s.calls, err = strconv.ParseInt(row[calls], 10, 64); err != nil || s.calls < 0 {
					yield(sample{}, fmt.Errorf("%s:%d:%d: calls: %q is no count", name, line, column, row[calls]))
					return
				}
			}
			line, column := r.FieldPos(query)
			s.at = fmt.Sprintf("%s:%d:%d", name, line, column)
			if !yieldParts(yield, s, []byte(row[query])) {
				return
			}
		}
	}
}

// yieldParts yields the statements of one row: one, as the server writes them.
func yieldParts(yield func(sample, error) bool, s sample, text []byte) bool {
	parts := router.Split(text)
	if len(parts) == 0 {
		parts = [][]byte{nil}
	}
	for _, s.text = range parts {
		if !yield(s, nil) {
			return false
		}
	}
	return true
}

// csvError names the place of a mistake in CSV.
func csvError(name string, err error) error {
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse):
		return fmt.Errorf("%s:%d:%d: %w", name, parse.Line, parse.Column, parse.Err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s:1:1: the file is empty: its first line names the columns, query and calls", name)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// readingEvery is how often a long reading says how far it is.
const readingEvery = 5 * time.Second

// reading says how far it is, if it takes long.
type reading struct {
	w     io.Writer
	size  int64 // 0: not known
	every time.Duration
	next  time.Time
	count int
}

func newReading(w io.Writer, size int64) *reading {
	return &reading{w: w, size: size, every: readingEvery, next: time.Now().Add(readingEvery)}
}

// at counts a statement, of which the last byte is at read.
func (p *reading) at(read int64) {
	p.count++
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(p.every)
	if p.size == 0 {
		fmt.Fprintf(p.w, "%s read\n", plural(p.count, "statement"))
		return
	}
	fmt.Fprintf(p.w, "%s read, %d%% of the file\n", plural(p.count, "statement"), 100*min(read, p.size)/p.size)
}
