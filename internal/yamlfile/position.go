package yamlfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Line and Column count from 1; columns count
// characters, not bytes.
type Position struct {
	File         string
	Line, Column int
}

// String returns file:line:column, or what is known of it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// IsZero reports whether the position is no place in a file: that of a value
// which the file does not have.
func (p Position) IsZero() bool { return p.Line == 0 }

// Errorf returns an error at the position.
func (p Position) Errorf(format string, args ...any) *Error {
	return &Error{Position: p, Message: fmt.Sprintf(format, args...)}
}

// Error is one mistake in a file.
type Error struct {
	Position Position
	Message  string
}

// Error returns "file:line:column: message".
func (e *Error) Error() string { return e.Position.String() + ": " + e.Message }

// Errors collects the mistakes of a file. As an error it is all of them, one a
// line; errors.As finds the single ones.
type Errors []*Error

// Add appends a mistake.
func (e *Errors) Add(p Position, format string, args ...any) {
	*e = append(*e, p.Errorf(format, args...))
}

// Append adds what err holds: the members of an Errors or a join, a single
// Error, or any other error as a mistake at p.
func (e *Errors) Append(p Position, err error) {
	switch err := err.(type) {
	case nil:
	case *Error:
		*e = append(*e, err)
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			e.Append(p, one)
		}
	default:
		e.Add(p, "%v", err)
	}
}

// Err returns the mistakes in the order of the files, or nil if there are none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	sorted := slices.Clone(e)
	slices.SortStableFunc(sorted, func(a, b *Error) int {
		p, q := a.Position, b.Position
		return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
	})
	return sorted
}

// Error returns one mistake a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single mistakes, each an *Error.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}
