package router

import (
	"bytes"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// templateLocks is how many parts the templates are kept in, each with its own
// lock. A power of two.
const templateLocks = 16

// templates keeps the templates used last. It is safe for concurrent use.
type templates struct {
	parts [templateLocks]templatePart
}

type templatePart struct {
	mu  sync.Mutex
	lru *simplelru.LRU[uint64, *Template]
}

// newTemplates returns room for at least size templates.
func newTemplates(size int) *templates {
	t := &templates{}
	each := (size + templateLocks - 1) / templateLocks
	for i := range t.parts {
		lru, err := simplelru.NewLRU[uint64, *Template](each, nil)
		if err != nil { // a programmer's mistake: New makes the size positive
			panic("router: templates need a positive size")
		}
		t.parts[i].lru = lru
	}
	return t
}

// find returns the template of norm under a search path, or nil. All bytes are
// compared: two templates of one hash are never taken for each other.
func (t *templates) find(hash uint64, norm []byte, searchPath, user string) *Template {
	p := &t.parts[hash%templateLocks]
	p.mu.Lock()
	tpl, ok := p.lru.Get(hash)
	p.mu.Unlock()
	if !ok || !bytes.Equal(tpl.norm, norm) || tpl.searchPath != searchPath || tpl.user != user {
		return nil
	}
	return tpl
}

// add keeps a template; one of the same hash gives way.
func (t *templates) add(hash uint64, tpl *Template) {
	p := &t.parts[hash%templateLocks]
	p.mu.Lock()
	p.lru.Add(hash, tpl)
	p.mu.Unlock()
}

// len returns how many templates are kept.
func (t *templates) len() int {
	n := 0
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		n += p.lru.Len()
		p.mu.Unlock()
	}
	return n
}
