package main

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/pgdrover/pgdrover/router"
)

// outcome is what becomes of a statement, as far as its text says.
type outcome uint8

const (
	toOneShard outcome = iota
	byParameter
	ifAgreed
	toAnyShard
	ofSession
	toEveryShard
	toSeveral
	byScatter
	byRow
	refused
	notShown
	outcomes
)

// String gives the word for an outcome that JSON has.
func (o outcome) String() string {
	return [outcomes]string{
		"one_shard", "parameter", "parameters", "any_shard", "session", "every_shard", "several_shards", "scatter", "row", "refused", "not_shown",
	}[o]
}

// MarshalText implements encoding.TextMarshaler.
func (o outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// words are what the report calls an outcome.
func (o outcome) words() string {
	return [outcomes]string{
		"one shard", "one shard, by a parameter", "one shard, if parameters agree", "any shard", "the session's own",
		"every shard", "several shards, by their tenants", "all shards, by scatter", "several shards, by row", "refused", "not shown",
	}[o]
}

// explained reports an outcome whose reasons belong in the report.
func (o outcome) explained() bool { return o == ifAgreed || o >= toEveryShard }

// verdict is the outcome of a statement, with the reason.
type verdict struct {
	outcome outcome
	shard   string   // of toOneShard
	why     string   // unless it is refused
	denied  *refusal // why it is refused; of byScatter, why it is as long as scatter is denied
}

// reason is what the report groups statements by.
func (v verdict) reason() string {
	switch {
	case v.denied != nil:
		return v.denied.Message
	case v.outcome == ifAgreed:
		return "its values decide: if they name tenants of several shards, it is split by shard, or refused"
	}
	return v.why
}

// judge says what becomes of statements. It is not safe for concurrent use.
type judge struct {
	r   *router.Router
	env router.Env
	q   router.Query
}

// hidden is what pg_stat_statements shows in the place of texts that the user may not see.
var hidden = []byte("<insufficient privilege>")

// judge gives the verdict on a statement whose parameters have no values. Its template is that of j.q until the next.
func (j *judge) judge(text []byte) verdict {
	env := j.env
	env.Scatter = false
	f, err := j.foresee(text, &env)
	if err == nil {
		return j.placed(f)
	}
	v := verdict{outcome: refused, denied: refusalOf(err)}
	env.Scatter = true
	f, err = j.foresee(text, &env)
	switch {
	case err == nil && j.env.Scatter:
		return verdict{outcome: byScatter, why: v.denied.Message}
	case err == nil:
		v.outcome = byScatter
		v.denied.Hint = "With scatter: reads it is answered from all shards. " + v.denied.Hint
	case j.env.Scatter:
		v.denied = refusalOf(err)
	}
	return v
}

func (j *judge) foresee(text []byte, env *router.Env) (router.Foresight, error) {
	j.r.Analyse(&j.q, text, env)
	return j.r.Foresee(&j.q, env)
}

// placed is the verdict on a statement that has a route.
func (j *judge) placed(f router.Foresight) verdict {
	v := verdict{outcome: toOneShard, why: j.q.Why(f.Route)}
	switch {
	case f.Session:
		v.outcome = ofSession
	case f.Kind == router.Any:
		v.outcome = toAnyShard
	case f.Kind == router.Every:
		v.outcome = toEveryShard
	case f.Kind == router.Several, f.Kind == router.InTurn:
		v.outcome = toSeveral
	case f.Kind == router.Scatter:
		v.outcome = byScatter
	case f.Kind == router.ByRow:
		v.outcome = byRow
	case f.Agree:
		v.outcome = ifAgreed
	case len(f.Waits) > 0:
		v.outcome = byParameter
	default:
		v.shard = j.r.Map().Shard(f.Shard).Name
	}
	return v
}

// shape is what statements have in common that differ in their literals only, and have the same outcome.
type shape struct {
	verdict
	text, at string // of the first
	calls    int64
}

// workload counts statements by shape.
type workload struct {
	judge  *judge
	byKey  map[string]*shape
	shapes []*shape // in the order in which they came
	key    []byte
}

// add judges a sample and counts it.
func (l *workload) add(s sample) {
	v := verdict{outcome: notShown, why: "the server did not show the text: read pg_stat_statements as a superuser or a member of pg_read_all_stats"}
	l.key = append(l.key[:0], byte(notShown))
	if len(s.text) > 0 && !bytes.Equal(s.text, hidden) {
		v = l.judge.judge(s.text)
		l.key = append(append(append(l.key[:0], byte(v.outcome)), v.shard...), 0)
		if v.denied != nil {
			l.key = append(append(l.key, v.denied.Message...), 0)
		}
		l.key = append(l.key, l.judge.q.Template().Bytes()...)
	}
	known := l.byKey[string(l.key)]
	if known == nil {
		known = &shape{verdict: v, text: string(s.text), at: s.at}
		l.byKey[string(l.key)] = known
		l.shapes = append(l.shapes, known)
	}
	known.calls += s.calls
}

// routeWorkload reads many statements and reports what becomes of them. The exit status is 1 if some would be refused.
func routeWorkload(ctx context.Context, streams stdio, j *judge, o routeOptions) error {
	samples, size, err := o.samples(streams.in)
	if err != nil {
		return err
	}
	l := workload{judge: j, byKey: map[string]*shape{}}
	p := newReading(streams.err, size)
	for s, err := range samples {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.add(s)
		p.at(s.read)
	}
	slices.SortStableFunc(l.shapes, func(a, b *shape) int { return cmp.Compare(b.calls, a.calls) })
	report := l.report(o.list)
	if o.json {
		err = printJSON(streams.out, report)
	} else {
		err = report.print(streams.out)
	}
	if err == nil && l.refuses() {
		return exitStatus(exitError)
	}
	return err
}

// refuses reports whether statements would be refused by the configuration as it is.
func (l *workload) refuses() bool {
	return slices.ContainsFunc(l.shapes, func(s *shape) bool { return s.denied != nil })
}
