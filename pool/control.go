package pool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// Rows is the answer to a control query.
type Rows struct {
	Columns []string
	Rows    [][][]byte // text format; nil is NULL
	Tag     string     // of the last statement
}

// Exec runs a control query, by the simple protocol, over a connection that is no backend to a shard of the map in force. With role
// Replica it asks a replica that is up, and the primary if there is none. With several statements it returns the rows of the
// last one that had any. It runs in a clean session: the connection is kept a while for the next query, which discards what this one has
// left there. The query must end the transactions that it begins. An error is an *Error when there was no connection; a *pgwire.Error is
// the server's answer.
func (c *Cluster) Exec(ctx context.Context, shard string, role Role, sql string) (*Rows, error) {
	t := c.current.Load()
	if t != nil {
		for i := range t.shards {
			if t.shards[i].name == shard {
				return t.shards[i].pick(role, nil).exec(ctx, sql)
			}
		}
	}
	return nil, fmt.Errorf("there is no shard %q in the map in force", shard)
}

// ExecOn is Exec on a node that need not be in the map in force.
func (c *Cluster) ExecOn(ctx context.Context, shard string, role Role, node shardmap.Node, sql string) (*Rows, error) {
	return c.nodeAt(shard, role, node).exec(ctx, sql)
}

// nodeAt is a node that need not be in the map in force, to be asked control queries.
func (c *Cluster) nodeAt(shard string, role Role, at shardmap.Node) *Node {
	n := c.newNode(c.identityOf(at), at.Addr())
	n.login, n.loginErr = c.cfg.loginTo(n.id)
	n.place.Store(&place{node: n, shard: shard, role: role})
	return n
}

func (n *Node) exec(ctx context.Context, sql string) (*Rows, error) {
	conn, err := n.readyControl(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := conn.run(ctx, sql)
	switch {
	case ctx.Err() != nil:
		conn.interrupt()
		conn.close()
	case err == nil || answered(err):
		n.cluster.spares.put(n.id, conn)
	default:
		conn.close()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	return rows, nil
}

// control is a connection for control queries. It blocks.
type control struct {
	conn    net.Conn
	session serverSession
	in      *bufio.Reader
	frame   bytes.Buffer // the last message that was read
	born    time.Time
	since   time.Time // when it was last used, while it is kept
}

// controlName is the application_name of control connections. Backends begin without one: so a client that says none has none, and RESET
// goes back to that.
const controlName = "pgdrover"

// openControl logs in, within the node's ConnectTimeout.
func (n *Node) openControl(ctx context.Context) (*control, error) {
	if n.loginErr != nil {
		return nil, n.faultOf(n.loginErr).err
	}
	attempt, cancel := context.WithTimeout(ctx, n.cluster.cfg.ConnectTimeout)
	defer cancel()
	g, err := connect(attempt, n.login, map[string]string{"application_name": controlName})
	if err != nil {
		return nil, n.faultOf(err).err
	}
	return &control{conn: g.conn, session: n.sessionOf(g), in: bufio.NewReader(g.conn), born: time.Now()}, nil
}

// interrupt ends a query that nobody waits for any more, if the server can be told so quickly.
func (c *control) interrupt() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = c.session.cancel(ctx)
}

func (c *control) close() {
	_ = c.conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.conn.Write(pgwire.AppendTerminate(nil))
	_ = c.conn.Close()
}

// run runs a query. After an error that is not the server's, or the end of ctx, the connection is of no use.
func (c *control) run(ctx context.Context, sql string) (*Rows, error) {
	defer c.bound(ctx)()
	if _, err := c.conn.Write(pgwire.AppendQuery(nil, sql)); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	return c.answer(ctx)
}

// bound has reads and writes fail when ctx ends. Who calls it calls what it returns when they are over.
func (c *control) bound(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
}

// answer reads the answer to a query.
func (c *control) answer(ctx context.Context) (*Rows, error) {
	rows := &Rows{}
	var answer error
	for {
		typ, err := c.next()
		if err != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		switch typ {
		case pgwire.MsgRowDescription:
			rows.Columns, rows.Rows = nil, nil
			err = rows.describe(c.frame.Bytes())
		case pgwire.MsgDataRow:
			err = rows.add(c.frame.Bytes())
		case pgwire.MsgCommandComplete:
			var tag []byte
			tag, err = pgwire.CommandTag(c.frame.Bytes())
			rows.Tag = string(tag)
		case pgwire.MsgErrorResponse:
			answer, err = decodeAnswer(c.frame.Bytes())
		case pgwire.MsgCopyIn, pgwire.MsgCopyOut, pgwire.MsgCopyBoth:
			err = errors.New("a control query cannot COPY")
		case pgwire.MsgReadyForQuery:
			if answer != nil {
				return nil, answer
			}
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func decodeAnswer(frame []byte) (answer, err error) {
	e, err := pgwire.DecodeError(frame)
	if err != nil {
		return nil, err
	}
	if e.Severity == pgwire.SeverityFatal || e.Severity == pgwire.SeverityPanic {
		return nil, e
	}
	return e, nil
}

// next reads one message into c.frame. The room grows with the bytes that really arrive.
func (c *control) next() (typ byte, err error) {
	header, err := c.in.Peek(pgwire.HeaderLen)
	if err != nil {
		return 0, err
	}
	typ, size, err := pgwire.Peek(header, maxMessage)
	if err != nil {
		return 0, err
	}
	c.frame.Reset()
	_, err = io.CopyN(&c.frame, c.in, int64(size))
	return typ, err
}

var errControlRow = errors.New("malformed RowDescription or DataRow message")

// describe reads the column names of a RowDescription.
func (r *Rows) describe(frame []byte) error {
	b := frame[pgwire.HeaderLen:]
	if len(b) < 2 {
		return errControlRow
	}
	b = b[2:]
	for len(b) > 0 {
		end := bytes.IndexByte(b, 0)
		if end < 0 || len(b) < end+1+18 { // 18 bytes of table, type and format follow the name
			return errControlRow
		}
		r.Columns = append(r.Columns, string(b[:end]))
		b = b[end+1+18:]
	}
	return nil
}

// add copies the values of a DataRow.
func (r *Rows) add(frame []byte) error {
	b := bytes.Clone(frame[pgwire.HeaderLen:])
	if len(b) < 2 {
		return errControlRow
	}
	b = b[2:]
	row := make([][]byte, 0, len(r.Columns))
	for len(b) >= 4 {
		size := int64(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if size < 0 {
			row = append(row, nil)
			continue
		}
		if size > int64(len(b)) {
			return errControlRow
		}
		row = append(row, b[:size:size])
		b = b[size:]
	}
	if len(b) != 0 || len(row) != len(r.Columns) {
		return errControlRow
	}
	r.Rows = append(r.Rows, row)
	return nil
}
