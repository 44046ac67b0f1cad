package pool

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// Line is a connection to one node for work of several statements, such as a transaction, over the simple protocol. It is no backend and
// belongs to who opened it, who uses it from one goroutine at a time and closes it: a transaction that is open then is rolled back by the
// server. Its methods block. An error that is not the server's answer, or the end of a context, leaves it of no use but to be closed.
type Line struct {
	node *Node
	conn *control
	out  *bufio.Writer
}

// OpenLine logs in to a node, which need not be in the map in force. An error is an *Error.
func (c *Cluster) OpenLine(ctx context.Context, shard string, role Role, node shardmap.Node) (*Line, error) {
	n := c.nodeAt(shard, role, node)
	conn, err := n.openControl(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	return &Line{node: n, conn: conn, out: bufio.NewWriterSize(conn.conn, lineBuffer)}, nil
}

// lineBuffer is how many bytes of rows are written to a node at once.
const lineBuffer = 64 << 10

// Close ends the connection.
func (l *Line) Close() { l.conn.close() }

// Exec runs a query as Cluster.Exec does, in the session and the transaction of the queries before.
func (l *Line) Exec(ctx context.Context, sql string) (*Rows, error) {
	rows, err := l.conn.run(ctx, sql)
	return rows, l.failed(ctx, err)
}

// failed names the node in an error, and ends what runs there when nobody waits for it any more.
func (l *Line) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		l.conn.interrupt()
	}
	return fmt.Errorf("%s: %w", l.node, err)
}

// CopyRows has the rows that from, a COPY … TO STDOUT, gives on l go into to, a COPY … FROM STDIN on other. Rows go on as they come: what is
// kept of them is one message. moved hears how many bytes have gone so far. Neither session may be sent notices, which nobody reads
// meanwhile: set client_min_messages before.
//
// After an error the transactions on both lines are of no use.
func (l *Line) CopyRows(ctx context.Context, from string, other *Line, to string, moved func(bytes int64)) error {
	defer l.conn.bound(ctx)()
	defer other.conn.bound(ctx)()
	if err := other.begin(to, pgwire.MsgCopyIn); err != nil {
		return other.failed(ctx, err)
	}
	if err := l.begin(from, pgwire.MsgCopyOut); err != nil {
		return l.failed(ctx, err)
	}
	if err := l.pour(ctx, other, moved); err != nil {
		return err
	}
	if _, err := other.out.Write(pgwire.AppendCopyDone(nil)); err != nil {
		return other.failed(ctx, errors.Join(ctx.Err(), err))
	}
	if err := other.out.Flush(); err != nil {
		return other.failed(ctx, errors.Join(ctx.Err(), err))
	}
	_, err := other.conn.answer(ctx)
	return other.failed(ctx, err)
}

// begin sends a COPY and waits for the server to say that it has begun.
func (l *Line) begin(sql string, want byte) error {
	if _, err := l.conn.conn.Write(pgwire.AppendQuery(nil, sql)); err != nil {
		return err
	}
	for {
		typ, err := l.conn.next()
		switch {
		case err != nil:
			return err
		case typ == want:
			return nil
		case typ == pgwire.MsgErrorResponse:
			answer, err := decodeAnswer(l.conn.frame.Bytes())
			return errors.Join(answer, err)
		case typ == pgwire.MsgReadyForQuery:
			return errors.New("the server has not begun the COPY")
		}
	}
}

// pour passes the messages with rows on, up to the end of the COPY on l.
func (l *Line) pour(ctx context.Context, other *Line, moved func(int64)) error {
	var bytes int64
	for {
		typ, err := l.conn.next()
		if err != nil {
			return l.failed(ctx, errors.Join(ctx.Err(), err))
		}
		switch typ {
		case pgwire.MsgCopyData:
			if _, err := other.out.Write(l.conn.frame.Bytes()); err != nil {
				return other.failed(ctx, errors.Join(ctx.Err(), err))
			}
			bytes += int64(l.conn.frame.Len())
			moved(bytes)
		case pgwire.MsgErrorResponse:
			answer, err := decodeAnswer(l.conn.frame.Bytes())
			return l.failed(ctx, errors.Join(answer, err))
		case pgwire.MsgReadyForQuery:
			return nil
		}
	}
}
