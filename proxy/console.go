package proxy

import (
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
)

// greetConsole begins a session of the console, database "pgdrover".
func (s *session) greetConsole() bool {
	if s.cfg.Console == nil {
		s.fatal("3D000", "database \""+consoleDatabase+"\" does not exist", "the console is not switched on")
		return false
	}
	for _, p := range []pgwire.Param{{Name: "server_version", Value: "15.0 (PgDrover console)"}, {Name: "server_encoding", Value: "UTF8"},
		{Name: "client_encoding", Value: "UTF8"}, {Name: "standard_conforming_strings", Value: "on"}, {Name: "DateStyle", Value: "ISO, MDY"},
		{Name: "integer_datetimes", Value: "on"}, {Name: "TimeZone", Value: "UTC"}} {
		s.client.SetQueue(pgwire.AppendParameterStatus(s.client.QueueBuffer(), p.Name, p.Value))
	}
	s.ready()
	return true
}

// consoleStep answers one statement of the console, by the simple protocol.
func (s *session) consoleStep() bool {
	frame, ok := s.next()
	if !ok {
		return false
	}
	s.cur = len(frame)
	switch frame[0] {
	case pgwire.MsgTerminate:
		return false
	case pgwire.MsgQuery:
		text, err := pgwire.QueryText(frame)
		if err != nil {
			return false
		}
		s.consoleQuery(strings.TrimSpace(string(text)))
	case pgwire.MsgSync:
		s.skipping = false
		s.client.SetQueue(pgwire.AppendReadyForQuery(s.client.QueueBuffer(), 'I'))
	default:
		if !s.skipping {
			s.skipping = true
			s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), &pgwire.Error{Code: "0A000",
				Message: "the console speaks the simple query protocol only", Hint: "use psql, or your driver's simple protocol mode"}))
		}
	}
	s.take()
	return !s.cut.Load()
}

func (s *session) consoleQuery(sql string) {
	b := s.client.QueueBuffer()
	sql = strings.TrimSpace(strings.TrimRight(sql, "; \n\t"))
	if sql == "" {
		s.client.SetQueue(pgwire.AppendReadyForQuery(pgwire.AppendEmptyQuery(b), 'I'))
		return
	}
	var table Table
	var err error
	s.t.Await(func() { table, err = s.cfg.Console.Run(s.userName, sql) })
	b = s.client.QueueBuffer()
	if err != nil {
		b = pgwire.AppendError(b, clientError(err))
		s.client.SetQueue(pgwire.AppendReadyForQuery(b, 'I'))
		return
	}
	if table.Columns != nil {
		b = appendTable(b, table)
	}
	b = pgwire.AppendCommandComplete(b, table.Tag)
	s.client.SetQueue(pgwire.AppendReadyForQuery(b, 'I'))
}

func appendTable(b []byte, t Table) []byte {
	cols := make([]pgwire.Column, len(t.Columns))
	for i, c := range t.Columns {
		cols[i] = pgwire.Column{Name: c, OID: textOID, Size: -1}
	}
	b = pgwire.AppendRowDescription(b, cols)
	values := make([][]byte, len(cols))
	for _, row := range t.Rows {
		for i := range values {
			values[i] = []byte(row[i])
		}
		b = pgwire.AppendDataRow(b, values)
	}
	return b
}
