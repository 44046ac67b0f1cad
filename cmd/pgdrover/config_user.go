package main

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
	"github.com/pgdrover/pgdrover/proxy"
)

// User is one role that may log in to PgDrover. It has verifiers or a Password, never both, or none of them where rules let users in
// without a password.
type User struct {
	// Name is the role's name. Key: users[].name. Required, unique.
	Name string
	// Verifier is a SCRAM-SHA-256 verifier in the form that pg_authid.rolpassword has. Key: users[].scram.
	Verifier Secret
	// MD5 is an md5 verifier in the form that pg_authid.rolpassword has, for method md5. Key: users[].md5.
	MD5 Secret
	// Password is the password in clear, be it given as password or in password_file. Key: users[].password.
	Password Secret
	// PasswordFile is a file of one line that holds the password. Key: users[].password_file.
	PasswordFile string
	// Databases are the names this user may connect to; empty means all of them. Key: users[].databases. Default: all.
	Databases []string
	// Admin allows the psql console, database "pgdrover". Key: users[].admin. Default: false.
	Admin bool
	// Mode is the pool mode of the user's sessions; empty means the database's. Key: users[].pool.mode. Default: the database's.
	Mode PoolMode
	// Limits bound what the user's clients may do; those of the database count as well. Key: users[].limits.
	Limits UserLimits
}

// userPool is what a user's sessions have of a pool that other users' need not have.
type userPool struct {
	Mode PoolMode `yaml:"mode"`
}

// UserLimits bound what the clients of one user may do; 0 is no limit.
type UserLimits struct {
	// Clients is the most sessions at once. Key: users[].limits.clients. Default: 0.
	Clients int `yaml:"clients"`
	// QueryWaitTimeout is how long a statement may wait for a backend (SQLSTATE 53300). Key: users[].limits.query_wait_timeout.
	// Default: 0.
	QueryWaitTimeout time.Duration `yaml:"query_wait_timeout"`
	// IdleTransactionTimeout is how long a client may leave a transaction open without a word (SQLSTATE 25P03). Key:
	// users[].limits.idle_transaction_timeout. Default: 0.
	IdleTransactionTimeout time.Duration `yaml:"idle_transaction_timeout"`
	// StatementTimeout is how long a statement may run on the nodes (SQLSTATE 57014). Key: users[].limits.statement_timeout.
	// Default: 0.
	StatementTimeout time.Duration `yaml:"statement_timeout"`
}

// userEntry is an element of users as the file has it, with the places to name in errors.
type userEntry struct {
	Name         yamlfile.Value[string]                   `yaml:"name,required"`
	Verifier     yamlfile.Value[Secret]                   `yaml:"scram,secret"`
	MD5          yamlfile.Value[Secret]                   `yaml:"md5,secret"`
	Password     yamlfile.Value[Secret]                   `yaml:"password,secret"`
	PasswordFile yamlfile.Value[string]                   `yaml:"password_file"`
	Databases    yamlfile.Value[[]yamlfile.Value[string]] `yaml:"databases"`
	Admin        bool                                     `yaml:"admin"`
	Pool         userPool                                 `yaml:"pool"`
	Limits       yamlfile.Value[UserLimits]               `yaml:"limits"`
}

// mergeUsers lays the users of a later file over those of the files before: one of a name that was there takes its
// place, whole.
func mergeUsers(users, later []yamlfile.Value[userEntry]) []yamlfile.Value[userEntry] {
	merged := slices.Clone(users)
	for _, user := range later {
		i := slices.IndexFunc(users, func(u yamlfile.Value[userEntry]) bool { return u.V.Name.V == user.V.Name.V })
		if i < 0 {
			merged = append(merged, user)
			continue
		}
		merged[i] = user
	}
	return merged
}

// duplicateUsers reports names that one file gives twice.
func duplicateUsers(users []yamlfile.Value[userEntry]) error {
	var errs yamlfile.Errors
	lines := map[string]int{}
	for _, user := range users {
		name := user.V.Name
		if first, ok := lines[name.V]; ok && name.IsSet() {
			errs.Add(name.Pos, "user %s was already given on line %d: keep one of them", name.V, first)
			continue
		}
		lines[name.V] = name.Pos.Line
	}
	return errs.Err()
}

// user checks an element of users and makes it a User, reading its password file.
func (l *loader) user(entry yamlfile.Value[userEntry]) User {
	e, at := entry.V, entry.V.Name.Pos
	u := User{Name: e.Name.V, Verifier: e.Verifier.V, MD5: e.MD5.V, Password: e.Password.V, Admin: e.Admin, Mode: e.Pool.Mode, Limits: e.Limits.V}
	if u.Name == "" || len(u.Name) > 63 {
		l.errs.Add(at, "a user's name has 1 to 63 bytes")
	}
	if u.Limits.Clients < 0 {
		l.errs.Add(e.Limits.Pos, "user %s: limits.clients must be 0 (any number) or more", u.Name)
	}
	l.userVerifiers(e, u)
	switch given := countSet(e.Verifier.IsSet(), e.Password.IsSet(), e.PasswordFile.IsSet()); {
	case given == 0 && !e.MD5.IsSet() && !l.config.withoutPassword() && l.config.Auth.Query == "":
		l.errs.Add(at, "user %s cannot log in: give scram, password or password_file", u.Name)
	case given > 1:
		l.errs.Add(at, "user %s: give one of scram, password and password_file, not %d of them", u.Name, given)
	case e.Password.IsSet() && u.Password == "":
		l.errs.Add(e.Password.Pos, "user %s: the password is empty: nobody could log in with it", u.Name)
	case e.PasswordFile.IsSet():
		u.PasswordFile = beside(e.PasswordFile.Pos.File, e.PasswordFile.V)
		u.Password = l.secretFile(e.PasswordFile.Pos, u.PasswordFile)
	}
	if e.Databases.IsSet() && len(e.Databases.V) == 0 {
		l.errs.Add(e.Databases.Pos, "user %s: the list of databases is empty: name one, or leave databases out to allow all", u.Name)
	}
	for _, name := range e.Databases.V {
		if _, ok := l.config.Databases[name.V]; !ok {
			l.errs.Add(name.Pos, "user %s: there is no database %q%s", u.Name, name.V, l.nearestDatabase(name.V))
		}
		u.Databases = append(u.Databases, name.V)
	}
	return u
}

// userVerifiers checks what is given of a password that is not known.
func (l *loader) userVerifiers(e userEntry, u User) {
	if e.Verifier.IsSet() && !scramVerifier(u.Verifier.Reveal()) {
		l.errs.Add(e.Verifier.Pos, "user %s: not a SCRAM-SHA-256 verifier; copy it from pg_authid.rolpassword, it has the form SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY", u.Name)
	}
	if !e.MD5.IsSet() {
		return
	}
	_, err := proxy.ParseMD5(u.MD5.Reveal())
	switch {
	case err != nil:
		l.errs.Add(e.MD5.Pos, "user %s: %v", u.Name, err)
	case e.Password.IsSet() || e.PasswordFile.IsSet():
		l.errs.Add(e.MD5.Pos, "user %s: an md5 verifier is made of the password: remove md5", u.Name)
	case !e.Verifier.IsSet() && !l.config.hasMethod(MethodMD5) && !l.config.withoutPassword():
		l.errs.Add(e.MD5.Pos, "user %s cannot log in: no rule under auth.rules has method md5; give scram, or add such a rule", u.Name)
	}
}

func countSet(set ...bool) int {
	n := 0
	for _, one := range set {
		if one {
			n++
		}
	}
	return n
}

// scramVerifier reports whether text has the form of a stored verifier: SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY
// with the last three in base64.
func scramVerifier(text string) bool {
	rest, ok := strings.CutPrefix(text, "SCRAM-SHA-256$")
	if !ok {
		return false
	}
	head, keys, _ := strings.Cut(rest, "$")
	iterations, salt, _ := strings.Cut(head, ":")
	stored, server, _ := strings.Cut(keys, ":")
	if n, err := strconv.Atoi(iterations); err != nil || n < 1 {
		return false
	}
	return decodedLen(salt) > 0 && decodedLen(stored) == 32 && decodedLen(server) == 32
}

// decodedLen is the number of bytes that a base64 text stands for, -1 when it is none.
func decodedLen(text string) int {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return -1
	}
	return len(raw)
}
