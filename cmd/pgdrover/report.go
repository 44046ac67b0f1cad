package main

import (
	"fmt"
	"io"
	"strings"
)

// report prints what a check finds, one line each, and counts what is wrong.
type report struct {
	w      io.Writer
	paint  paint
	faults int
}

func newReport(w io.Writer) *report { return &report{w: w, paint: paintFor(w)} }

// ok says that something is as it should be.
func (r *report) ok(format string, args ...any) { r.line(r.paint.green("ok   "), format, args...) }

// note says what the operator may want to know or do.
func (r *report) note(format string, args ...any) { r.line(r.paint.yellow("note "), format, args...) }

// fault says what is wrong.
func (r *report) fault(format string, args ...any) {
	r.faults++
	r.line(r.paint.red("error"), format, args...)
}

// errors says what is wrong, with one line for each mistake that err holds.
func (r *report) errors(err error) {
	for one := range strings.SplitSeq(err.Error(), "\n") {
		r.fault("%s", one)
	}
}

func (r *report) line(mark, format string, args ...any) {
	fmt.Fprintf(r.w, "%s  %s\n", mark, fmt.Sprintf(format, args...))
}

// status ends the program with 1 after a fault, and says how many there were.
func (r *report) status() error {
	if r.faults == 0 {
		return nil
	}
	fmt.Fprintf(r.w, "%s\n", r.paint.bold(plural(r.faults, "error")))
	return exitStatus(exitError)
}
