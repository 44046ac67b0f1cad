package proxy

import (
	"sync"

	"github.com/pgdrover/pgdrover/pgwire"
)

// census counts the sessions that have logged in, by user and by database; those of the console are not counted. The zero value is
// ready.
type census struct {
	mu        sync.Mutex // guards what follows
	all       int
	users     map[string]int
	databases map[string]int
}

// enter counts a session, unless a limit (0: none) has been reached already, whose name it returns then. So the number of sessions
// never exceeds a limit that was in force when they came.
func (c *census) enter(user, database string, all, ofUser, ofDatabase int) (reached string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == nil {
		c.users, c.databases = map[string]int{}, map[string]int{}
	}
	switch {
	case all > 0 && c.all >= all:
		return limitClients
	case ofUser > 0 && c.users[user] >= ofUser:
		return limitUser
	case ofDatabase > 0 && c.databases[database] >= ofDatabase:
		return limitDatabase
	}
	c.all++
	c.users[user]++
	c.databases[database]++
	return ""
}

// leave takes a session that was counted out of the counts.
func (c *census) leave(user, database string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	lessOne(c.users, user)
	lessOne(c.databases, database)
}

func lessOne(counts map[string]int, name string) {
	counts[name]--
	if counts[name] == 0 {
		delete(counts, name)
	}
}

// full reports whether so many clients have logged in that nobody else can.
func (c *census) full(all int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return all > 0 && c.all >= all
}

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
	reached := s.srv.census.enter(s.userName, s.databaseName, s.cfg.Clients, s.user.Limits.Clients, s.db.Limits().Clients)
	switch reached {
	case "":
		s.login.entered = true
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
