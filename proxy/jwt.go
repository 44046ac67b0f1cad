package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// The times of a key set.
const (
	keyFetchTime = 10 * time.Second // for one attempt to fetch it
	keyFetchGap  = 5 * time.Second  // between two attempts, whatever tokens ask for
)

// tokenAlgorithms are the signatures that count: with a private key that PgDrover does not have, and so never HMAC or none.
var tokenAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} // not changed

// TokensConfig says which tokens are good, and what they say of whom.
type TokensConfig struct {
	Issuer   string // the claim iss
	Audience string // one of the claim aud
	User     string // the claim with the user's name (default sub)
	Tenant   string // the claim with the tenant that the session is bound to; empty: none is
	Leeway   time.Duration
	Refresh  time.Duration                             // how old the keys may become (default 5m)
	Fetch    func(ctx context.Context) ([]byte, error) // fetches the JWK set
	Log      *slog.Logger                              // default slog.Default()
}

// Tokens checks tokens in the place of passwords (RFC 7519). It owns its goroutine; Close waits for it.
type Tokens struct {
	cfg    TokensConfig
	parser *jwt.Parser
	stop   context.CancelFunc
	group  sync.WaitGroup
	timer  *time.Timer // of the next attempt to fetch the keys

	mu      sync.Mutex // guards what follows
	keys    *KeySet    // nil before the first was fetched
	fetched time.Time  // when the last attempt ended
	waiting []*task.Task
}

// claim is what a good token says.
type claim struct {
	user   string
	tenant string // empty: nothing
}

// NewTokens returns a Tokens that fetches its keys.
func NewTokens(cfg TokensConfig) *Tokens {
	if cfg.User == "" {
		cfg.User = "sub"
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = 5 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	t := &Tokens{cfg: cfg, stop: stop, timer: time.NewTimer(0), parser: jwt.NewParser(
		jwt.WithValidMethods(tokenAlgorithms), jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience), jwt.WithLeeway(cfg.Leeway),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithJSONNumber(), jwt.WithStrictDecoding())}
	t.group.Go(func() { t.keep(ctx) })
	return t
}

// Close stops fetching keys, and returns when the goroutine has ended.
func (t *Tokens) Close() {
	t.stop()
	t.group.Wait()
}

// Renew has the keys fetched again now.
func (t *Tokens) Renew() { t.timer.Reset(0) }

// keep fetches the keys now, when they are old, and when a token asks for others. It blocks until ctx ends.
func (t *Tokens) keep(ctx context.Context) {
	defer t.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.timer.C:
		}
		again := t.cfg.Refresh
		if err := t.fetch(ctx); err != nil && ctx.Err() == nil {
			t.cfg.Log.Error("the keys of tokens could not be fetched; those that are there stay in use", "error", err)
			again = min(again, keyFetchGap)
		}
		t.timer.Reset(again)
	}
}

// fetch gets the key set once, and wakes who waits for it. It blocks.
func (t *Tokens) fetch(ctx context.Context) error {
	attempt, cancel := context.WithTimeout(ctx, keyFetchTime)
	defer cancel()
	text, err := t.cfg.Fetch(attempt)
	var keys *KeySet
	if err == nil {
		keys, err = ParseKeySet(text)
	}
	for _, w := range t.take(keys) {
		w.Wake()
	}
	return err
}

// take puts keys in use, unless they are nil, and returns who waits for them.
func (t *Tokens) take(keys *KeySet) []*task.Task {
	t.mu.Lock()
	defer t.mu.Unlock()
	if keys != nil {
		t.keys = keys
	}
	t.fetched = time.Now()
	waiting := t.waiting
	t.waiting = nil
	return waiting
}

func (t *Tokens) inUse() *KeySet {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keys
}

// renew asks for the keys to be fetched again, unless that was done just now, and wakes w when it is done: when lastFetch is not
// before any more.
func (t *Tokens) renew(w *task.Task) (before time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.fetched) < keyFetchGap {
		return before, false
	}
	t.waiting = append(t.waiting, w)
	t.timer.Reset(0)
	return t.fetched, true
}

// lastFetch is when the last attempt to fetch the keys ended.
func (t *Tokens) lastFetch() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fetched
}

var (
	errNoKey    = errors.New("no known key fits the token")
	errCritical = errors.New("the token has critical extensions, which are not understood")
)

// check reads a token and makes sure that it is good now.
func (t *Tokens) check(token string) (claim, error) {
	claims := jwt.MapClaims{}
	_, err := t.parser.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		if _, ok := token.Header["crit"]; ok { // RFC 7515, section 4.1.11
			return nil, errCritical
		}
		id, _ := token.Header["kid"].(string)
		set := t.inUse()
		if set == nil {
			return nil, errNoKey
		}
		candidates := jwt.VerificationKeySet{}
		for _, key := range set.matching(id, token.Method.Alg()) {
			candidates.Keys = append(candidates.Keys, key)
		}
		if len(candidates.Keys) == 0 {
			return nil, errNoKey
		}
		return candidates, nil
	})
	if err != nil {
		return claim{}, err
	}
	user, _ := claims[t.cfg.User].(string)
	if user == "" {
		return claim{}, fmt.Errorf("the token has no claim %q with a name", t.cfg.User)
	}
	c := claim{user: user}
	if t.cfg.Tenant != "" {
		c.tenant, err = tenantClaim(claims[t.cfg.Tenant])
	}
	return c, err
}

// tenantClaim reads the tenant of a token: a text or an integer.
func tenantClaim(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	return "", errors.New("the token's tenant is neither a text nor a number")
}

// byToken logs the client in by a token that it sends as its password.
func (s *session) byToken(until time.Time) *pgwire.Error {
	tokens := s.cfg.Tokens
	if tokens == nil {
		return &pgwire.Error{Code: "28000", Message: "tokens are not set up", Hint: "the rule for this connection is \"method: jwt\": add \"auth: jwt\" to pgdrover.yaml"}
	}
	s.client.SetQueue(pgwire.AppendAuthenticationCleartext(s.client.QueueBuffer()))
	token, e := s.password(until)
	if e != nil {
		return e
	}
	said, e := s.checkToken(tokens, token, until)
	switch {
	case e != nil:
		return e
	case said.user != s.userName:
		return s.wrongToken(fmt.Sprintf("Its claim %q is %q.", tokens.cfg.User, said.user))
	case tokens.cfg.Tenant != "" && said.tenant == "" && s.databaseName != consoleDatabase:
		return s.wrongToken(fmt.Sprintf("It has no claim %q, which names the tenant.", tokens.cfg.Tenant))
	}
	s.login.claim = &said
	if s.user = s.cfg.Users[s.userName]; s.user == nil {
		s.user = &User{Name: s.userName}
	}
	return nil
}

// checkToken checks a token, a second time if the keys had to be fetched first.
func (s *session) checkToken(tokens *Tokens, token string, until time.Time) (said claim, e *pgwire.Error) {
	for {
		var err error
		if e := s.compute(until, func() { said, err = tokens.check(token) }); e != nil {
			return said, e
		}
		if err == nil {
			return said, nil
		}
		before, renewed := time.Time{}, false
		if errors.Is(err, errNoKey) {
			before, renewed = tokens.renew(s.t)
		}
		switch {
		case renewed:
			e = s.awaitKeys(tokens, before, until)
		case tokens.inUse() == nil:
			e = &pgwire.Error{Code: "57P03", Message: "the keys of tokens are not known yet", Hint: "try again in a moment; PgDrover's log says why"}
		default:
			e = s.wrongToken("It is not good: " + err.Error() + ".")
		}
		if e != nil {
			return said, e
		}
	}
}

// awaitKeys waits for the attempt to fetch keys that follows the one which ended at before.
func (s *session) awaitKeys(tokens *Tokens, before, until time.Time) *pgwire.Error {
	for tokens.lastFetch().Equal(before) {
		if s.t.Wait(until) {
			return errAuthTimeout
		}
		if s.cut.Load() {
			return silence
		}
	}
	return nil
}

func (s *session) wrongToken(detail string) *pgwire.Error {
	return &pgwire.Error{Code: "28P01", Message: "JWT authentication failed for user \"" + s.userName + "\"", Detail: detail,
		Hint: "the password is a token of the issuer that \"auth: jwt\" in pgdrover.yaml names"}
}

// bind reports whether tokens bind sessions to tenants; t may be nil.
func (t *Tokens) bind() bool { return t != nil && t.cfg.Tenant != "" }

// bindTenant binds the session to the tenant of its token, which it can never leave.
func (s *session) bindTenant() *pgwire.Error {
	if s.login.claim == nil || s.login.claim.tenant == "" {
		return nil
	}
	kind := s.db.Map().TenantType()
	key, err := kind.ParseText([]byte(s.login.claim.tenant))
	if err != nil || key.IsZero() {
		return s.wrongToken(fmt.Sprintf("Its tenant is %q, and the tenant key of this database is a %s.", s.login.claim.tenant, kind))
	}
	s.login.tenant = key
	return nil
}
