package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"
)

// paint colours words for a terminal, or leaves them as they are.
type paint bool

// paintFor colours what goes to a terminal, unless NO_COLOR is set to anything or TERM says dumb.
func paintFor(w io.Writer) paint {
	file, ok := w.(*os.File)
	return paint(ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd())))
}

func (p paint) green(text string) string  { return p.in("32", text) }
func (p paint) yellow(text string) string { return p.in("33", text) }
func (p paint) red(text string) string    { return p.in("31", text) }
func (p paint) bold(text string) string   { return p.in("1", text) }

func (p paint) in(code, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// table prints rows in columns two blanks apart. The first row is the heading, if there is one.
func table(w io.Writer, rows ...[]string) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tab, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return tab.Flush()
}

// plural gives "1 shard" or "2 shards".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
