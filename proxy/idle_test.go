package proxy

import (
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestIdleClientsAreCheap has clients ask something, and then nothing: of the messages and the buffers that these came in, nothing is
// kept.
func TestIdleClientsAreCheap(t *testing.T) {
	const clients = 60
	r := stormRig(t, 4)
	ask := func() *pgtest.Client {
		c, err := r.dialStorm("cheap", rigPassword)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Query("select 1"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask()
	before := idleMemory()
	for range clients {
		ask()
		memoryInUse() // the next one shall not have the same buffer
		memoryInUse()
	}
	if each := (idleMemory() - before) / clients; each > 30<<10 {
		t.Errorf("an idle client keeps %d bytes, this test's own included", each)
	} else {
		t.Logf("an idle client keeps %d bytes, this test's own included", each)
	}
}

// idleMemory is what is in use once all have come to rest, and spare memory was given back.
func idleMemory() int {
	time.Sleep(20 * time.Millisecond) // what is left to do after an answer; where that takes longer, more is measured, and only then
	least := memoryInUse()
	for range 4 {
		least = min(least, memoryInUse())
	}
	return least
}
