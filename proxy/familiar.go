package proxy

import (
	"bytes"
	"sync/atomic"

	"github.com/pgdrover/pgdrover/pgwire"
)

// familiar are first packets that came before: the clients of an application all begin alike. The zero value is ready, and anyone may use it at any
// time. The first place is for requests for encryption. Of the others each is for startup messages of certain lengths, and the latest takes it.
type familiar [17]atomic.Pointer[hello]

// requestLen is the length of a request for encryption, which no startup message has.
const requestLen = 8

// hello is a first packet, decoded, and what a database made of its settings. It is not changed but for that.
type hello struct {
	packet []byte
	pgwire.Startup
	begin atomic.Pointer[beginning]
}

// beginning are the settings that a database has its sessions begin with. They are the server's alone, so that they do not depend on who says them.
type beginning struct {
	of       *Database
	settings *settings
}

// read decodes a whole first packet, or finds it decoded. That of a cancel request, which is a secret, is not kept.
func (f *familiar) read(packet []byte) (*hello, error) {
	place := &f[0]
	if len(packet) != requestLen {
		place = &f[1+len(packet)%(len(f)-1)]
	}
	if o := place.Load(); o != nil && bytes.Equal(o.packet, packet) {
		return o, nil
	}
	st, err := pgwire.ParseStartup(packet)
	if err != nil {
		return nil, err
	}
	o := &hello{Startup: st}
	if st.Kind != pgwire.KindCancel {
		o.packet = bytes.Clone(packet)
		place.Store(o)
	}
	return o, nil
}
