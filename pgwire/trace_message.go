package pgwire

import (
	"encoding/binary"
	"fmt"
)

// client shows the body of a message that a client sent.
func (t *tracer) client(typ byte) {
	switch typ {
	case MsgQuery, MsgCopyFail:
		t.text()
	case MsgParse:
		t.text()
		t.text()
		t.each(t.oid)
	case MsgBind:
		t.text()
		t.text()
		t.each(t.field)
		t.each(t.value)
		t.each(t.field)
	case MsgDescribe, MsgClose:
		t.char()
		t.text()
	case MsgExecute:
		t.text()
		t.unsigned(4)
	case MsgFunctionCall:
		t.oid()
		t.each(t.field)
		t.each(t.value)
		t.field()
	case MsgPassword:
		t.hide("secret")
	case MsgCopyData:
		t.bytes()
	case MsgCopyDone, MsgFlush, MsgSync, MsgTerminate:
	default:
		t.bytes()
	}
}

// server shows the body of a message that a server sent.
func (t *tracer) server(typ byte) {
	switch typ {
	case MsgAuthentication:
		t.authentication()
	case MsgBackendKeyData:
		t.unsigned(4)
		t.hide("secret")
	case MsgCommandComplete:
		t.text()
	case MsgParameterStatus:
		t.text()
		t.text()
	case MsgReadyForQuery:
		t.char()
	case MsgRowDescription:
		t.each(t.column)
	case MsgDataRow:
		t.each(t.value)
	case MsgParameterDescription:
		t.each(t.oid)
	case MsgErrorResponse, MsgNoticeResponse:
		t.fields()
	case MsgNotification:
		t.unsigned(4)
		t.text()
		t.text()
	case MsgCopyIn, MsgCopyOut, MsgCopyBoth:
		t.copyFormat()
	case MsgNegotiateVersion:
		t.negotiation()
	case MsgFunctionCallResponse:
		t.value()
	case MsgCopyData:
		t.bytes()
	case MsgBindComplete, MsgCloseComplete, MsgCopyDone, MsgEmptyQuery,
		MsgNoData, MsgParseComplete, MsgPortalSuspended:
	default:
		t.bytes()
	}
}

func (t *tracer) authentication() {
	b := t.take(4)
	if t.bad {
		return
	}
	switch kind := binary.BigEndian.Uint32(b); kind {
	case authOK:
		t.dst = append(t.dst, " Ok"...)
	case authCleartext:
		t.dst = append(t.dst, " CleartextPassword"...)
	case authMD5:
		t.dst = append(t.dst, " MD5Password"...)
		t.hide("salt")
	case authSASL:
		t.dst = append(t.dst, " SASL"...)
		t.texts()
	case authSASLContinue:
		t.dst = append(t.dst, " SASLContinue"...)
		t.hide("challenge")
	case authSASLFinal:
		t.dst = append(t.dst, " SASLFinal"...)
		t.hide("outcome")
	default:
		t.dst = fmt.Appendf(t.dst, " kind %d", kind)
		t.hide("content")
	}
}

// texts shows strings up to an empty one.
func (t *tracer) texts() {
	for !t.bad && len(t.rest) > 0 && t.rest[0] != 0 {
		t.text()
	}
	t.take(1)
}

// column shows a column's name, table, number in it, type, size, modifier and
// format.
func (t *tracer) column() {
	t.text()
	t.oid()
	t.signed(2)
	t.oid()
	t.signed(2)
	t.signed(4)
	t.signed(2)
}

func (t *tracer) fields() {
	for !t.bad && len(t.rest) > 0 && t.rest[0] != 0 {
		t.char()
		t.text()
	}
	t.take(1)
}

func (t *tracer) copyFormat() {
	b := t.take(1)
	if t.bad {
		return
	}
	switch b[0] {
	case 0:
		t.dst = append(t.dst, " text"...)
	case 1:
		t.dst = append(t.dst, " binary"...)
	default:
		t.dst = fmt.Appendf(t.dst, " format %d", b[0])
	}
	t.each(t.field)
}

func (t *tracer) negotiation() {
	b := t.take(4)
	if t.bad {
		return
	}
	version := binary.BigEndian.Uint32(b)
	t.dst = fmt.Appendf(t.dst, " %d.%d", version>>16, version&0xffff)
	n := t.unsigned(4)
	for i := int64(0); i < n && !t.bad; i++ {
		t.text()
	}
}
