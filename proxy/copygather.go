package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// copyOut is how the data of a COPY TO STDOUT of all shards becomes one: it has one header, and binary data one mark at its end. A
// server sends each row in a message of its own, with the header of binary data before the first (manual, "COPY Operations").
type copyOut struct {
	how   *router.CopyOptions // nil: the statement is no COPY
	shard int                 // whose data it is, by its place among all
	begun bool                // the shard has sent data
	head  []byte              // of binary data, until the client has it with the first row
}

// takeCopy is take for the data of a COPY.
func (g *gatherer) takeCopy(frames []byte) ([]byte, *pgwire.Error) {
	for typ, frame := range framesIn(frames) {
		frames = frames[len(frame):]
		switch typ {
		case pgwire.MsgCopyOut:
			if g.copy.begun = false; g.copy.shard > 0 {
				break
			}
			if g.described && g.bind != nil {
				g.s.client.Queue(pgwire.AppendNoData(nil))
			}
			g.s.client.Queue(frame)
		case pgwire.MsgCopyData:
			g.copyRow(frame)
		case pgwire.MsgNoticeResponse:
			g.s.client.Queue(frame)
		case pgwire.MsgDataRow, pgwire.MsgCopyIn:
			return nil, errProtocol
		}
	}
	return frames, nil
}

// copyRow tells the client a row, without what belongs to the data of one shard only.
func (g *gatherer) copyRow(frame []byte) {
	first, last := !g.copy.begun, g.copy.shard == len(g.all)-1
	g.copy.begun = true
	if g.copy.how.Format != router.CopyBinary {
		if !first || g.copy.shard == 0 || !g.copy.how.Header {
			g.s.client.Queue(frame)
		}
		return
	}
	data := frame[pgwire.HeaderLen:]
	if first && len(data) >= copyHeader {
		if g.copy.shard == 0 {
			g.copy.head = bytes.Clone(data[:copyHeader])
		}
		data = data[copyHeader:]
	}
	if !last && string(data) == "\xff\xff" {
		return
	}
	g.s.client.SetQueue(pgwire.AppendCopyData(g.s.client.QueueBuffer(), g.copy.head, data))
	g.copy.head = nil
}

// copyEnd ends the data of a COPY and returns its tag.
func (g *gatherer) copyEnd() string {
	rows := 0
	for i := range g.all {
		rows += int(copiedRows(g.all[i].out.tag))
	}
	g.s.client.SetQueue(pgwire.AppendCopyDone(g.s.client.QueueBuffer()))
	return "COPY " + strconv.Itoa(rows)
}

// copiedRows is how many rows a tag says that a COPY has copied.
func copiedRows(tag string) int64 {
	n, _ := strconv.ParseInt(strings.TrimPrefix(tag, "COPY "), 10, 64)
	return n
}
