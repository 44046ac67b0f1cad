package proxy

import (
	"errors"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// passesThrough reports whether the database that the client asks for has its backends logged in as the client.
func (s *session) passesThrough() bool {
	db := s.asked.database
	return db != nil && db.options().PassThrough
}

// becomeClient has the session's backends logged in as the client itself, where the database is set up so.
func (s *session) becomeClient() *pgwire.Error {
	if !s.db.options().PassThrough {
		return nil
	}
	if s.login.keys == nil {
		return &pgwire.Error{Code: "28000", Message: "database \"" + s.databaseName + "\" is for clients that log in by SCRAM",
			Detail: "PgDrover logs in to its nodes with the client's own SCRAM keys, and there are none.",
			Hint:   "the method is chosen under \"auth: rules\" in pgdrover.yaml"}
	}
	login, err := s.db.cluster.Login(s.userName, *s.login.keys)
	s.login.keys = nil
	if err != nil {
		return clientError(err)
	}
	s.asClient = login
	return nil
}

// backendUser is who the session's backends are logged in as.
func (s *session) backendUser() string {
	switch {
	case s.db == nil:
		return ""
	case s.asClient != nil:
		return s.userName
	}
	return s.db.cluster.Config().User
}

// noBackend is what the client is told when it gets no backend. When a node has refused its own login, its password may have been
// changed: the next login asks the database again.
func (s *session) noBackend(err error) *pgwire.Error {
	var e *pool.Error
	if s.asClient != nil && s.cfg.Query != nil && errors.As(err, &e) && strings.HasPrefix(e.Code, "28") {
		s.cfg.Query.doubt(s.databaseName, s.userName)
	}
	return clientError(err)
}
