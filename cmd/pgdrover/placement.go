package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
	"github.com/pgdrover/pgdrover/shardmap"
)

// placement is one database's intent and state as they lie in their files.
type placement struct {
	name string // of the database
	db   *Database
	file *shardmap.File
	lock *shardmap.Lock // nil before the first placement
	dry  *shardmap.Map  // that statements are routed by on paper; nil: none
}

// readPlacement reads the shard map of a database and its lock, which need not be there yet. It does not ask whether the
// two fit together: toMap does.
func readPlacement(name string, db *Database) (*placement, error) {
	text, err := os.ReadFile(db.ShardMap)
	if err != nil {
		return nil, fmt.Errorf("shard map of database %s: %w", name, err)
	}
	p := &placement{name: name, db: db}
	if p.file, err = shardmap.Parse(db.ShardMap, text); err != nil {
		return nil, err
	}
	if p.file.Database != name {
		return nil, positionIn(db.ShardMap, text, "database").Errorf("database: %s here, but the configuration has this map under databases.%s: make them agree", p.file.Database, name)
	}
	if p.dry, err = readDryRun(name, db); err != nil {
		return nil, err
	}
	p.lock, err = shardmap.ReadLock(db.Lock)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	return p, err
}

// readDryRun reads the shard map that statements are routed by on paper, which needs no lock: it stands on the plan that its first one would
// hold.
func readDryRun(name string, db *Database) (*shardmap.Map, error) {
	if db.DryRun == "" {
		return nil, nil
	}
	text, err := os.ReadFile(db.DryRun)
	if err != nil {
		return nil, fmt.Errorf("dry_run of database %s: %w", name, err)
	}
	f, err := shardmap.Parse(db.DryRun, text)
	if err != nil {
		return nil, err
	}
	if f.Database != name {
		return nil, positionIn(db.DryRun, text, "database").Errorf("database: %s here, but the configuration has this map under databases.%s: make them agree", f.Database, name)
	}
	lock, err := shardmap.Plan(f)
	if err != nil {
		return nil, err
	}
	return shardmap.New(f, lock)
}

// positionIn is where a key's value stands in the text of a YAML file that has been read before.
func positionIn(name string, text []byte, path ...string) yamlfile.Position {
	if doc, err := yamlfile.Parse(name, text); err == nil {
		if pos, ok := doc.Position(path...); ok {
			return pos
		}
	}
	return yamlfile.Position{File: name}
}

// toMap puts file and lock together. Without a lock it stands on the plan that the first lock would hold.
func (p *placement) toMap() (*shardmap.Map, error) {
	lock := p.lock
	if lock == nil {
		var err error
		if lock, err = shardmap.Plan(p.file); err != nil {
			return nil, err
		}
	}
	return shardmap.New(p.file, lock)
}

// writeFirstLock plans the first placement and writes the lock. The caller has seen that there is none.
func (p *placement) writeFirstLock() error {
	lock, err := shardmap.Plan(p.file)
	if err != nil {
		return err
	}
	if err := shardmap.WriteLock(p.db.Lock, lock); err != nil {
		return err
	}
	p.lock = lock
	return nil
}

// databaseNames are the configured databases in order.
func (c *Config) databaseNames() []string { return slices.Sorted(maps.Keys(c.Databases)) }

// pickDatabase gives the database that a command speaks of: the one named, or the only one.
func (c *Config) pickDatabase(name string) (string, *Database, error) {
	names := c.databaseNames()
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return "", nil, usageErrorf("there are several databases: say which with --database (%s)", strings.Join(names, ", "))
	}
	db, ok := c.Databases[name]
	if !ok {
		return "", nil, usageErrorf("there is no database %q%s", name, yamlfile.DidYouMean(name, names, "; there are: "+strings.Join(names, ", ")))
	}
	return name, db, nil
}

// databaseFlags are the flags of a command that speaks of one database.
type databaseFlags struct {
	config   *configFlag
	database string
}

// load reads the configuration, and the placement of the database that the flags name.
func (f *databaseFlags) load() (*Config, *placement, error) {
	config, err := Load(f.config.files()...)
	if err != nil {
		return nil, nil, err
	}
	name, db, err := config.pickDatabase(f.database)
	if err != nil {
		return nil, nil, err
	}
	p, err := readPlacement(name, db)
	return config, p, err
}
