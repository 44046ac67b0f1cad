package proxy

import (
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestSettingsOfTheRole changes what the backends' role begins with. It is in force on backends that begin after that, for whoever gets
// one; RESET and DISCARD ALL go back to it, and clients that log in are told of it.
//
// Row 18: ALTER ROLE SET and ALTER DATABASE SET, with backends from before and after.
func TestSettingsOfTheRole(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	r := startRig(t, c, rigOptions{size: 2, wait: 20 * time.Second})
	conn := r.connect(simpleMode)
	r.exec(conn, "set work_mem to '9MB'")
	r.exec(conn, "alter role "+c.User+" set work_mem to '11MB'")
	r.exec(conn, "alter database "+c.Database+" set timezone to 'Asia/Tokyo'")
	if got := r.value(conn, "show work_mem"); got != "9MB" {
		t.Errorf("the session's own setting became %s", got)
	}
	r.terminate(0, "application_name = '' and usename = '"+c.User+"'")
	if got := r.value(conn, "show work_mem"); got != "9MB" {
		t.Errorf("on a new backend the session's own setting is %s", got)
	}
	for _, reset := range []string{"reset work_mem", "discard all", "reset all"} {
		r.exec(conn, "set work_mem to '9MB'")
		r.exec(conn, reset)
		if got := r.value(conn, "show work_mem"); got != "11MB" {
			t.Errorf("after %s: %s", reset, got)
		}
	}
	later := r.connect(simpleMode)
	if got := r.value(later, "select current_setting('work_mem') || current_setting('timezone')"); got != "11MBAsia/Tokyo" {
		t.Errorf("a new client has %s", got)
	}
	if got := later.PgConn().ParameterStatus("TimeZone"); got != "Asia/Tokyo" {
		t.Errorf("a new client is told of %s", got)
	}
}
