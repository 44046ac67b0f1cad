package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestApplicationNameAddHost has servers show where clients come from.
func TestApplicationNameAddHost(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{size: 1, addHost: true})
	long := strings.Repeat("é", 40)
	for name, want := range map[string]string{"": "app - 127.0.0.1:", "shop": "shop - 127.0.0.1:", long: strings.Repeat("é", 10)} {
		cfg, err := pgx.ParseConfig(r.url())
		if err != nil {
			t.Fatal(err)
		}
		cfg.RuntimeParams["application_name"] = name
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		where := conn.PgConn().Conn().LocalAddr().String()
		got := r.value(conn, "show application_name")
		if name == long {
			want = got[:0] // a server has its own way with letters that are not ASCII
		}
		if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " - "+where) {
			t.Errorf("%q: called %q, from %s", name, got, where)
		}
		if told := conn.PgConn().ParameterStatus("application_name"); told != got {
			t.Errorf("%q: told %q", name, told)
		}
		r.exec(conn, "set application_name to 'own'")
		if got := r.value(conn, "show application_name"); got != "own" {
			t.Errorf("after SET: %q", got)
		}
		r.exec(conn, "reset application_name")
		if got := r.value(conn, "show application_name"); !strings.HasSuffix(got, where) {
			t.Errorf("after RESET: %q", got)
		}
		_ = conn.Close(context.Background())
	}
}

// TestNamesCostNoWait has a backend called by the name of whoever uses it, without a round trip for that, and clients log in by many
// names without asking a backend.
func TestNamesCostNoWait(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{size: 1})
	_ = r.connect("application_name=first")
	acquired := func() (n uint64) {
		for _, s := range r.db.Cluster().Stats() {
			n += s.Counts.Acquired
		}
		return n
	}
	before := acquired()
	var conns []*pgx.Conn
	for i := range 10 {
		conns = append(conns, r.connect(fmt.Sprint("application_name=app", i)))
	}
	if n := acquired() - before; n != 0 {
		t.Errorf("%d backends were asked to log in 10 clients", n)
	}
	k := r.tenants(0, 1)[0]
	for i := range 30 {
		want := fmt.Sprint("app", i%10)
		got := r.value(conns[i%10], "select current_setting('application_name') from (select count(*) from orders where tenant_id = $1) x", k)
		if got != want {
			t.Fatalf("client %s was called %s", want, got)
		}
	}
}

func TestSameButName(t *testing.T) {
	named := func(name string) setting { return setting{applicationName, setNameSQL(name), name} }
	memory := setting{"work_mem", setConfigSQL("work_mem", "5MB"), "5MB"}
	tenant := setting{name: ownTenant, value: "7"}
	list := func(l ...setting) *settings {
		s := noSettings
		for _, e := range l {
			s = s.with(e)
		}
		return s
	}
	for _, c := range []struct {
		a, b *settings
		want bool
	}{
		{noSettings, noSettings, true},
		{noSettings, list(named("a")), true},
		{list(named("a")), list(named("b"), tenant), true},
		{list(named("a"), memory), list(named("b"), memory), true},
		{list(named("a"), memory), list(memory), true},
		{list(named("a"), memory), list(named("a")), false},
		{list(memory), noSettings, false},
		{list(memory), list(setting{"work_mem", setConfigSQL("work_mem", "6MB"), "6MB"}), false},
	} {
		if c.a.sameButName(c.b) != c.want || c.b.sameButName(c.a) != c.want {
			t.Errorf("%v, %v: want %v", c.a.list, c.b.list, c.want)
		}
	}
}
