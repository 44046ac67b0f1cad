package proxy

import (
	"maps"
	"slices"
	"sync"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// params are reported parameter values (ParameterStatus): immutable.
type params struct{ list []pgwire.Param }

// newParams copies what a backend has reported. Which node it is a client is not to see: it talks to all of them.
func newParams(reported []pool.Param) *params {
	p := &params{list: make([]pgwire.Param, 0, len(reported))}
	for _, r := range reported {
		if r.Name != "in_hot_standby" {
			p.list = append(p.list, pgwire.Param{Name: r.Name, Value: r.Value})
		}
	}
	return p
}

func (p *params) value(name string) (string, bool) {
	if p == nil {
		return "", false
	}
	for _, e := range p.list {
		if e.Name == name {
			return e.Value, true
		}
	}
	return "", false
}

// with returns the values with one replaced.
func (p *params) with(name, value string) *params {
	if now, ok := p.value(name); ok && now == value {
		return p
	}
	next := &params{list: make([]pgwire.Param, 0, len(p.list)+1)}
	found := false
	for _, e := range p.list {
		if e.Name == name {
			e.Value, found = value, true
		}
		next.list = append(next.list, e)
	}
	if !found {
		next.list = append(next.list, pgwire.Param{Name: name, Value: value})
	}
	return next
}

// sameBut reports whether two reports agree but for one parameter, which both have in the same place.
func (p *params) sameBut(o *params, name string) bool {
	return slices.EqualFunc(p.list, o.list, func(a, b pgwire.Param) bool { return a == b || a.Name == name && b.Name == name })
}

// report tells the client the values that differ from those it was told.
func (s *session) report(now *params) {
	for _, e := range now.list {
		if told, ok := s.reported.value(e.Name); ok && told == e.Value {
			continue
		}
		s.client.SetQueue(pgwire.AppendParameterStatus(s.client.QueueBuffer(), e.Name, e.Value))
	}
	s.reported, s.reportedIdle = now, now
	s.heedUsual(now)
}

// parameterStatus notes a value that a backend reports, and tells the client if it was told another.
func (s *session) parameterStatus(l *link, frame []byte) verdict {
	name, value, err := pgwire.ParameterStatus(frame)
	if err != nil {
		l.lost = err
		return stop
	}
	if string(name) == "in_hot_standby" {
		return drop
	}
	if _, known := l.notes.params.value(string(name)); !known && len(l.notes.params.list) >= paramLimit {
		l.lost = protocolError(frame[0])
		return stop
	}
	l.notes.params = l.notes.params.with(string(name), string(value))
	if f := l.replies.first(); f != nil && f.do == skip {
		return drop // the session's settings are being put in force: the client knows them, or hears at the end
	}
	told, ok := s.reported.value(string(name))
	s.heedReported(string(name), string(value))
	s.reported = l.notes.params
	if ok && told == string(value) {
		return drop
	}
	s.answering(l)
	return pass
}

// loginParams are the values to tell clients that log in, by their startup settings, as a backend reported them.
type loginParams struct {
	mu    sync.Mutex // guards what follows
	byKey map[loginKey]*loginEntry
	fresh map[string]*params // of the newest backend, by the same user
	last  lastLogin
}

// lastLogin is what find was asked for last, and the entry, which says what it said then; nil: there is none.
type lastLogin struct {
	user     string
	settings *settings
	entry    *loginEntry
}

// loginKey are clients that are told the same: by the user that their backends are logged in as, empty for the database's own, and by
// their startup settings. Settings that differ in the application's name only share one, as long as it is known what a server makes of
// the name.
type loginKey struct {
	user  string
	id    uint64
	named bool // the name is to be filled in
}

func (s *settings) loginKey(user string) loginKey {
	if e, ok := s.lookup(applicationName); ok && asIs(e.value) {
		return loginKey{user, s.like, true}
	}
	return loginKey{user, s.id, false}
}

type loginEntry struct {
	settings *settings
	greeting // with the application's name of whoever logged in last, if that is to be filled in
}

// greeting is what a client is told when it has logged in: the values, and the messages that tell them, neither of which anybody changes.
type greeting struct {
	params *params
	told   []byte
	sense  textSense
}

func (e *loginEntry) tell(now *params) {
	if now == e.params {
		return
	}
	e.params, e.told = now, nil
	for _, one := range now.list {
		e.told = pgwire.AppendParameterStatus(e.told, one.Name, one.Value)
	}
}

// paramLimit bounds how many values a backend may report: PostgreSQL has a dozen, and no extension hundreds.
const paramLimit = 500

// loginLimit bounds how many kinds of startup settings are remembered.
const loginLimit = 1024

func (p *loginParams) init() { p.byKey, p.fresh = map[loginKey]*loginEntry{}, map[string]*params{} }

// find returns the greeting; without values when they are not known.
func (p *loginParams) find(user string, set *settings) greeting {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.last.entry
	if e == nil || p.last.settings != set || p.last.user != user {
		if e = p.entry(user, set); e == nil {
			return greeting{}
		}
		p.last = lastLogin{user, set, e}
	}
	return e.greeting
}

// entry is what tells clients of a user with certain settings; nil: there is none. The caller holds mu.
func (p *loginParams) entry(user string, set *settings) *loginEntry {
	key := set.loginKey(user)
	switch e := p.byKey[key]; {
	case e == nil:
	case key.named && e.settings.sameButName(set):
		name, _ := set.lookup(applicationName)
		e.tell(e.params.with(applicationName, name.value))
		return e
	case !key.named && e.settings.same(set):
		return e
	}
	return nil
}

// add notes the values, and returns the greeting that tells them.
func (p *loginParams) add(user string, set *settings, now *params) greeting {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byKey) >= loginLimit {
		clear(p.byKey)
	}
	p.last = lastLogin{}
	e := &loginEntry{settings: set}
	e.tell(now)
	e.sense = senseBy(valueOr(set, now, backslashes), valueOr(set, now, clientEncoding))
	p.byKey[set.loginKey(user)] = e
	return e.greeting
}

// forget makes the next login ask a backend: a node may have another version now.
func (p *loginParams) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = lastLogin{}
	clear(p.byKey)
}

// saw notes what a new backend reports. If that is not what the one before did, a node has another version now, or other defaults:
// the next login asks a backend.
func (p *loginParams) saw(user string, fresh *params) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.fresh[user]; last != nil && !slices.Equal(last.list, fresh.list) {
		p.last = lastLogin{}
		maps.DeleteFunc(p.byKey, func(k loginKey, _ *loginEntry) bool { return k.user == user })
	}
	if len(p.fresh) >= loginLimit {
		clear(p.fresh)
	}
	p.fresh[user] = fresh
}

// ownUser is the client's user where its backends are logged in as that; else empty.
func (s *session) ownUser() string {
	if s.asClient == nil {
		return ""
	}
	return s.userName
}

// reportParams tells a client that has logged in what a backend of its database reports under the client's settings. It checks
// the settings by that: PostgreSQL refuses a login with a setting that is no good.
func (s *session) reportParams() bool {
	g := s.db.logins.find(s.ownUser(), s.settings)
	if g.params == nil {
		s.takeScratch()
		s.enterTransaction()
		l, e := s.loginLink()
		if e != nil {
			s.fatalError(e)
			return false
		}
		g = s.db.logins.add(s.ownUser(), s.settings, l.notes.params)
		s.releaseAfter()
	}
	s.client.Queue(g.told)
	s.reported, s.reportedIdle, s.usual = g.params, g.params, g.params
	s.applySense(g.sense)
	return true
}

// loginLink is a backend of the first shard that has one. A shard that owns nothing serves nothing.
func (s *session) loginLink() (l *link, e *pgwire.Error) {
	for i := range s.place.shards.ShardCount() {
		if s.place.shards.Shard(i).Owned == 0 && i != s.place.home() {
			continue
		}
		if l, e = s.acquire(i, pool.Primary, nil); e != nil {
			continue
		}
		if s.settingsInForce(l) {
			return l, nil
		}
		return l, s.sendSettings(l)
	}
	return nil, e
}
