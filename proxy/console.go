package proxy

import (
	"context"
	"errors"
	"strconv"

	"github.com/pgdrover/pgdrover/pgwire"
)

// consoleState is what a session of the console has besides.
type consoleState struct {
	status     byte // of the transaction block: I, T or E
	statements map[string]*consoleStatement
	portals    map[string]*consolePortal
}

// greetConsole begins a session of the console, database "pgdrover".
func (s *session) greetConsole() bool {
	if s.cfg.Console == nil {
		s.fatal("3D000", "database \""+consoleDatabase+"\" does not exist", "the console is not switched on")
		return false
	}
	s.console = &consoleState{status: 'I', statements: map[string]*consoleStatement{}, portals: map[string]*consolePortal{}}
	for _, p := range []pgwire.Param{{Name: "server_version", Value: "15.0 (PgDrover console)"}, {Name: "server_encoding", Value: "UTF8"},
		{Name: "client_encoding", Value: "UTF8"}, {Name: "standard_conforming_strings", Value: "on"}, {Name: "DateStyle", Value: "ISO, MDY"},
		{Name: "IntervalStyle", Value: "postgres"}, {Name: "integer_datetimes", Value: "on"}, {Name: "TimeZone", Value: "UTC"},
		{Name: "is_superuser", Value: "off"}, {Name: "session_authorization", Value: s.userName},
		{Name: "in_hot_standby", Value: "off"}, {Name: "default_transaction_read_only", Value: "off"}} {
		s.client.SetQueue(pgwire.AppendParameterStatus(s.client.QueueBuffer(), p.Name, p.Value))
	}
	s.ready()
	return true
}

// consoleStep answers one message of a session of the console.
func (s *session) consoleStep() bool {
	frame, ok := s.next()
	if !ok {
		return false
	}
	s.busySince.Store(-int64(s.t.Moment()))
	s.publish(ClientActive)
	s.cur = len(frame)
	goOn := s.consoleMessage(frame)
	s.take()
	s.publish(ClientIdle)
	return goOn && !s.cut.Load()
}

func (s *session) consoleMessage(frame []byte) bool {
	typ := frame[0]
	if pgwire.MessageName(true, typ) == "" || typ == pgwire.MsgPassword {
		s.fatal("08P01", "invalid frontend message type "+strconv.Itoa(int(typ)), "")
		return false
	}
	switch typ {
	case pgwire.MsgTerminate:
		return false
	case pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail: // left over from a COPY that failed, as PostgreSQL sees it
		return true
	case pgwire.MsgSync:
		s.skipping = false
		s.consoleReady()
		return true
	}
	if s.skipping {
		return true
	}
	switch typ {
	case pgwire.MsgQuery:
		return s.consoleQuery(frame)
	case pgwire.MsgFunctionCall:
		s.consoleFail(&pgwire.Error{Code: "0A000", Message: "the console has no functions to call", Hint: "SHOW HELP lists what it knows"})
		s.consoleReady()
		return true
	case pgwire.MsgFlush:
		return true // answers are not held back
	}
	if e := s.consoleExtended(frame); e != nil {
		s.consoleFail(e)
		s.skipping = true
		return e.Severity != pgwire.SeverityFatal
	}
	return true
}

// consoleQuery answers a Query, which may hold several statements: up to the first that fails.
func (s *session) consoleQuery(frame []byte) bool {
	text, err := pgwire.QueryText(frame)
	if err != nil {
		s.fatal("08P01", "invalid message format", "")
		return false
	}
	delete(s.console.statements, "")
	delete(s.console.portals, "")
	commands, err := s.cfg.Console.Read(string(text))
	if err != nil {
		s.consoleFail(clientError(err))
		s.consoleReady()
		return true
	}
	if len(commands) == 0 {
		s.client.SetQueue(pgwire.AppendEmptyQuery(s.client.QueueBuffer()))
	}
	for i := range commands {
		table, e := s.runCommand(&commands[i])
		if e != nil {
			s.consoleFail(e)
			break
		}
		b := s.client.QueueBuffer()
		if commands[i].Columns != nil {
			b = pgwire.AppendRowDescription(b, describeColumns(commands[i].Columns, nil))
			b = appendRows(b, &table, table.Rows, nil)
		}
		s.client.SetQueue(pgwire.AppendCommandComplete(b, table.Tag))
	}
	s.consoleReady()
	return true
}

// consoleReady ends the answer to a Query, or a batch. Outside a block portals end with it.
func (s *session) consoleReady() {
	if s.console.status == 'I' {
		clear(s.console.portals)
	}
	s.client.SetQueue(pgwire.AppendReadyForQuery(s.client.QueueBuffer(), s.console.status))
}

// consoleFail tells the client of an error, which aborts its block.
func (s *session) consoleFail(e *pgwire.Error) {
	if s.console.status == 'T' {
		s.console.status = 'E'
	}
	s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), e))
}

// runCommand carries out a statement, or what it says of the transaction block.
func (s *session) runCommand(c *Command) (Table, *pgwire.Error) {
	st := s.console
	switch {
	case st.status == 'E' && c.Block != BlockCommit && c.Block != BlockRollback:
		return Table{}, errAborted
	case c.Block == BlockBegin && st.status == 'T':
		s.warn("25001", "there is already a transaction in progress")
		return Table{Tag: "BEGIN"}, nil
	case c.Block == BlockBegin:
		st.status = 'T'
		return Table{Tag: "BEGIN"}, nil
	case c.Block != BlockNone:
		return Table{Tag: s.endBlock(c.Block)}, nil
	}
	table, err := s.errand(func(ctx context.Context) (Table, error) { return c.Run(ctx, s.userName) })
	switch {
	case err == nil:
		return table, nil
	case s.killed.Load(): // that says it all
		return Table{}, errShutdown
	case errors.Is(err, context.Canceled):
		return Table{}, errCancelled
	}
	return Table{}, clientError(err)
}

// endBlock ends the transaction block and returns the tag of that.
func (s *session) endBlock(how Block) string {
	was := s.console.status
	s.console.status = 'I'
	if was == 'I' {
		s.warn("25P01", "there is no transaction in progress")
	}
	if how == BlockCommit && was != 'E' {
		return "COMMIT"
	}
	return "ROLLBACK"
}
