package proxy

import (
	"bytes"
	"sync/atomic"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// familiar are first packets that came before: the clients of an application all begin alike. The zero value is ready, and anyone may use it at any
// time. The first place is for requests for encryption. Of the others each is for startup messages of certain lengths, and the latest takes it.
type familiar [17]atomic.Pointer[hello]

// requestLen is the length of a request for encryption, which no startup message has.
const requestLen = 8

// hello is a first packet, decoded, with what it was found to ask for, and what a database made of its settings. It is not changed but for those.
type hello struct {
	packet []byte
	pgwire.Startup
	user, database string        // that a startup message names
	replicates     bool          // it asks for logical replication
	unfit          *pgwire.Error // what it says of replication that is no good
	asks           atomic.Pointer[asked]
	begin          atomic.Pointer[beginning]
}

// asked is what a configuration has by the names that a startup message says: nil where it has nothing.
type asked struct {
	of       *Config
	user     *User
	database *Database
	gone     *Usage // what sessions of the database have done that are gone: usages.goneOf, by and by
}

// beginning is what a database, with certain options, has its sessions begin with. The settings are the server's alone, so that they do not depend on
// who says them.
type beginning struct {
	options  *Options
	settings *settings
	env      router.Env // of such a session, but for what servers report; it has no Prepared
}

// newHello is a first packet that was decoded.
func newHello(st pgwire.Startup) *hello {
	o := &hello{Startup: st}
	if st.Kind != pgwire.KindStartup {
		return o
	}
	o.user, _ = st.Param("user")
	if o.database, _ = st.Param("database"); o.database == "" {
		o.database = o.user
	}
	o.replicates, o.unfit = replication(&o.Startup)
	return o
}

// in is what the startup message asks for, by a configuration.
func (o *hello) in(c *Config) *asked {
	a := o.asks.Load()
	if a == nil || a.of != c {
		a = &asked{of: c, user: c.Users[o.user], database: c.Databases[o.database]}
		o.asks.Store(a)
	}
	return a
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
	o := newHello(st)
	if st.Kind != pgwire.KindCancel {
		o.packet = bytes.Clone(packet)
		place.Store(o)
	}
	return o, nil
}
