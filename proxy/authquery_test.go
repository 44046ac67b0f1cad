package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pool"
)

// fakeRoles is a node's pg_authid for a test.
type fakeRoles struct {
	mu     sync.Mutex
	rows   map[string][]string // by the name in the query: name, password, end, may log in
	asked  atomic.Int64
	failed error
	hold   chan struct{} // when not nil, a question waits for it
}

func (f *fakeRoles) run(ctx context.Context, _, sql string) (*pool.Rows, error) {
	f.asked.Add(1)
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return nil, f.failed
	}
	name := strings.Trim(sql[strings.LastIndex(sql, "(")+1:len(sql)-1], "'")
	rows := &pool.Rows{}
	if row, ok := f.rows[name]; ok {
		var values [][]byte
		for _, v := range row {
			if v == "NULL" {
				values = append(values, nil)
				continue
			}
			values = append(values, []byte(v))
		}
		rows.Rows = [][][]byte{values}
	}
	return rows, nil
}

func (f *fakeRoles) set(name string, row ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[name] = row
}

func newFakeQuery(t *testing.T, f *fakeRoles, ttl time.Duration) *AuthQuery {
	if f.rows == nil {
		f.rows = map[string][]string{}
	}
	q := NewAuthQuery(AuthQueryConfig{SQL: "SELECT 1", Run: f.run, TTL: ttl, Log: testLogger(t)})
	t.Cleanup(q.Close)
	return q
}

// look asks and waits for the answer.
func look(t *testing.T, q *AuthQuery, user string) (*User, string) {
	t.Helper()
	w := task.New()
	a := q.find("app", user, w)
	defer a.leave(w)
	for !a.answered() {
		if w.Wait(time.Now().Add(10 * time.Second)) {
			t.Fatal("no answer")
		}
	}
	u, e := a.user()
	if e != nil {
		return nil, e.Code
	}
	return u, ""
}

const someMD5 = "md50123456789abcdef0123456789abcdef"

// TestRolesOfTheDatabase reads all that a row may say.
//
// Row 28: a password that has ended is none.
func TestRolesOfTheDatabase(t *testing.T) {
	past, future := fmt.Sprint(time.Now().Add(-time.Second).Unix()), fmt.Sprint(time.Now().Add(time.Hour).Unix())
	f := &fakeRoles{rows: map[string][]string{
		"plain": {"plain", someMD5, "NULL", "t"}, "later": {"later", someMD5, future + ".5", "t"}, "expired": {"expired", someMD5, past, "t"},
		"never": {"never", someMD5, "Infinity", "t"}, "always": {"always", someMD5, "-Infinity", "t"}, "nologin": {"nologin", someMD5, "NULL", "f"},
		"norole": {"norole", someMD5, "NULL", "NULL"}, "nopassword": {"nopassword", "NULL", "NULL", "t"}, "other": {"root", someMD5, "NULL", "t"},
		"clear": {"clear", "hunter2", "NULL", "t"}, "few": {"few", "NULL", "t"}, "wide": {"wide", someMD5, "more", "NULL", "t"},
	}}
	q := newFakeQuery(t, f, time.Minute)
	for user, want := range map[string]string{
		"plain": "md5", "later": "md5", "expired": "no password", "never": "md5", "always": "no password", "nologin": "nobody", "norole": "md5",
		"nopassword": "no password", "other": "57P03", "clear": "57P03", "few": "57P03", "wide": "md5", "nobody": "nobody",
	} {
		u, got := look(t, q, user)
		switch {
		case got != "":
		case u == nil:
			got = "nobody"
		case u.MD5 == "" && u.Verifier == nil:
			got = "no password"
		case u.Name == user && u.MD5 == someMD5[3:]:
			got = "md5"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", user, got, want)
		}
	}
}

// TestAnswersAreKept counts the questions: one for many who wait, none while the answer is good, and a new one in the background.
func TestAnswersAreKept(t *testing.T) {
	f := &fakeRoles{rows: map[string][]string{"a": {"a", someMD5, "NULL", "t"}}, hold: make(chan struct{})}
	q := newFakeQuery(t, f, time.Hour)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			w := task.New()
			a := q.find("app", "a", w)
			defer a.leave(w)
			for !a.answered() {
				if w.Wait(time.Now().Add(10 * time.Second)) {
					t.Error("no answer")
					return
				}
			}
			if u, e := a.user(); u == nil || e != nil {
				t.Errorf("%v, %v", u, e)
			}
		})
	}
	close(f.hold)
	group.Wait()
	look(t, q, "nobody")
	look(t, q, "nobody")
	if n := f.asked.Load(); n != 2 {
		t.Errorf("%d questions for two names", n)
	}

	f.set("a", "a", "md5"+strings.Repeat("f", 32), "NULL", "t")
	age(q, "a", 50*time.Minute) // more than half its time: it is served, and renewed behind it
	if u, _ := look(t, q, "a"); u.MD5 != someMD5[3:] {
		t.Error("an answer that is good was not served")
	}
	await(t, "the answer is renewed", func() bool { u, _ := look(t, q, "a"); return u.MD5 == strings.Repeat("f", 32) })

	f.set("a", "a", someMD5, "NULL", "t")
	q.doubt("app", "a") // new: not doubted
	age(q, "a", 2*time.Second)
	q.doubt("app", "a")
	await(t, "a doubted answer is renewed", func() bool { u, _ := look(t, q, "a"); return u.MD5 == someMD5[3:] })

	f.mu.Lock()
	f.failed = errors.New("broken on purpose")
	f.mu.Unlock()
	age(q, "a", 2*time.Hour)
	if _, code := look(t, q, "a"); code != "57P03" {
		t.Errorf("an answer that is too old was served: SQLSTATE %q", code)
	}
}

// age makes an answer older.
func age(q *AuthQuery, user string, by time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.known[account{"app", user}]
	a.at = a.at.Add(-by)
	q.known[account{"app", user}] = a
}

// TestAnswersAreBounded asks for more names than are kept.
func TestAnswersAreBounded(t *testing.T) {
	answers := map[account]answer{}
	for i := range 2 * maxAnswers {
		remember(answers, account{"app", fmt.Sprint(i)}, answer{})
	}
	if len(answers) != maxAnswers {
		t.Errorf("%d answers are kept, want %d", len(answers), maxAnswers)
	}
	f := &fakeRoles{hold: make(chan struct{})}
	q := newFakeQuery(t, f, time.Minute)
	w := task.New()
	var asks []*ask
	refused := 0
	for i := range maxAsks + askers + 10 {
		a := q.find("app", fmt.Sprint(i), w)
		if _, e := a.user(); a.answered() && e != nil && e.Code == "53300" {
			refused++
		}
		asks = append(asks, a)
	}
	if refused < 10 || refused > 10+askers {
		t.Errorf("%d questions too many were refused, want 10", refused)
	}
	for _, a := range asks {
		a.leave(w)
	}
	close(f.hold)
	await(t, "those who left are not asked for", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return len(q.queue) == 0 })
	if n := f.asked.Load(); n > askers {
		t.Errorf("%d questions were put for nobody", n)
	}
}

// TestClosedWhileAsked ends questions that are under way.
func TestClosedWhileAsked(t *testing.T) {
	f := &fakeRoles{hold: make(chan struct{}), rows: map[string][]string{}}
	q := NewAuthQuery(AuthQueryConfig{SQL: "SELECT 1", Run: f.run, Log: testLogger(t)})
	w := task.New()
	a := q.find("app", "a", w)
	await(t, "it is asked", func() bool { return f.asked.Load() == 1 })
	q.Close()
	if _, e := a.user(); !a.answered() || e == nil || e.Code != "57P03" {
		t.Errorf("after Close: %v", e)
	}
	if _, e := q.find("app", "a", w).user(); e == nil {
		t.Error("asked after Close")
	}
}

// TestPossibleNames says which names a role may have.
//
// Row 27: what cannot be a name is not asked for.
func TestPossibleNames(t *testing.T) {
	for name, want := range map[string]bool{
		"alice": true, strings.Repeat("x", 63): true, "ä": true, `a'; drop table users; --`: true,
		"": false, strings.Repeat("x", 64): false, "a\x00b": false, "a\xff": false,
	} {
		if possibleName(name) != want {
			t.Errorf("%q: %v, want %v", name, !want, want)
		}
	}
}
