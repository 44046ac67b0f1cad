package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/shardmap"
)

// reloading is a reload that has been checked and not carried out yet.
type reloading struct {
	config *Config
	steps  []reloadStep
}

// reloadStep is the change of one database.
type reloadStep struct {
	name      string
	placement *placement
	next      *shardmap.Map
	served    *served // nil: the database is new
}

// reload reads the files again and puts them in force, or says what is wrong and leaves everything as it was.
func (s *service) reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.prepareReload(ctx)
	if err != nil {
		s.log.Error("the reload was refused; everything stays as it was", "error", err)
		return err
	}
	if err := s.carryOut(ctx, r); err != nil {
		s.log.Error("the reload was refused; everything stays as it was", "error", err)
		return err
	}
	s.log.Info("reloaded")
	return nil
}

// prepareReload checks the files whole, without changing anything.
func (s *service) prepareReload(ctx context.Context) (*reloading, error) {
	config, err := Load(s.paths...)
	if err != nil {
		return nil, err
	}
	r := &reloading{config: config}
	for _, name := range config.databaseNames() {
		step, err := s.prepareDatabase(ctx, name, config)
		if err != nil {
			return nil, err
		}
		r.steps = append(r.steps, step)
	}
	if config.Listen != s.config.Listen || config.Admin.Listen != s.config.Admin.Listen {
		s.log.Warn("listen addresses are read at the start only: restart to change them")
	}
	if config.Loops != s.config.Loops {
		s.log.Warn("loops is read at the start only: restart to change it")
	}
	return r, nil
}

func (s *service) prepareDatabase(ctx context.Context, name string, config *Config) (reloadStep, error) {
	step := reloadStep{name: name, served: s.databases[name]}
	var err error
	if step.placement, err = readPlacement(name, config.Databases[name]); err != nil {
		return step, err
	}
	if step.served == nil {
		return step, nil
	}
	if err := shardmap.Transition(step.served.Map(), step.placement.file); err != nil {
		return step, err
	}
	if step.placement.lock == nil {
		return step, fmt.Errorf("%s is gone: restore it", step.placement.db.Lock)
	}
	if step.next, err = step.placement.toMap(); err != nil {
		return step, err
	}
	if step.placement.db.TwoPhaseCommit == TwoPhaseOn {
		if err := step.served.prepareTwoPhase(ctx, s.log); err != nil {
			return step, err
		}
	}
	nodes, err := newAsker(name, step.placement.db)
	if err != nil {
		return step, err
	}
	defer nodes.close(ctx)
	if _, err = s.checkShards(ctx, nodes, step.next); err != nil && !isUnreachable(err) {
		return step, err
	}
	return step, nil
}

// carryOut puts a reload in force. When a database refuses, those before it go back.
func (s *service) carryOut(ctx context.Context, r *reloading) error {
	next := s.openDirectories(r.config)
	defer func() { next.close(s.directories) }() // when it was refused
	cfg, err := s.proxyConfig(r.config, next)    // before anything changes: it reads the certificate
	if err != nil {
		return err
	}
	opened := map[string]*served{}
	var done []func() error
	undo := func() {
		for _, back := range done {
			if err := back(); err != nil {
				s.log.Error("a refused reload could not be taken back", "error", err)
			}
		}
		for _, db := range opened {
			db.Close(context.WithoutCancel(ctx))
		}
	}
	for _, step := range r.steps {
		if step.served == nil {
			db, err := s.open(ctx, step.name, r.config)
			if err != nil {
				undo()
				return err
			}
			opened[step.name] = db
			continue
		}
		before := step.served.Map()
		if err := step.served.Change(ctx, step.next, s.server); err != nil {
			undo()
			return placed(err, step.placement)
		}
		done = append(done, func() error { return step.served.Change(ctx, before, s.server) })
	}
	s.commit(r, opened, cfg)
	before := s.directories
	s.directories = next
	before.close(next)
	next.renew()
	return nil
}

// commit takes over what cannot be refused any more.
func (s *service) commit(r *reloading, opened map[string]*served, cfg proxy.Config) {
	for name, db := range opened {
		s.databases[name] = db
	}
	for _, step := range r.steps {
		db := s.databases[step.name]
		db.placement = step.placement
		s.adjust(db, r.config)
	}
	cfg.Databases = map[string]*proxy.Database{}
	for _, name := range r.config.databaseNames() {
		cfg.Databases[name] = s.databases[name].Database
	}
	s.config = r.config
	s.server.Reconfigure(cfg)
}

// adjust gives a running database the limits of a configuration.
func (s *service) adjust(db *served, config *Config) {
	settings := config.Databases[db.Name()]
	poolConfig, err := settings.poolConfig(db.Name(), s.log)
	if err == nil {
		db.Cluster().Adjust(poolConfig)
	}
	if c := db.Cache(); c != nil {
		err = errors.Join(err, c.SetTables(cacheTables(settings.Cache.Tables)))
	} else if len(settings.Cache.Tables) > 0 {
		s.log.Warn("the cache is switched on at the start only: restart to use it", "database", db.Name())
	}
	if err != nil {
		s.log.Error("settings could not be taken over", "database", db.Name(), "error", err)
	}
	db.Adjust(settings.options(db.placement, config, s))
}

// placed names the place in the shard map that a refused change comes from.
func placed(err error, p *placement) error {
	var refused *proxy.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	c := refused.Change
	switch c.Kind {
	case shardmap.PinAdded, shardmap.PinMoved:
		return p.file.PinPosition(c.Key).Errorf("%v", err)
	case shardmap.ShardAdded:
		return p.file.ShardPosition(c.Shard).Errorf("%v", err)
	case shardmap.TableChanged:
		if c.After.Kind != 0 {
			return p.file.TablePosition(c.After).Errorf("%v", err)
		}
	}
	return fmt.Errorf("%s: %w", p.db.ShardMap, err)
}
