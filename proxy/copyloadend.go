package proxy

import (
	"strconv"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// stopReason is what shards are told that have to give up, which are not asked why they failed.
const stopReason = "pgdrover: the COPY has failed"

// close ends the COPY on all shards: e is why it has failed, nil if it has not. It returns how many rows they have taken.
func (ld *loader) close(e *pgwire.Error) (int64, *pgwire.Error) {
	s := ld.s
	all := make([]gathered, len(ld.outlets))
	for i, o := range ld.outlets {
		all[i] = gathered{link: o.link, out: o.out}
		o.link.sink = &all[i].out
		if o.link.lost != nil || !o.link.copyIn {
			continue
		}
		if o.stopped = e != nil && o != ld.doubted; o.stopped {
			o.link.conn.SetQueue(pgwire.AppendCopyFail(o.link.conn.QueueBuffer(), stopReason))
		} else {
			o.link.conn.SetQueue(pgwire.AppendCopyDone(o.link.conn.QueueBuffer()))
		}
		o.link.copyIn = false
		_ = o.link.conn.Flush()
	}
	if len(all) > 0 {
		s.gather(all, time.Time{})
	}
	rows := int64(0)
	for i, o := range ld.outlets {
		o.out = all[i].out
		if !ld.how.Every || i == 0 {
			rows += copiedRows(o.out.tag)
		}
	}
	if told := ld.told(); told != nil {
		return 0, told
	}
	return rows, e
}

// told is the error of the shards that the client is told of: that of the first line.
func (ld *loader) told() *pgwire.Error {
	var told *pgwire.Error
	first := int64(0)
	for _, o := range ld.outlets {
		e := o.out.fault
		if e == nil || o.stopped && strings.Contains(e.Message, stopReason) {
			continue
		}
		line, e := ld.inClientsLines(o, e)
		if told == nil || line > 0 && (line < first || first == 0) {
			told, first = e, line
		}
	}
	return told
}

// inClientsLines is an error of a shard with the client's number of the line, which it returns; 0 if the error names none.
func (ld *loader) inClientsLines(o *outlet, e *pgwire.Error) (int64, *pgwire.Error) {
	named := *e
	if o != ld.doubted {
		named = *ld.s.onShardError(o.link.shard, e)
	}
	begin, length, line := lineIn(e.Where, ld.how.Name)
	if length == 0 || ld.how.Every {
		return line, &named
	}
	client, known := o.lines.find(line)
	if line > o.lines.own {
		client, known = o.begun+line-o.lines.own, true
		if ld.now != o && ld.doubted != o {
			client = ld.line + line - o.lines.own
		}
	}
	if !known {
		named.Detail += " The line is that of the data which this shard was given."
		return line, &named
	}
	named.Where = e.Where[:begin] + strconv.FormatInt(client, 10) + e.Where[begin+length:]
	return client, &named
}

// lineIn finds the number of a line in what a server says of where in a COPY an error is, in whatever language. A length of 0 says
// that there is none.
func lineIn(where, table string) (begin, length int, line int64) {
	prefix := "COPY " + table + ", "
	begin = strings.Index("\n"+where, "\n"+prefix)
	if begin < 0 {
		return 0, 0, 0
	}
	begin += len(prefix)
	for begin < len(where) && where[begin] != '\n' && (where[begin] < '0' || where[begin] > '9') {
		begin++
	}
	for begin+length < len(where) && where[begin+length] >= '0' && where[begin+length] <= '9' {
		length++
	}
	line, _ = strconv.ParseInt(where[begin:begin+length], 10, 64)
	return begin, length, line
}
