package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// configFile is a configuration file as it is written.
type configFile struct {
	Config `yaml:",inline"`
	Users  []yamlfile.Value[userEntry] `yaml:"users"`
}

// loader makes a Config of its files, collecting every mistake on the way.
type loader struct {
	doc    *yamlfile.Document // all files, merged
	paths  []string
	config *Config
	errs   yamlfile.Errors
}

// Load reads pgdrover.yaml. Several files are merged: blocks key by key, users by name, anything else as the later file
// has it. File names in a file are relative to that file. The error holds all mistakes of form, or if there are none all
// mistakes of meaning, one a line, each with file, line and column; it never shows a secret.
func Load(paths ...string) (*Config, error) {
	var l loader
	l.paths = paths
	docs, err := parseFiles(paths)
	if err != nil {
		return nil, err
	}
	users, err := separateUsers(docs)
	if err != nil {
		return nil, err
	}
	l.doc = yamlfile.Merge(docs...)
	file := configFile{Config: *Default()}
	if err := l.doc.Decode(&file, variables()); err != nil {
		return nil, err
	}
	l.config = &file.Config
	l.config.Files = slices.Clone(paths)
	l.resolve()
	l.validate()
	if len(users) == 0 && l.config.Auth.Query == "" && !l.config.hasMethod(MethodJWT) {
		l.fault(key{"users"}, "missing: list a user, with its name and scram, password or password_file")
	}
	for _, entry := range users {
		l.config.Users = append(l.config.Users, l.user(entry))
	}
	if err := l.errs.Err(); err != nil {
		return nil, err
	}
	return l.config, nil
}

func variables() yamlfile.Options { return yamlfile.Options{Lookup: os.LookupEnv} }

// parseFiles reads the files without asking what they mean.
func parseFiles(paths []string) ([]*yamlfile.Document, error) {
	if len(paths) == 0 {
		return nil, errors.New("no configuration file was named")
	}
	var docs []*yamlfile.Document
	var errs yamlfile.Errors
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("configuration file: %w: name another with --config or PGDROVER_CONFIG", err)
		}
		if err != nil {
			return nil, fmt.Errorf("configuration file: %w", err)
		}
		doc, err := yamlfile.Parse(path, text)
		errs.Append(yamlfile.Position{File: path}, err)
		docs = append(docs, doc)
	}
	return docs, errs.Err()
}

// separateUsers decodes each file by itself, so that every mistake is found where it is, and merges the users, which the
// merged document has of the last file only.
func separateUsers(docs []*yamlfile.Document) ([]yamlfile.Value[userEntry], error) {
	var users []yamlfile.Value[userEntry]
	var errs yamlfile.Errors
	for _, doc := range docs {
		file := configFile{Config: *Default()}
		errs.Append(yamlfile.Position{}, doc.Decode(&file, variables()))
		errs.Append(yamlfile.Position{}, duplicateUsers(file.Users))
		users = mergeUsers(users, file.Users)
	}
	return users, errs.Err()
}

// fault notes a mistake in the value of a key, which need not be there.
func (l *loader) fault(at key, format string, args ...any) {
	l.errs.Add(l.position(at), "%s: %s", strings.Join(at, "."), fmt.Sprintf(format, args...))
}

// key is the path of a value in the file.
type key []string

// under is the path of a value below k.
func (k key) under(steps ...string) key { return append(slices.Clone(k), steps...) }

// position is where a value is written. Of a value that is not, it is the key of the nearest block around it.
func (l *loader) position(at key) yamlfile.Position {
	if pos, ok := l.doc.Position(at...); ok {
		return pos
	}
	for n := len(at) - 1; n > 0; n-- {
		if pos, ok := l.doc.KeyPosition(at[:n]...); ok {
			return pos
		}
	}
	return yamlfile.Position{File: l.paths[0], Line: 1, Column: 1}
}

// resolve fills in what depends on other keys and on where the file lies: file names, passwords, computed defaults.
func (l *loader) resolve() {
	c := l.config
	l.relative(&c.TLS.Cert, key{"tls", "cert"})
	l.relative(&c.TLS.Key, key{"tls", "key"})
	if c.TLS.Mode == "" && c.TLS.Cert != "" && c.TLS.Key != "" {
		c.TLS.Mode = TLSPrefer
	}
	if c.TLS.Mode == "" {
		c.TLS.Mode = TLSOff
	}
	l.resolveAuth()
	for _, name := range slices.Sorted(maps.Keys(c.Databases)) {
		at := key{"databases", name}
		db := c.Databases[name]
		if db == nil {
			continue // validate says so
		}
		l.relative(&db.ShardMap, at.under("shardmap"))
		l.relative(&db.Lock, at.under("lock"))
		l.relative(&db.DryRun, at.under("dry_run"))
		if db.Lock == "" && db.ShardMap != "" {
			db.Lock = strings.TrimSuffix(db.ShardMap, filepath.Ext(db.ShardMap)) + ".lock"
		}
		l.relative(&db.Backend.CA, at.under("backend", "ca"))
		l.relative(&db.Backend.Cert, at.under("backend", "cert"))
		l.relative(&db.Backend.Key, at.under("backend", "key"))
		l.backendPassword(at.under("backend"), &db.Backend)
	}
}

// backendPassword reads the password file. Of password and password_file in two files the later file's counts.
func (l *loader) backendPassword(at key, b *Backend) {
	l.relative(&b.PasswordFile, at.under("password_file"))
	if b.PasswordFile == "" {
		return
	}
	text, inText := l.doc.KeyPosition(at.under("password")...)
	file, _ := l.doc.KeyPosition(at.under("password_file")...)
	switch {
	case inText && text.File == file.File:
		l.errs.Add(file, "password and password_file: give one of them")
	case inText && slices.Index(l.paths, text.File) > slices.Index(l.paths, file.File):
		b.PasswordFile = ""
	default:
		b.Password = l.secretFile(l.position(at.under("password_file")), b.PasswordFile)
	}
}

// relative makes a file name that the configuration holds relative to the file that says it.
func (l *loader) relative(name *string, at key) {
	if *name != "" {
		*name = beside(l.position(at).File, *name)
	}
}

// beside gives name as seen from the folder of file.
func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// secretFile reads a file of one line.
func (l *loader) secretFile(at yamlfile.Position, name string) Secret {
	text, err := os.ReadFile(name)
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case err != nil:
		l.errs.Add(at, "%v", err)
	case line == "":
		l.errs.Add(at, "%s is empty: write the password into it", name)
	case strings.ContainsAny(line, "\r\n"):
		l.errs.Add(at, "%s has more than one line: it should hold the password and nothing else", name)
	}
	return Secret(line)
}

// nearestDatabase suggests a configured name for one that is not.
func (l *loader) nearestDatabase(name string) string {
	names := slices.Sorted(maps.Keys(l.config.Databases))
	return yamlfile.DidYouMean(name, names, "; there are: "+strings.Join(names, ", "))
}
