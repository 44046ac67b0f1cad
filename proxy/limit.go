package proxy

import (
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Limits bound what the clients of one user, or of one database, may do. 0 is no limit.
type Limits struct {
	Clients         int           // sessions at once
	QueryWait       time.Duration // how long a statement may wait for a backend; a database's is pool.Config.Wait
	IdleTransaction time.Duration // how long a client may leave a transaction open without a word
	Statement       time.Duration // how long a statement may run on its backends
}

// tighter are the smaller times of two. Clients are counted for each by itself, and not compared.
func (l Limits) tighter(o Limits) Limits {
	smaller := func(a, b time.Duration) time.Duration {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	return Limits{QueryWait: smaller(l.QueryWait, o.QueryWait), IdleTransaction: smaller(l.IdleTransaction, o.IdleTransaction),
		Statement: smaller(l.Statement, o.Statement)}
}

// kept is a place where they stay: the same for all that are none.
func (l Limits) kept() *Limits {
	if l == *noLimits {
		return noLimits
	}
	own := l
	return &own
}

// shortest is the shortest time that has to be looked after; 0 when there is none.
func (l Limits) shortest() time.Duration {
	return l.tighter(Limits{IdleTransaction: l.Statement}).IdleTransaction
}

// noLimits are those of a session that has not logged in, and of the console.
var noLimits = &Limits{} // it is not changed

// limit puts in force what the configuration says of the session's user and database. Anyone may call it; it does nothing before the
// session has logged in.
func (s *session) limit() {
	db := s.database()
	if db == nil {
		return
	}
	for cfg := s.srv.config.Load(); ; {
		s.limits.Store(cfg.limitsOf(s.userName).tighter(db.Limits()).kept())
		latest := s.srv.config.Load()
		if latest == cfg {
			return
		}
		cfg = latest
	}
}

// limitsOf are those of a user.
func (c *Config) limitsOf(user string) Limits {
	if c.unlimited {
		return Limits{}
	}
	if u := c.Users[user]; u != nil {
		return u.Limits
	}
	return Limits{}
}

// pace is how long the watch over sessions pauses: a tenth of the shortest time in force, within bounds.
func (c *Config) pace() time.Duration {
	var all Limits
	for _, u := range c.Users {
		all = all.tighter(u.Limits)
	}
	for _, d := range c.Databases {
		all = all.tighter(d.Limits())
	}
	least := c.AuthTime
	if shortest := all.shortest(); shortest > 0 {
		least = min(least, shortest)
	}
	return min(max(least/10, leastPace), slowAfter)
}

// leastPace is the shortest pause of the watch over sessions.
const leastPace = 100 * time.Millisecond

// Names of limits, as they are counted.
const (
	limitClients         = "clients"
	limitUser            = "user_clients"
	limitDatabase        = "database_clients"
	limitAddress         = "per_address"
	limitStatement       = "statement_timeout"
	limitIdleTransaction = "idle_transaction_timeout"
)

// crossed counts that a limit was reached, and returns e.
func (s *session) crossed(limit string, e *pgwire.Error) *pgwire.Error {
	database := ""
	if _, known := s.cfg.Databases[s.databaseName]; known {
		database = s.databaseName
	}
	s.srv.metrics.crossed(LimitKey{database, limit})
	return e
}
