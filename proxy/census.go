package proxy

import (
	"sync"
	"sync/atomic"

	"github.com/pgdrover/pgdrover/pgwire"
)

// census counts the sessions that have logged in, by user and by database; those of the console are not counted. The zero value is
// ready.
type census struct {
	mu        sync.Mutex // guards what follows
	users     map[string]*presence
	databases map[string]*presence
	lately    lately

	all atomic.Int64 // set with mu held, and read by anyone
}

// lately are the user and the database of the session that came last, if they have one yet: the next is likely to be of the same.
type lately struct{ user, database *presence }

// presence is how many sessions a user or a database has.
type presence struct {
	name  string
	count int
}

// enter counts a session, unless a limit (0: none) has been reached already, whose name it returns then. So the number of sessions
// never exceeds a limit that was in force when they came. The counts that it is in are for leave.
func (c *census) enter(user, database string, all, ofUser, ofDatabase int) (u, d *presence, reached string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == nil {
		c.users, c.databases = map[string]*presence{}, map[string]*presence{}
	}
	if u, d = c.lately.user, c.lately.database; u == nil || u.name != user {
		u = c.users[user]
	}
	if d == nil || d.name != database {
		d = c.databases[database]
	}
	switch {
	case c.full(all):
		return nil, nil, limitClients
	case ofUser > 0 && u != nil && u.count >= ofUser:
		return nil, nil, limitUser
	case ofDatabase > 0 && d != nil && d.count >= ofDatabase:
		return nil, nil, limitDatabase
	}
	c.all.Add(1)
	u, d = oneMore(c.users, u, user), oneMore(c.databases, d, database)
	c.lately = lately{u, d}
	return u, d, ""
}

// leave takes a session that was counted out of the counts.
func (c *census) leave(user, database *presence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Add(-1)
	if oneLess(c.users, user) {
		c.lately.user = nil
	}
	if oneLess(c.databases, database) {
		c.lately.database = nil
	}
}

// oneMore counts one more of a name, of which p is nil if there was none.
func oneMore(counts map[string]*presence, p *presence, name string) *presence {
	if p == nil {
		p = &presence{name: name}
		counts[name] = p
	}
	p.count++
	return p
}

// oneLess counts one less of a name, and reports whether that was the last.
func oneLess(counts map[string]*presence, p *presence) (last bool) {
	if p.count--; p.count > 0 {
		return false
	}
	delete(counts, p.name)
	return true
}

// full reports whether so many clients have logged in that nobody else can.
func (c *census) full(all int) bool { return all > 0 && int(c.all.Load()) >= all }

// turnedAway refuses a client that could not stay, before it costs anything to find out who it is; nil when there is room. The
// console has room always.
func (s *session) turnedAway() *pgwire.Error {
	if s.databaseName == consoleDatabase || !s.srv.census.full(s.cfg.Clients) {
		return nil
	}
	return s.crossed(limitClients, errFull)
}

// counted counts the session among those of its user and database, or says which of them have too many.
func (s *session) counted() *pgwire.Error {
	var reached string
	s.login.ofUser, s.login.ofDatabase, reached = s.srv.census.enter(s.userName, s.databaseName, s.cfg.Clients, s.user.Limits.Clients, s.db.Limits().Clients)
	switch reached {
	case "":
		return nil
	case limitClients:
		return s.crossed(reached, errFull)
	case limitUser:
		return s.crossed(reached, &pgwire.Error{Code: "53300", Message: "too many connections for role \"" + s.userName + "\"",
			Hint: "the limit is the user's \"limits: clients\" in pgdrover.yaml"})
	}
	return s.crossed(reached, &pgwire.Error{Code: "53300", Message: "too many connections for database \"" + s.databaseName + "\"",
		Hint: "the limit is the database's \"limits: clients\" in pgdrover.yaml"})
}

// errFull is what a client is told that is one too many for the whole program, in PostgreSQL's words.
var errFull = &pgwire.Error{Code: "53300", Message: "sorry, too many clients already", Hint: "the limit is \"limits: clients\" in pgdrover.yaml"}
