package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// player plays a script against one address and notes what comes back.
type player struct {
	address string
	options pgtest.Options
	look    *pgconn.PgConn // to the node itself
	before  func()         // called before anything is sent; may be nil
	clients map[string]*actor
	oids    map[uint32]uint32 // of tables and types made in the script: their numbers of appearance
	trace   []string          // all frames, with what must differ taken out
	brief   []string          // one line for each time that a client read
}

// actor is one client of a script.
type actor struct {
	*pgtest.Client
	queue []byte
}

// play carries out all steps, and closes the clients. The error says which step could not be.
func (p *player) play(steps []step) error {
	p.clients, p.oids = map[string]*actor{}, map[uint32]uint32{}
	defer func() {
		for _, a := range p.clients {
			_ = a.Abort()
		}
	}()
	for i := range steps {
		err := p.step(&steps[i])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w\nthe node has:%s", err, p.atWork())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", steps[i].line, err)
		}
	}
	return nil
}

// atWork is what the node does at this moment.
func (p *player) atWork() string {
	r := p.look.ExecParams(context.Background(), `select concat_ws(' ', pid, application_name, state, wait_event, pg_blocking_pids(pid)::text, now() - state_change, query)
		from pg_stat_activity where backend_type = 'client backend' order by pid`, nil, nil, nil, nil).Read()
	if r.Err != nil {
		return " " + r.Err.Error()
	}
	var all strings.Builder
	for _, row := range r.Rows {
		fmt.Fprintf(&all, "\n\t%s", row[0])
	}
	return all.String()
}

func (p *player) step(st *step) error {
	if st.client == "" {
		return p.ask(st)
	}
	if st.verb == "login" {
		return p.login(st)
	}
	a := p.clients[st.client]
	if a == nil {
		if err := p.login(&step{client: st.client}); err != nil {
			return err
		}
		a = p.clients[st.client]
	}
	frame, ok, err := st.message()
	if err != nil {
		return err
	}
	if ok {
		a.queue = append(a.queue, frame...)
		return nil
	}
	return p.read(st, a)
}

// login connects a client, with what it was told of its settings in the trace: but for in_hot_standby, which is a node's own
// affair.
func (p *player) login(st *step) error {
	o := p.options
	o.Params = maps.Clone(o.Params)
	if o.Params == nil {
		o.Params = map[string]string{}
	}
	list, err := words(strings.ReplaceAll(st.rest, `="`, `= "`))
	if err != nil {
		return err
	}
	for i := 0; i < len(list); i++ {
		name, value, _ := strings.Cut(list[i], "=")
		if value == "" && i+1 < len(list) && list[i+1][0] == '"' {
			i++
			value, _ = strconv.Unquote(list[i])
		}
		o.Params[name] = value
	}
	if p.before != nil {
		p.before()
	}
	c, err := pgtest.Dial(p.address, o)
	var refused *pgwire.Error
	if errors.As(err, &refused) {
		p.note(st.client, "refused "+refused.Error())
		p.brief = append(p.brief, st.client+" refused("+refused.Code+")")
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Params)) {
		if name != "in_hot_standby" {
			p.note(st.client, "is told "+name+"="+c.Params[name])
		}
	}
	p.clients[st.client] = &actor{Client: c}
	return nil
}

// read sends what waits and reads what the step says.
func (p *player) read(st *step, a *actor) error {
	if p.before != nil {
		p.before()
	}
	queue := a.queue
	a.queue = nil
	sent := make(chan error, 1)
	go func() { sent <- a.SendBytes(queue) }()
	var got brief
	err := p.reading(st, a, &got)
	if len(got) > 0 {
		p.brief = append(p.brief, st.client+" "+strings.Join(got, " "))
	}
	if st.verb == "abort" {
		<-sent
		return nil
	}
	if err := <-sent; err != nil && st.verb != "closed" {
		return err
	}
	return err
}

func (p *player) reading(st *step, a *actor, got *brief) error {
	switch st.verb {
	case "send":
		return nil
	case "abort":
		delete(p.clients, st.client)
		return a.Abort()
	case "cancel":
		return a.Cancel()
	case "ready":
		n := 1
		if st.rest != "" {
			n, _ = strconv.Atoi(st.rest)
		}
		for range n {
			if err := p.until(st.client, a, "ReadyForQuery", got); err != nil {
				return err
			}
		}
		return nil
	case "until":
		return p.until(st.client, a, st.rest, got)
	case "closed":
		err := p.until(st.client, a, "", got)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			*got = append(*got, "closed")
			delete(p.clients, st.client)
			return nil
		}
		return fmt.Errorf("the server did not close: %w", err)
	}
	return errors.New("no such step")
}

// until reads up to a message of a name.
func (p *player) until(who string, a *actor, name string, got *brief) error {
	for {
		frame, err := a.Read()
		if err != nil {
			return err
		}
		p.note(who, p.traceOf(frame))
		got.add(frame)
		if pgwire.MessageName(false, frame[0]) == name {
			return nil
		}
	}
}

func (p *player) note(who, what string) { p.trace = append(p.trace, who+" "+what) }

// ask runs a statement on the node itself.
func (p *player) ask(st *step) error {
	until := time.Now().Add(10 * time.Second)
	for {
		r := p.look.ExecParams(context.Background(), st.rest, nil, nil, nil, nil).Read()
		if r.Err != nil {
			return r.Err
		}
		if st.verb == "look" {
			p.trace = append(p.trace, fmt.Sprintf("the node has %q", r.Rows))
			p.brief = append(p.brief, fmt.Sprintf("the node has %s", r.Rows))
			return nil
		}
		if len(r.Rows) == 1 && string(r.Rows[0][0]) == "t" {
			return nil
		}
		if time.Now().After(until) {
			return errors.New("it did not become true")
		}
		time.Sleep(time.Millisecond)
	}
}

// traceOf is the trace of a frame without what differs from one session to the next: process ids, where in the server's source
// an error is raised, and the numbers of tables made in the script.
func (p *player) traceOf(frame []byte) string {
	frame = slices.Clone(frame)
	switch frame[0] {
	case pgwire.MsgErrorResponse, pgwire.MsgNoticeResponse:
		if e, err := pgwire.DecodeError(frame); err == nil {
			e.File, e.Line, e.Routine = "", 0, ""
			if frame[0] == pgwire.MsgErrorResponse {
				frame = pgwire.AppendError(nil, e)
			} else {
				frame = pgwire.AppendNotice(nil, e)
			}
		}
	case pgwire.MsgNotification:
		copy(frame[5:9], "pid.")
	case pgwire.MsgRowDescription:
		p.renumber(frame)
	}
	line := string(pgwire.Trace(nil, false, frame))
	if len(frame) > 200 {
		h := fnv.New64a()
		_, _ = h.Write(frame)
		line += fmt.Sprintf(" #%x", h.Sum64())
	}
	return line
}

// renumber replaces the OIDs of tables and types that the script made.
func (p *player) renumber(frame []byte) {
	b := frame[7:]
	for range binary.BigEndian.Uint16(frame[5:]) {
		for b[0] != 0 {
			b = b[1:]
		}
		for _, at := range []int{1, 7} {
			oid := binary.BigEndian.Uint32(b[at:])
			if oid < 16384 {
				continue
			}
			if p.oids[oid] == 0 {
				p.oids[oid] = 1_000_000 + uint32(len(p.oids))
			}
			binary.BigEndian.PutUint32(b[at:], p.oids[oid])
		}
		b = b[19:]
	}
}

// brief says in a few words what was read, alike in all versions of PostgreSQL.
type brief []string

func (b *brief) add(frame []byte) {
	w := pgwire.MessageName(false, frame[0])
	switch frame[0] {
	case pgwire.MsgErrorResponse, pgwire.MsgNoticeResponse:
		w += "(" + string(pgwire.ErrorField(frame, pgwire.FieldCode)) + ")"
	case pgwire.MsgReadyForQuery:
		w = "Ready(" + string(frame[5:]) + ")"
	case pgwire.MsgCommandComplete:
		w = "Complete(" + string(frame[5:len(frame)-1]) + ")"
	case pgwire.MsgParameterStatus:
		name, value, _ := pgwire.ParameterStatus(frame)
		w += "(" + string(name) + "=" + string(value) + ")"
	case pgwire.MsgDataRow:
		w = rowBrief(frame)
	case pgwire.MsgCopyData:
		w = strings.TrimPrefix(string(pgwire.Trace(nil, false, frame)), "B ")
	}
	if n := len(*b); n > 0 {
		last, count, _ := strings.Cut((*b)[n-1], " ×")
		if last == w {
			k, _ := strconv.Atoi(count)
			(*b)[n-1] = w + " ×" + strconv.Itoa(max(k, 1)+1)
			return
		}
	}
	*b = append(*b, w)
}

// rowBrief shows a small row whole, and the size of a large one.
func rowBrief(frame []byte) string {
	if len(frame) > 100 {
		return fmt.Sprintf("DataRow(%d bytes)", len(frame))
	}
	parts := strings.SplitN(string(pgwire.Trace(nil, false, frame)), " ", 5)
	if len(parts) < 5 {
		return "DataRow()"
	}
	return "DataRow(" + parts[4] + ")"
}
