package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

const (
	askers      = 4               // questions that are put to nodes at once
	maxAsks     = 10_000          // questions that may wait
	maxAnswers  = 10_000          // answers of each kind that are kept
	unknownTTL  = 5 * time.Second // how long a name is known to be nobody's
	failureTTL  = time.Second     // how long a question that could not be put is not put again
	doubtAfter  = time.Second     // the age from which an answer is doubted after a wrong password
	askTime     = 5 * time.Second // for one question
	maxUserName = 63              // PostgreSQL's NAMEDATALEN, less its NUL
)

// AuthQueryConfig says how users are found that the configuration does not list.
type AuthQueryConfig struct {
	// SQL is a query with one parameter, $1, the user's name. Its row is the name and the password's verifier, as pg_authid has
	// them; no row means that there is no such user.
	SQL string
	// Run runs statements for clients of a database, on a connection that no client has any influence on, and returns the last
	// one's rows. It is called by several goroutines at once.
	Run func(ctx context.Context, database, sql string) (*pool.Rows, error)
	TTL time.Duration // how long an answer is good; it is renewed in the background from half of that on (default 1m)
	Log *slog.Logger  // default slog.Default()
}

// AuthQuery finds users by asking a node, and remembers them for a while. It owns its goroutines; Close waits for them.
type AuthQuery struct {
	cfg   AuthQueryConfig
	stop  context.CancelFunc
	group sync.WaitGroup
	work  *sync.Cond // of mu: there is an ask in the queue, or it is closed

	mu      sync.Mutex // guards what follows
	queue   []*ask     // waiting for a node, in order
	asks    map[account]*ask
	known   map[account]answer
	unknown map[account]answer // names that are nobody's, and questions that could not be put
	closed  bool
}

type account struct{ database, user string }

// answer is what a node said of a name.
type answer struct {
	role  *role // nil: there is no such user
	fault *pgwire.Error
	at    time.Time
}

// role is a user of the database.
type role struct {
	User
	until time.Time // the end of its password; zero: none
}

// ask is one question, be it answered from memory or by a node. Its fields are guarded by the AuthQuery's lock.
type ask struct {
	query   *AuthQuery
	of      account
	done    bool
	answer  answer
	waiting []*task.Task
	renews  bool // nobody need wait for it
}

// NewAuthQuery returns an AuthQuery at work.
func NewAuthQuery(cfg AuthQueryConfig) *AuthQuery {
	if cfg.TTL == 0 {
		cfg.TTL = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	q := &AuthQuery{cfg: cfg, stop: stop, asks: map[account]*ask{}, known: map[account]answer{}, unknown: map[account]answer{}}
	q.work = sync.NewCond(&q.mu)
	for range askers {
		q.group.Go(func() { q.serve(ctx) })
	}
	return q
}

// Close ends the questions that are under way, which fail, and returns when the goroutines have ended.
func (q *AuthQuery) Close() {
	q.stop()
	q.mu.Lock()
	q.closed = true
	q.work.Broadcast()
	q.mu.Unlock()
	q.group.Wait()
}

// possibleName reports whether a role can have a name. PostgreSQL cuts longer names off, so one could pass for another's.
func possibleName(user string) bool {
	return user != "" && len(user) <= maxUserName && utf8.ValidString(user) && !strings.Contains(user, "\x00")
}

// find looks a user up. When the ask is not answered yet, t is woken once it is; whoever asked has to leave it in the end.
func (q *AuthQuery) find(database, user string, t *task.Task) *ask {
	of := account{database, user}
	q.mu.Lock()
	defer q.mu.Unlock()
	if known, ok := q.remembered(of); ok {
		if known.role != nil && time.Since(known.at) > q.cfg.TTL/2 {
			q.put(of).renews = true
		}
		return &ask{query: q, of: of, done: true, answer: known}
	}
	a := q.put(of)
	a.waiting = append(a.waiting, t)
	return a
}

// remembered is an answer that is still good. With q.mu held.
func (q *AuthQuery) remembered(of account) (answer, bool) {
	a, ok := q.known[of]
	if ok && time.Since(a.at) < q.cfg.TTL {
		return a, true
	}
	a, ok = q.unknown[of]
	limit := unknownTTL
	if a.fault != nil {
		limit = failureTTL
	}
	return a, ok && time.Since(a.at) < min(limit, q.cfg.TTL)
}

// put asks about a name, unless that is being asked already. With q.mu held.
func (q *AuthQuery) put(of account) *ask {
	if a := q.asks[of]; a != nil {
		return a
	}
	a := &ask{query: q, of: of}
	if q.closed || len(q.queue) >= maxAsks {
		a.done, a.answer.fault = true, &pgwire.Error{Code: "53300", Message: "too many logins at once", Hint: "try again in a moment"}
		return a
	}
	q.asks[of] = a
	q.queue = append(q.queue, a)
	q.work.Signal()
	return a
}

// doubt has the answer about a user renewed, because its password was not what the client said: it may have been changed just now.
func (q *AuthQuery) doubt(database, user string) {
	of := account{database, user}
	q.mu.Lock()
	defer q.mu.Unlock()
	if known, ok := q.known[of]; ok && time.Since(known.at) > doubtAfter {
		q.put(of).renews = true
	}
}

func (a *ask) answered() bool {
	a.query.mu.Lock()
	defer a.query.mu.Unlock()
	return a.done
}

// leave ends the wait of t for an answer.
func (a *ask) leave(t *task.Task) {
	a.query.mu.Lock()
	defer a.query.mu.Unlock()
	for i, w := range a.waiting {
		if w == t {
			a.waiting = append(a.waiting[:i], a.waiting[i+1:]...)
			return
		}
	}
}

// user is the user that was found; nil when there is none. A password that is not valid any more is left out.
func (a *ask) user() (*User, *pgwire.Error) {
	a.query.mu.Lock()
	defer a.query.mu.Unlock()
	if a.answer.fault != nil || a.answer.role == nil {
		return nil, a.answer.fault
	}
	u := a.answer.role.User
	if end := a.answer.role.until; !end.IsZero() && !time.Now().Before(end) {
		u.Verifier, u.MD5 = nil, ""
	}
	return &u, nil
}

// serve puts questions to nodes until Close. It blocks.
func (q *AuthQuery) serve(ctx context.Context) {
	for {
		a := q.next()
		if a == nil {
			return
		}
		got := answer{at: time.Now()} // the moment before the question: what it says may be as old as that
		found, err := q.ask(ctx, a.of)
		got.role = found
		if err != nil {
			q.cfg.Log.Error("a user could not be looked up", "database", a.of.database, "user", a.of.user, "error", err)
			got.fault = &pgwire.Error{Code: "57P03", Message: "the user could not be looked up", Hint: "try again in a moment; PgDrover's log says why"}
		}
		for _, t := range q.settle(a, got) {
			t.Wake()
		}
	}
}

// next waits for a question that somebody wants answered; nil after Close. It blocks.
func (q *AuthQuery) next() *ask {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.queue) == 0 && !q.closed {
			q.work.Wait()
		}
		if len(q.queue) == 0 {
			return nil
		}
		a := q.queue[0]
		q.queue = q.queue[1:]
		if len(a.waiting) > 0 || a.renews {
			return a
		}
		delete(q.asks, a.of)
	}
}

// settle takes note of an answer and returns who waits for it.
func (q *AuthQuery) settle(a *ask, got answer) []*task.Task {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.asks, a.of)
	a.done, a.answer = true, got
	switch {
	case got.role != nil:
		delete(q.unknown, a.of)
		remember(q.known, a.of, got)
	case got.fault == nil:
		delete(q.known, a.of)
		remember(q.unknown, a.of, got)
	default:
		remember(q.unknown, a.of, got) // what was known stays good for its time
	}
	waiting := a.waiting
	a.waiting = nil
	return waiting
}

// remember keeps an answer, in the place of any other when there are too many.
func remember(answers map[account]answer, of account, a answer) {
	for other := range answers {
		if len(answers) < maxAnswers {
			break
		}
		delete(answers, other)
	}
	answers[of] = a
}

// ask puts one question to a node; nil when there is no such user. It blocks.
func (q *AuthQuery) ask(ctx context.Context, of account) (*role, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	rows, err := q.cfg.Run(ctx, of.database, loginSQL(q.cfg.SQL, of.user))
	if err != nil {
		return nil, err
	}
	switch {
	case len(rows.Rows) == 0:
		return nil, nil
	case len(rows.Rows) > 1:
		return nil, fmt.Errorf("auth.query gave %d rows for one user: it has to give one", len(rows.Rows))
	case len(rows.Rows[0]) < 4:
		return nil, errors.New("auth.query gave one column: it has to give the user's name and its password's verifier")
	}
	return readRole(of.user, rows.Rows[0])
}

// loginSQL asks the operator's query about a user. Whatever that query says of passwords, a role of that name that may not log in
// is no user, and its VALID UNTIL holds (CVE-2025-2291); they come as the last two columns. The name is a parameter for the
// operator's query and a quoted literal for EXECUTE: it cannot become SQL.
func loginSQL(query, user string) string {
	const about = "(SELECT %s FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) $1)"
	return "PREPARE pgdrover_login(pg_catalog.text) AS SELECT q.*," +
		fmt.Sprintf(about, "pg_catalog.date_part('epoch',r.rolvaliduntil)") + "," + fmt.Sprintf(about, "r.rolcanlogin") +
		" FROM (\n" + strings.TrimRight(query, "; \t\r\n") + "\n) AS q; EXECUTE pgdrover_login(" + quoteLiteral(user) + ")"
}

// readRole reads a row of loginSQL.
func readRole(user string, row [][]byte) (*role, error) {
	end, mayLogin := row[len(row)-2], row[len(row)-1]
	if string(row[0]) != user {
		return nil, fmt.Errorf("auth.query gave user %q: its first column has to be the name that was asked for", row[0])
	}
	if string(mayLogin) == "f" {
		return nil, nil
	}
	r := &role{User: User{Name: user}}
	if end != nil {
		seconds, err := strconv.ParseFloat(string(end), 64)
		if err != nil {
			return nil, fmt.Errorf("the end of the password of %q: %w", user, err)
		}
		r.until = momentOf(seconds)
	}
	if row[1] == nil {
		return r, nil
	}
	var err error
	if strings.HasPrefix(string(row[1]), "md5") {
		r.MD5, err = ParseMD5(string(row[1]))
	} else {
		r.Verifier, err = ParseVerifier(string(row[1]))
	}
	if err != nil {
		return nil, fmt.Errorf("auth.query: the password of %q: %w", user, err)
	}
	return r, nil
}

// momentOf is a time given in seconds since 1970, infinite ones included: zero for one that never comes.
func momentOf(seconds float64) time.Time {
	switch {
	case seconds > 1e11:
		return time.Time{}
	case seconds < 0:
		return time.Unix(0, 0)
	}
	return time.UnixMicro(int64(seconds * 1e6))
}
