package admin

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"time"

	"github.com/pgdrover/pgdrover/pool"
)

//go:embed page.html
var pageText string

// pageTemplate escapes whatever it is given.
var pageTemplate = template.Must(template.New("page").Parse(pageText))

// overview is what the page shows.
type overview struct {
	Version   string
	At        string
	Ready     readiness
	Clients   int
	Refused   int64
	Panics    int64
	Databases []databaseCard
}

// databaseCard is one database of the page.
type databaseCard struct {
	Name       string
	Tenant     string
	Partitions int
	Epoch      uint64
	Clients    []tally
	Shards     []shardCard
	Traffic    []trafficRow
	Cache      *cacheCard
}

// tally is a count and what it is of.
type tally struct {
	Name  string
	Count int
}

// shardCard is one shard of the page.
type shardCard struct {
	Name    string
	Hue     int // of its colour, in degrees
	Owned   int
	Percent float64
	Weight  int
	Pins    int
	Nodes   []nodeRow
}

// nodeRow is one node of the page.
type nodeRow struct {
	Role, Addr, Why          string
	Up, Draining             bool
	Busy, Idle, Dialing      int
	Size, Waiting            int
	BusyPercent, IdlePercent float64
	Latency                  string
}

// trafficRow is what one role of one shard has done.
type trafficRow struct {
	Shard, Role               string
	Statements                uint64
	P50, P99, OwnP99, WaitP99 string
	Timeouts                  uint64
}

// cacheCard is the cache of a database on the page.
type cacheCard struct {
	Hits1, Misses1, Hits2, Misses2 uint64
	Percent1, Percent2             float64
	Entries                        int64
	Used                           float64 // MB, as Budget
	Budget                         float64
	L2, Reason                     string
}

// page serves the overview.
func page(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := look(o.Server())
		var body bytes.Buffer
		if err := pageTemplate.Execute(&body, v.overview(o)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		plain(w, "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		_, _ = w.Write(body.Bytes())
	})
}

func (v *view) overview(o Options) overview {
	page := overview{
		Version: o.Version, At: v.at.UTC().Format(time.RFC3339), Ready: v.readiness(o.Draining()),
		Clients: len(v.clients), Refused: v.counts.refused, Panics: v.counts.panics,
	}
	all := v.traffic()
	for i := range v.databases {
		page.Databases = append(page.Databases, v.card(&v.databases[i], all))
	}
	return page
}

func (v *view) card(d *database, all []traffic) databaseCard {
	card := databaseCard{
		Name: d.name, Tenant: d.shards.TenantText(),
		Partitions: d.shards.Partitions(), Epoch: d.shards.Epoch(), Cache: d.cacheCard(),
	}
	for _, state := range clientStates {
		t := tally{Name: state.String()}
		for i := range v.clients {
			if v.clients[i].Database == d.name && v.clients[i].State == state {
				t.Count++
			}
		}
		card.Clients = append(card.Clients, t)
	}
	pins, shards := d.pins(), d.shards.Shards()
	for i, s := range shards {
		c := shardCard{Name: s.Name, Hue: (205 + i*360/len(shards)) % 360, Owned: s.Owned, Percent: d.share(s), Weight: s.Weight, Pins: pins[s.Name]}
		for j := range d.nodes {
			if d.nodes[j].Shard == s.Name {
				c.Nodes = append(c.Nodes, rowOf(&d.nodes[j]))
			}
		}
		card.Shards = append(card.Shards, c)
	}
	for _, t := range all {
		if t.Database == d.name {
			card.Traffic = append(card.Traffic, trafficRow{
				t.Shard, t.Role, t.statements.count, millis(t.statements.quantile(0.5)), millis(t.statements.quantile(0.99)),
				millis(t.own.quantile(0.99)), millis(t.wait.quantile(0.99)), t.timeouts,
			})
		}
	}
	return card
}

func rowOf(n *pool.NodeStats) nodeRow {
	r := nodeRow{
		Role: n.Role.String(), Addr: n.Addr, Why: trouble(n), Up: n.Up, Draining: n.Draining,
		Busy: n.Busy, Idle: n.Idle, Dialing: n.Dialing, Size: n.Size, Waiting: n.Waiting,
	}
	if n.Backup {
		r.Role += ", backup"
	}
	r.BusyPercent, r.IdlePercent = percent(uint64(n.Busy), uint64(n.Size)), percent(uint64(n.Idle), uint64(n.Size))
	if !n.Probed.IsZero() {
		r.Latency = millis(n.Latency.Seconds())
	}
	return r
}

func (d *database) cacheCard() *cacheCard {
	c := d.cache
	if c == nil {
		return nil
	}
	const mega = 1 << 20
	return &cacheCard{
		Hits1: c.L1Hits, Misses1: c.L1Misses, Hits2: c.L2Hits, Misses2: c.L2Misses,
		Percent1: percent(c.L1Hits, c.L1Hits+c.L1Misses), Percent2: percent(c.L2Hits, c.L2Hits+c.L2Misses),
		Entries: c.L1Entries, Used: float64(c.L1Bytes) / mega, Budget: float64(c.L1Budget) / mega,
		L2: c.L2.String(), Reason: c.L2Reason,
	}
}

// percent is part of whole in percent, from 0 to 100; 0 of nothing.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return min(100, 100*float64(part)/float64(whole))
}
