package main

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	text := "4242 (postgres: a ) b) S 17 4242 4242 0 -1 4194560 900 5 0 0 120 30 7 3 20 0 1 0 100 200 300\n"
	p, err := parseStat(text)
	if err != nil {
		t.Fatal(err)
	}
	if want := (process{pid: 4242, parent: 17, threads: 1, own: 1500 * time.Millisecond, children: 100 * time.Millisecond}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	for _, bad := range []string{"", "1 (sh) S 0", "x (sh) S 0 0 0 0 0 0 0 0 0 0 1 1 1 1 0 0 1"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is taken for a stat", bad)
		}
	}
}

func TestSharpen(t *testing.T) {
	for _, c := range []struct {
		threads   int
		schedstat string
		want      time.Duration
	}{
		{1, "4200123 77 12\n", 4200123},
		{2, "4200123 77 12\n", clockTick}, // of one thread
		{1, "0 77 12\n", clockTick},       // a kernel that does not count
		{1, "", clockTick},
	} {
		p := process{threads: c.threads, own: clockTick}
		if p.sharpen(c.schedstat); p.own != c.want {
			t.Errorf("%q of %d threads: %v, want %v", c.schedstat, c.threads, p.own, c.want)
		}
	}
}

// PostgreSQL's sessions are processes below the first one; other families do not count.
func TestFamily(t *testing.T) {
	tick := func(n int) time.Duration { return time.Duration(n) * clockTick }
	c := census{
		0:  {{pid: 1, parent: 0, own: tick(1000)}},
		1:  {{pid: 10, parent: 1, own: tick(1)}, {pid: 20, parent: 1, own: tick(500)}},
		10: {{pid: 11, parent: 10, own: tick(2)}, {pid: 12, parent: 10, own: tick(4)}},
		12: {{pid: 13, parent: 12, own: tick(8)}},
		20: {{pid: 21, parent: 20, own: tick(500)}},
	}
	if got := c.cpu(10); got != tick(15) {
		t.Errorf("the family of 10 used %v, want %v", got, tick(15))
	}
	if got := c.cpu(10, 21); got != tick(515) {
		t.Errorf("two families used %v, want %v", got, tick(515))
	}
	if got := c.cpu(0); got != 0 {
		t.Errorf("no process used %v", got)
	}
}

func TestPss(t *testing.T) {
	kilobytes, err := pss("00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss:  300 kB\nPss:  120 kB\nPss_Anon: 7 kB\n")
	if err != nil || kilobytes != 120 {
		t.Errorf("%d, %v, want 120", kilobytes, err)
	}
	if _, err := pss("Rss: 300 kB\n"); err == nil {
		t.Error("a rollup without Pss is taken for one")
	}
}
