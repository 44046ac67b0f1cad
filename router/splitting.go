package router

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// Splitting says where the rows of a COPY FROM STDIN go that names no tenant
// besides. It is for one execution and one goroutine.
type Splitting struct {
	CopyOptions
	Name     string // of the table, as a server's messages have it
	Table    string // as SQL writes it
	Every    bool   // each row goes to every shard: it is a reference table
	Column   string // that names a row's tenant
	At       int    // its place in a row, from 0
	Fields   int    // of a row; 0: the statement lists its columns
	NoMarker bool   // a line \. does not end CSV data

	m         *shardmap.Map
	oid       uint32
	foreign   bool // the data is not in UTF8
	asNull    bool // FORCE_NULL of the column
	asNotNull bool // FORCE_NOT_NULL
}

// split plans where the rows of the COPY FROM in q go.
func (r *Router) split(q *Query, env *Env) (*Splitting, *Error) {
	if len(q.tpl.statements) != 1 {
		return nil, refuse("Send it in a query of its own.", "COPY whose rows go to several shards cannot share a query string with other statements")
	}
	text := q.verbatim(0)
	nodes, bad := r.parse(text)
	if bad != nil || len(nodes) != 1 || nodes[0].GetCopyStmt() == nil {
		return nil, refuse("Name a tenant.", "the statement cannot be read as one COPY")
	}
	x := nodes[0].GetCopyStmt()
	b := r.newBinder(&source{text: text}, searchSchemas(env.SearchPath, env.User))
	t, rel := b.resolve(x.GetRelation(), useWrite)
	if t == nil {
		return nil, &Error{Code: codeNoTable, Message: fmt.Sprintf("relation %q does not exist", x.GetRelation().GetRelname())}
	}
	s := &Splitting{CopyOptions: copyOptions(x.GetOptions()), Name: t.Name, Table: quoteName(t.Schema) + "." + quoteName(t.Name), m: r.m}
	const alone = "Name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */."
	switch {
	case s.unknown != "":
		return nil, refuse(alone, "the option %q is not known to PgDrover: a COPY with it is not split by tenant", s.unknown)
	case s.Format == CopyCSV && (strings.IndexByte(`.\`, s.Delimiter) >= 0 || strings.IndexByte(`.\`, s.Quote) >= 0):
		return nil, refuse(alone, "CSV whose delimiter or quote is a dot or a backslash is not split by tenant")
	case s.Skips:
		return nil, refuse(alone, "a COPY that leaves out rows with mistakes is not split by tenant")
	case t.Kind == shardmap.Reference:
		s.Every = true
		return s, nil
	case rel == nil || rel.Kind != "r" && rel.Kind != "p":
		return nil, refuse(alone, "the rows for %q are not split by tenant: it is not a plain table", t.Name)
	}
	s.NoMarker = r.catalog.Server >= 180000
	return s, s.column(t, rel, x.GetAttlist())
}

// column finds the tenant's column among those of a row.
func (s *Splitting) column(t *Table, rel *Relation, list []*node) *Error {
	var names []string
	for _, n := range list {
		names = append(names, stringOf(n))
	}
	if len(list) == 0 {
		for _, c := range rel.Columns {
			names = append(names, c.Name)
		}
		s.Fields = len(names)
	}
	s.Column, s.At = t.Column, slices.Index(names, t.Column)
	column, _ := rel.column(t.Column)
	s.oid = column.Type
	s.asNull, s.asNotNull = s.forceNull.has(s.Column), s.forceNotNull.has(s.Column)
	switch {
	case s.At < 0:
		return refuse("Have the column among those of the COPY, or name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */.",
			"the rows for %q do not have the column %q, which says whose they are", t.Name, t.Column)
	case !tenantType(s.m.TenantType(), column):
		return refuse("Name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */.",
			"the column %q of %q has a type that rows are not split by", t.Column, t.Name)
	}
	return nil
}

// Shard returns the shard of the row that has value in the tenant's column, in
// the data's format, without its quotes and escapes. It allocates nothing
// unless it fails; an error is a *shardmap.KeyError.
func (s *Splitting) Shard(value []byte) (int, error) {
	var k shardmap.Key
	var err error
	if s.foreign && s.m.TenantType() == shardmap.Text && !isASCII(value) {
		return 0, &shardmap.KeyError{Type: shardmap.Text, Value: "a text that is not in UTF8", Err: shardmap.ErrKeySyntax}
	}
	if typ := s.m.TenantType(); s.Format == CopyBinary {
		k, err = typ.ParseBinary(s.oid, value)
	} else {
		k, err = typ.ParseText(value)
	}
	if err != nil {
		return 0, err
	}
	return s.m.Locate(k), nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// IsNull reports whether the tenant's field says NULL. raw is the field as the
// data has it, quoted whether it has quotes, value the same without them.
func (s *Splitting) IsNull(raw, value []byte, quoted bool) bool {
	switch {
	case s.Format == CopyText:
		return string(raw) == s.Null
	case !quoted:
		return !s.asNotNull && string(raw) == s.Null
	}
	return s.asNull && string(value) == s.Null
}

// IsDefault reports whether the tenant's field stands for the column's default.
func (s *Splitting) IsDefault(raw []byte, quoted bool) bool {
	return s.Default != "" && !quoted && bytes.Equal(raw, []byte(s.Default))
}

// Encoded takes the client's encoding, as client_encoding names it. It refuses
// data that cannot be read without knowing characters of several bytes.
func (s *Splitting) Encoded(client string) *Error {
	name := client
	if s.Encoding != "" && s.Format != CopyBinary {
		name = s.Encoding
	}
	var plain []byte
	for _, c := range []byte(name) {
		if c = lower[c]; c >= 'a' && c <= 'z' || isDigit(c) {
			plain = append(plain, c)
		}
	}
	switch string(plain) {
	case "", "utf8", "unicode", "sqlascii":
		return nil
	case "big5", "win950", "windows950", "gbk", "win936", "windows936", "uhc", "win949", "windows949", "gb18030", "johab", "sjis", "shiftjis",
		"mskanji", "win932", "windows932", "shiftjis2004":
		if s.Format != CopyBinary && !s.Every {
			return refuse("Send the data in UTF8, or name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */.",
				"data in the encoding %s is not split by tenant: bytes of its characters look like delimiters", name)
		}
	}
	s.foreign = true
	return nil
}
