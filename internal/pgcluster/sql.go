package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Conn is a connection for simple queries, for setting up and looking after a
// cluster. It is for one goroutine at a time.
type Conn struct{ pg *pgconn.PgConn }

// Connect connects to a DSN, of a node or of anything else that speaks PostgreSQL.
func Connect(ctx context.Context, url string) (*Conn, error) {
	pg, err := pgconn.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	return &Conn{pg}, nil
}

// Query runs one or more statements and returns the rows of the last that
// returned any. NULL is "".
func (c *Conn) Query(ctx context.Context, sql string) ([][]string, error) {
	results, err := c.pg.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, result := range results {
		if len(result.FieldDescriptions) > 0 {
			rows = nil
		}
		for _, values := range result.Rows {
			row := make([]string, len(values))
			for i, value := range values {
				row[i] = string(value)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// Close says goodbye to the server; a server that does not hear is left after
// some seconds.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.pg.Close(ctx)
}

// Query runs statements as Conn.Query does, as the superuser on the
// application's database, over a connection of its own.
func (n *Node) Query(ctx context.Context, sql string) ([][]string, error) {
	conn, err := Connect(ctx, n.SuperuserURL())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", n.name, err)
	}
	defer conn.Close()
	return conn.Query(ctx, sql)
}

// await asks a question of one value again and again until good says yes. It
// connects anew when the server closes the connection or is not there yet.
func (n *Node) await(ctx context.Context, sql string, good func(value string) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("%s: no good answer within %s to: %s", n.name, startTimeout, sql))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var conn *Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	var last error
	for {
		if conn == nil || conn.pg.IsClosed() {
			conn, last = Connect(ctx, n.SuperuserURL())
		}
		if last == nil {
			var rows [][]string
			rows, last = conn.Query(ctx, sql)
			if len(rows) == 1 && good(rows[0][0]) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		}
	}
}

// PauseReplay makes a replica keep what it receives without showing it, and
// returns when it has stopped to show anything new.
func (n *Node) PauseReplay(ctx context.Context) error {
	if _, err := n.Query(ctx, "select pg_wal_replay_pause()"); err != nil {
		return fmt.Errorf("pause replay on %s: %w", n.name, err)
	}
	return n.await(ctx, "select pg_get_wal_replay_pause_state()", func(state string) bool { return state == "paused" })
}

// ResumeReplay undoes PauseReplay.
func (n *Node) ResumeReplay(ctx context.Context) error {
	if _, err := n.Query(ctx, "select pg_wal_replay_resume()"); err != nil {
		return fmt.Errorf("resume replay on %s: %w", n.name, err)
	}
	return nil
}
