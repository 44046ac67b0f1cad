package proxy

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/pgdrover/pgdrover/pgwire"
)

// consoleStatement is a prepared statement of the console.
type consoleStatement struct {
	name    string
	command *Command // nil: it was empty
	types   []uint32 // of parameters that the client has declared; the statement uses none
}

// consolePortal is a portal of the console. Its statement is carried out when it is executed first.
type consolePortal struct {
	statement *consoleStatement
	formats   []byte // of the results, as Bind has them
	ran       bool
	table     Table
	rest      [][]string // rows that are still to be sent
}

// consoleExtended takes a message of the extended protocol. The error goes to the client, and what follows is discarded up to Sync.
func (s *session) consoleExtended(frame []byte) *pgwire.Error {
	switch frame[0] {
	case pgwire.MsgParse:
		return s.consoleParse(frame)
	case pgwire.MsgBind:
		return s.consoleBind(frame)
	case pgwire.MsgDescribe:
		return s.consoleDescribe(frame)
	case pgwire.MsgExecute:
		return s.consoleExecute(frame)
	}
	kind, name, err := pgwire.DecodeClose(frame)
	if err != nil {
		return errProtocol
	}
	if kind == pgwire.ObjectStatement {
		delete(s.console.statements, string(name))
	} else {
		delete(s.console.portals, string(name))
	}
	s.client.Queue(closeComplete)
	return nil
}

func (s *session) consoleParse(frame []byte) *pgwire.Error {
	var m pgwire.Parse
	if err := pgwire.DecodeParse(frame, &m); err != nil {
		return errProtocol
	}
	name := string(m.Name)
	if s.console.statements[name] != nil && name != "" {
		return &pgwire.Error{Code: "42P05", Message: "prepared statement \"" + name + "\" already exists"}
	}
	commands, err := s.cfg.Console.Read(string(m.Text))
	switch {
	case err != nil:
		return clientError(err)
	case s.console.status == 'E' && (len(commands) != 1 || commands[0].Block != BlockCommit && commands[0].Block != BlockRollback):
		return errAborted
	case len(commands) > 1:
		return &pgwire.Error{Code: "42601", Message: "cannot insert multiple commands into a prepared statement"}
	}
	st := &consoleStatement{name: name}
	for i := range m.NumOIDs() {
		st.types = append(st.types, m.OID(i))
	}
	if len(commands) == 1 {
		st.command = &commands[0]
	}
	s.console.statements[name] = st
	s.client.Queue(parseComplete)
	return nil
}

func (s *session) consoleBind(frame []byte) *pgwire.Error {
	var m pgwire.Bind
	if err := pgwire.DecodeBind(frame, &m); err != nil {
		return errProtocol
	}
	st := s.console.statements[string(m.Statement)]
	if st == nil {
		return noStatement(m.Statement)
	}
	if m.NumParams() != len(st.types) {
		return &pgwire.Error{Code: "08P01", Message: fmt.Sprintf("bind message supplies %d parameters, but prepared statement \"%s\" requires %d",
			m.NumParams(), m.Statement, len(st.types))}
	}
	name := string(m.Portal)
	if s.console.portals[name] != nil && name != "" {
		return &pgwire.Error{Code: "42P03", Message: "cursor \"" + name + "\" already exists"}
	}
	formats := append([]byte(nil), m.ResultFormats...)
	if e := checkFormats(formats, len(st.columns())); e != nil {
		return e
	}
	s.console.portals[name] = &consolePortal{statement: st, formats: formats}
	s.client.Queue(bindComplete)
	return nil
}

// checkFormats says what is wrong with the formats that a client asks for: one for all columns, or one for each.
func checkFormats(formats []byte, columns int) *pgwire.Error {
	if n := len(formats) / 2; n > 1 && n != columns {
		return &pgwire.Error{Code: "08P01", Message: fmt.Sprintf("bind message has %d result formats but query has %d columns", n, columns)}
	}
	for i := 0; i < len(formats); i += 2 {
		if code := binary.BigEndian.Uint16(formats[i:]); code > 1 {
			return &pgwire.Error{Code: "22023", Message: fmt.Sprintf("unsupported format code: %d", code)}
		}
	}
	return nil
}

// columns are those of the statement's rows; nil when it has none.
func (st *consoleStatement) columns() []Column {
	if st.command == nil {
		return nil
	}
	return st.command.Columns
}

func (s *session) consoleDescribe(frame []byte) *pgwire.Error {
	kind, name, err := pgwire.DecodeDescribe(frame)
	if err != nil {
		return errProtocol
	}
	var st *consoleStatement
	var formats []byte
	b := s.client.QueueBuffer()
	if kind == pgwire.ObjectStatement {
		if st = s.console.statements[string(name)]; st == nil {
			return noStatement(name)
		}
		b = pgwire.AppendParameterDescription(b, st.types)
	} else {
		p := s.console.portals[string(name)]
		if p == nil {
			return noPortal(name)
		}
		st, formats = p.statement, p.formats
	}
	if columns := st.columns(); columns != nil {
		b = pgwire.AppendRowDescription(b, describeColumns(columns, formats))
	} else {
		b = pgwire.AppendNoData(b)
	}
	s.client.SetQueue(b)
	return nil
}

func (s *session) consoleExecute(frame []byte) *pgwire.Error {
	name, limit, err := pgwire.DecodeExecute(frame)
	if err != nil {
		return errProtocol
	}
	p := s.console.portals[string(name)]
	switch {
	case p == nil:
		return noPortal(name)
	case p.statement.command == nil:
		s.client.SetQueue(pgwire.AppendEmptyQuery(s.client.QueueBuffer()))
		return nil
	case p.ran && p.statement.columns() == nil:
		return &pgwire.Error{Code: "55000", Message: "portal \"" + string(name) + "\" cannot be run"}
	case !p.ran:
		table, e := s.runCommand(p.statement.command)
		if e != nil {
			return e
		}
		p.ran, p.table, p.rest = true, table, table.Rows
	}
	now, all := p.rest, true
	if n := int(int32(limit)); n > 0 && n <= len(now) { // PostgreSQL does not look whether more would follow the last row
		now, all = now[:n], false
	}
	p.rest = p.rest[len(now):]
	b := appendRows(s.client.QueueBuffer(), &p.table, now, p.formats)
	if all {
		b = pgwire.AppendCommandComplete(b, p.table.Tag)
	} else {
		b = pgwire.AppendPortalSuspended(b)
	}
	s.client.SetQueue(b)
	return nil
}

const int8OID = 20

// inBinary reports whether column i is asked for in binary format.
func inBinary(formats []byte, i int) bool {
	switch n := len(formats) / 2; {
	case n == 0:
		return false
	case n == 1:
		i = 0
	}
	return binary.BigEndian.Uint16(formats[2*i:]) == 1
}

func describeColumns(columns []Column, formats []byte) []pgwire.Column {
	list := make([]pgwire.Column, len(columns))
	for i, c := range columns {
		list[i] = pgwire.Column{Name: c.Name, OID: textOID, Size: -1}
		if c.Number {
			list[i].OID, list[i].Size = int8OID, 8
		}
		if inBinary(formats, i) {
			list[i].Format = 1
		}
	}
	return list
}

// appendRows adds rows of a table, in the formats asked for.
func appendRows(b []byte, t *Table, rows [][]string, formats []byte) []byte {
	values := make([][]byte, len(t.Columns))
	for _, row := range rows {
		for i, text := range row {
			values[i] = columnValue(t.Columns[i], text, inBinary(formats, i))
		}
		b = pgwire.AppendDataRow(b, values)
	}
	return b
}

// columnValue is a value as a DataRow has it; nil is NULL.
func columnValue(c Column, text string, inBinary bool) []byte {
	if !c.Number {
		return []byte(text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return nil
	case inBinary:
		return binary.BigEndian.AppendUint64(nil, uint64(n))
	}
	return []byte(text)
}
