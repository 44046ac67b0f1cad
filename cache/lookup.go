package cache

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"
)

// found is an entry from Redis.
type found struct {
	key  []byte
	body []byte
	left time.Duration // of its life
}

// lookup reads the entry, the tokens of its scopes and the incarnation in one
// round trip. On a miss it leaves in t the tokens that a Store has to prove.
func (r *remote) lookup(ctx context.Context, k *Key, d *Deps, t *Ticket) (found, bool) {
	bounded, cancel := context.WithTimeout(ctx, r.cache.cfg.ReadTimeout)
	defer cancel()
	defer r.lookups.Add(-1)
	crowded := r.lookups.Add(1) > maxLookups
	r.awaitFirst(bounded, &r.slow)
	b := r.usable()
	if b == nil || crowded {
		r.cache.counts.l2Misses.Add(1)
		return found{}, false
	}
	f, ok, err := r.ask(bounded, b, k, d, t)
	if err != nil {
		t.inc, t.notes = "", ""
		r.cache.counts.l2Errors.Add(1)
		r.failed(ctx)
		return found{}, false
	}
	if !ok {
		r.cache.counts.l2Misses.Add(1)
	}
	return f, ok
}

// failed switches readers off at once, unless the caller itself gave up.
func (r *remote) failed(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if !r.slow.Swap(true) {
		r.wake()
	}
}

func (r *remote) ask(ctx context.Context, b *beat, k *Key, d *Deps, t *Ticket) (found, bool, error) {
	scopes := d.readScopes()
	keys := make([]string, 0, len(scopes)+2)
	keys = append(keys, r.incKey())
	for _, scope := range scopes {
		keys = append(keys, r.scopeKey(b.inc, scope))
	}
	keys = append(keys, r.entryKey(b.inc, k.sum()))
	values, left, err := b.link.read(ctx, keys)
	if err != nil {
		return found{}, false, err
	}
	if values[0] != b.inc {
		r.wake()
		return found{}, false, nil
	}
	tokens, value := values[1:len(values)-1], values[len(values)-1]
	notes, known, clean := note(tokens)
	if !known {
		return found{}, false, r.ensure(ctx, b, scopes, t)
	}
	if !clean {
		return found{}, false, nil
	}
	t.inc, t.notes = b.inc, notes
	if value == "" {
		return found{}, false, nil
	}
	key, body, ok := decode([]byte(value), notes)
	if !ok || !bytes.Equal(key, k.buf) {
		return found{}, false, nil
	}
	return found{key: key, body: body, left: left}, true, nil
}

// ensure makes tokens that are missing; a second round trip, for a scope's first
// reader only.
func (r *remote) ensure(ctx context.Context, b *beat, scopes []string, t *Ticket) error {
	args := append([]string{r.prefix, b.inc, randomToken(), millis(r.tokenTTL())}, scopes...)
	tokens, err := b.link.run(ctx, ensureScript, []string{r.incKey()}, args)
	if err != nil {
		return err
	}
	if notes, known, clean := note(tokens); known && clean && len(tokens) == len(scopes) {
		t.inc, t.notes = b.inc, notes
	}
	return nil
}

// note joins the tokens of scopes into what an entry is stored with. known is
// false if one is missing or not understood, clean is false if one is being written.
func note(values []string) (notes string, known, clean bool) {
	var joined strings.Builder
	clean = true
	for _, value := range values {
		count, token, ok := strings.Cut(value, " ")
		if !ok || token == "" {
			return "", false, false
		}
		clean = clean && count == "0"
		joined.WriteString(token)
		joined.WriteByte(' ')
	}
	return joined.String(), true, clean
}

// announce tells Redis the mark's step within WriteTimeout. If it cannot, it
// counts the write as lost before it returns: from then on this proxy reads
// nothing from L2 until a beat has begun a new incarnation.
func (r *remote) announce(ctx context.Context, m *Mark) {
	args, sent := r.announcement(m)
	if len(sent) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.cache.cfg.WriteTimeout)
	defer cancel()
	r.awaitFirst(ctx, &r.down)
	b := r.state.Load()
	if b == nil || r.down.Load() {
		r.unannounced()
		return
	}
	answer, err := b.link.run(ctx, announceScript, []string{r.incKey()}, args)
	if err != nil || len(answer) != 1 {
		r.down.Store(true)
		r.unannounced()
		return
	}
	if answer[0] != b.inc {
		r.wake()
	}
	if m.step == stepMark {
		for _, i := range sent {
			m.scopes[i].inc = answer[0]
		}
	}
}

// unannounced counts a write that Redis was not told of.
func (r *remote) unannounced() {
	r.lost.Add(1)
	r.cache.counts.unannounced.Add(1)
	r.wake()
}

// announcement returns the script's arguments and which scopes they are about.
func (r *remote) announcement(m *Mark) (args []string, sent []int) {
	listed := r.cache.tables.Load()
	word := [...]string{stepMark: "mark", stepBump: "bump", stepDrop: "drop"}[m.step]
	args = []string{r.prefix, word, randomToken(), millis(r.tokenTTL())}
	for i := range m.scopes {
		t := &m.scopes[i]
		marked := t.inc != ""
		if (m.step == stepMark && marked) || (m.step == stepDrop && !marked) {
			continue
		}
		if !marked && !listed.lists(t.table) {
			continue
		}
		args = append(args, t.name, t.inc)
		sent = append(sent, i)
	}
	return args, sent
}

func millis(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}
