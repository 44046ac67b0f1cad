package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// run is one run of the program: what it was asked for, and what it has found.
type run struct {
	options  options
	loads    []load
	targets  []foundTarget
	missing  []string // a line for each target that this machine lacks
	progress io.Writer

	began   time.Time
	stage   *stage
	servers map[string]setup // what each target ran with, by name
	results []result
}

// result is what a load found.
type result struct {
	load   load
	trials []trialResult
	notes  []string // who did not take part in what, and why
}

// trialResult has a sample for each round by target's name: an empty one where that round failed.
type trialResult struct {
	trial   trial
	samples map[string][]sample
	rate    float64 // of transactions a second that clients were held to; 0: to none
}

// note keeps a line once.
func (r *result) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !slices.Contains(r.notes, line) {
		r.notes = append(r.notes, line)
	}
}

// measure starts the stage, puts every load to its targets, and stops the stage.
func (r *run) measure(ctx context.Context) (err error) {
	r.began, r.servers = time.Now(), map[string]setup{}
	if r.stage, err = startStage(ctx, r.options, slices.ContainsFunc(r.targets, r.fourShards), r.progress); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stage.stop()) }()
	for _, f := range r.targets {
		if f.shards == 0 || !r.wanted(f) {
			continue
		}
		if err := fillThrough(ctx, r.stage, f); err != nil {
			return err
		}
	}
	for _, l := range r.loads {
		fmt.Fprintf(r.progress, "%s\n", l.title)
		found, err := r.put(ctx, l)
		if err != nil {
			return fmt.Errorf("load %s: %w", l.name, err)
		}
		r.results = append(r.results, found)
	}
	return nil
}

// wanted reports whether a target takes part in any load of the run.
func (r *run) wanted(f foundTarget) bool {
	return slices.ContainsFunc(r.loads, func(l load) bool { return l.takes(f.target) })
}

// fourShards reports whether a target needs four shards in this run.
func (r *run) fourShards(f foundTarget) bool { return f.shards == 4 && r.wanted(f) }

// put puts one load to its targets.
func (r *run) put(ctx context.Context, l load) (result, error) {
	found := result{load: l}
	var servers []*server
	defer func() {
		for _, v := range servers {
			v.stop()
		}
	}()
	for _, f := range r.targets {
		if !l.takes(f.target) {
			continue
		}
		v, err := startServer(ctx, r.stage, f)
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if err != nil {
			found.note("%s: left out, it did not start", f.title)
			fmt.Fprintf(r.progress, "  %v\n", err)
			continue
		}
		r.servers[f.name] = v.setup
		servers = append(servers, v)
	}
	for _, t := range l.trials {
		tried, err := r.try(ctx, l, t, servers, &found)
		if err != nil {
			return found, err
		}
		found.trials = append(found.trials, tried)
	}
	return found, nil
}

// try makes one trial: round by round, the targets take turns.
func (r *run) try(ctx context.Context, l load, t trial, servers []*server, found *result) (trialResult, error) {
	tried := trialResult{trial: t, samples: map[string][]sample{}}
	var able []*server
	for _, v := range servers {
		if why := v.cannot(t); why != "" {
			found.note("%s: %s.", v.title, why)
			continue
		}
		able = append(able, v)
	}
	if t.halfRate {
		rate, err := r.halfOfReach(ctx, t, able)
		if err != nil {
			found.note("%s: left out, %v.", t.name, err)
			return tried, ctx.Err()
		}
		tried.rate = rate
	}
	rounds := r.options.rounds
	if l.once {
		rounds = 1
	}
	for round := range rounds {
		for _, v := range able {
			one, err := r.sample(ctx, l, t, v, tried.rate)
			if ctx.Err() != nil {
				return tried, ctx.Err()
			}
			if err != nil {
				found.note("%s, %s: failed: %v.", v.title, t.name, err)
				fmt.Fprintf(r.progress, "  %s, %s: %v\n", t.name, v.name, err)
			} else {
				fmt.Fprintf(r.progress, "  %s, round %d, %s: %s\n", t.name, round+1, v.name, one.short())
			}
			tried.samples[v.name] = append(tried.samples[v.name], one)
		}
	}
	return tried, nil
}

// sample measures a target once.
func (r *run) sample(ctx context.Context, l load, t trial, v *server, rate float64) (sample, error) {
	if l.anew {
		v.stop()
		fresh, err := startServer(ctx, r.stage, v.foundTarget)
		if err != nil {
			return nil, err
		}
		*v = *fresh
	}
	if !v.running() {
		return nil, errors.New("it has ended")
	}
	if t.measure != nil {
		return t.measure(ctx, r, v, t)
	}
	return r.stage.pgbench.measureWith(ctx, r.stage, v, t, r.options.seconds, rate)
}

// halfOfReach is half of the rate that the slower of PgDrover and PgBouncer reaches in a second, of those that are here.
func (r *run) halfOfReach(ctx context.Context, t trial, servers []*server) (float64, error) {
	lowest := 0.0
	for _, v := range servers {
		if v.name != "pgdrover" && v.name != "pgbouncer" {
			continue
		}
		one, err := r.stage.pgbench.measureWith(ctx, r.stage, v, t, 1, 0)
		if err != nil {
			return 0, err
		}
		if lowest == 0 || one[tps] < lowest {
			lowest = one[tps]
		}
	}
	if lowest == 0 {
		return 0, errors.New("it takes PgDrover or PgBouncer to find the rate")
	}
	return lowest / 2, nil
}

// short is a sample in a line of progress.
func (s sample) short() string {
	var text string
	for _, m := range []metric{tps, p50, p99, proxyCPU, megabytes, proxyPerGB, memory} {
		if value, ok := s[m]; ok {
			text += fmt.Sprintf(" %.4g %s,", value, m)
		}
	}
	if text == "" {
		return "nothing"
	}
	return text[1 : len(text)-1]
}
