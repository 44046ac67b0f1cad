package proxy

import "github.com/pgdrover/pgdrover/router"

const searchPath = "search_path"

// localPath is the search path that a transaction has of its own.
type localPath struct {
	set   bool
	value string
}

// after is what is left of it after a change for the session.
func (p localPath) after(c router.Change) localPath {
	if c.Name == searchPath || c.All {
		return localPath{}
	}
	return p
}

// changeLocal notes what a transaction has set for itself, as far as routes depend on it.
func (s *session) changeLocal(c router.Change) {
	s.tx.local = true
	switch c.Name {
	case ownTenant:
		s.tx.tenant, _ = s.db.Map().TenantType().ParseText([]byte(c.Value))
		s.tx.tenant = s.tx.tenant.Clone()
	case searchPath:
		s.tx.path = localPath{true, c.Value}
		if c.Reset {
			began, _ := s.initial.lookup(searchPath)
			s.tx.path.value = began.value
		}
	default:
		return
	}
	s.applyEnv()
}
