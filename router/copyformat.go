package router

import (
	"slices"
	"strings"
)

// CopyFormat is how the data of a COPY is written.
type CopyFormat uint8

// The formats of COPY.
const (
	CopyText CopyFormat = iota
	CopyCSV
	CopyBinary
)

// String returns the word of the FORMAT option.
func (f CopyFormat) String() string { return [...]string{"text", "csv", "binary"}[min(f, CopyBinary)] }

// CopyOptions are the options of a COPY, as far as they say where its rows and fields end. What a server refuses is not
// refused here: its value is then any.
type CopyOptions struct {
	Format    CopyFormat
	Header    bool // the first line is no row
	Delimiter byte
	Quote     byte   // of CSV
	Escape    byte   // of CSV
	Null      string // as the data has it, before escapes are read
	Default   string // stands for the column's default; empty: nothing does
	Encoding  string // of text and CSV; empty: the client's
	Skips     bool   // rows with mistakes are left out

	forceNull, forceNotNull forced
	unknown                 string // an option that is not known here
}

// forced are the columns of FORCE_NULL or FORCE_NOT_NULL.
type forced struct {
	all     bool
	columns []string
}

func (f *forced) has(column string) bool { return f.all || slices.Contains(f.columns, column) }

// copyOptions reads the options of a COPY.
func copyOptions(list []*node) CopyOptions {
	o := CopyOptions{Delimiter: '\t', Null: `\N`}
	for _, n := range list {
		if d := n.GetDefElem(); d.GetDefname() == "format" {
			o.setFormat(stringOf(d.GetArg()))
		}
	}
	for _, n := range list {
		o.set(n.GetDefElem())
	}
	return o
}

// setFormat notes the format and what it has where no option says otherwise.
func (o *CopyOptions) setFormat(name string) {
	switch name {
	case "csv":
		o.Format, o.Delimiter, o.Null, o.Quote, o.Escape = CopyCSV, ',', "", '"', '"'
	case "binary":
		o.Format = CopyBinary
	}
}

// set notes one option.
func (o *CopyOptions) set(d *defNode) {
	text := stringOf(d.GetArg())
	switch d.GetDefname() {
	case "format", "freeze", "log_verbosity", "force_quote":
	case "delimiter":
		o.Delimiter = firstByte(text, o.Delimiter)
	case "null":
		o.Null = text
	case "default":
		o.Default = text
	case "header":
		o.Header = !isDefOff(d)
	case "quote":
		if o.Escape == o.Quote {
			o.Escape = firstByte(text, o.Escape)
		}
		o.Quote = firstByte(text, o.Quote)
	case "escape":
		o.Escape = firstByte(text, o.Escape)
	case "force_null":
		o.forceNull = forcedColumns(d.GetArg())
	case "force_not_null":
		o.forceNotNull = forcedColumns(d.GetArg())
	case "encoding":
		o.Encoding = text
	case "on_error":
		o.Skips = !strings.EqualFold(text, "stop")
	default:
		o.unknown = d.GetDefname()
	}
}

func firstByte(s string, otherwise byte) byte {
	if s == "" {
		return otherwise
	}
	return s[0]
}

// isDefOff reports an option that is written as false, in any of the ways that PostgreSQL reads.
func isDefOff(d *defNode) bool {
	switch arg := d.GetArg(); {
	case arg == nil:
		return false
	case arg.GetInteger() != nil:
		return arg.GetInteger().GetIval() == 0
	case arg.GetBoolean() != nil:
		return !arg.GetBoolean().GetBoolval()
	default:
		return isOff(arg)
	}
}

// forcedColumns reads a list of columns, or *.
func forcedColumns(n *node) forced {
	if n.GetAStar() != nil {
		return forced{all: true}
	}
	var f forced
	for _, c := range n.GetList().GetItems() {
		f.columns = append(f.columns, stringOf(c))
	}
	return f
}
