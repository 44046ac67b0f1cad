package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// devVariable makes the test program be pgdrover, with the arguments in the variable.
const (
	devVariable  = "PGDROVER_TEST_ARGS"
	devSeparator = "\x1f"
)

func TestMain(m *testing.M) {
	args, ok := os.LookupEnv(devVariable)
	if !ok {
		os.Exit(m.Run())
	}
	os.Unsetenv(devVariable)
	os.Exit(run(context.Background(), strings.Split(args, devSeparator), stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// devProcess is a process that runs pgdrover with args.
func devProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := pgcluster.FindBinaries(t.Context()); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), devVariable+"="+strings.Join(args, devSeparator), "PGHOSTADDR=192.0.2.1",
		"PGDROVER_TEST_CLUSTER=") // dev runs servers of its own
	return cmd
}

func TestDevCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("users: [{name: guest, password: secret, databases: [app]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `echo "dir $PGDROVER_DIR"
		echo "one $(psql -At -c 'select 1')"
		echo "url $(psql -At "$DATABASE_URL" -c 'select 2')"
		echo "same $PGDATABASE $PGUSER $(basename "$PGDROVER_SHARDMAP")"
		echo "merged $(PGUSER=guest PGPASSWORD=secret psql -At -c 'select 3')"
		echo "console $(psql -At "$PGDROVER_ADMIN_URL" -c 'show version' | grep -c .)"
		for url in "$PGDROVER_SHARD_1_URL" "$PGDROVER_SHARD_2_URL" "$PGDROVER_SHARD_2_REPLICA_1_URL"; do
			echo "node $(psql -At "$url" -c "select usesuper, to_regclass('orders'), pg_is_in_recovery() from pg_user where usename = current_user")"
		done
		echo "third ${PGDROVER_SHARD_3_URL-none}"
		echo "pid $(head -n 1 "$PGDROVER_DIR/nodes/s2-replica-1/postmaster.pid")"
		exit 7`
	cmd := devProcess(t, "dev", "--config", file, "--", "sh", "-c", script)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("got %v, want exit status 7\n%s%s", err, stdout.String(), stderr.String())
	}
	got := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	want := []string{"one 1", "url 2", "same app app shardmap.yaml", "merged 3", "console 1", "node t|orders|f", "node t|orders|f", "node t|orders|t", "third none"}
	if len(got) != len(want)+2 || !slices.Equal(got[1:len(got)-1], want) {
		t.Fatalf("the COMMAND printed %q, want %q\n%s", got, want, stderr.String())
	}
	checkGone(t, strings.TrimPrefix(got[0], "dir "), strings.TrimPrefix(got[len(got)-1], "pid "))
}

func TestDevInit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.sql")
	schema := "create table notes (tenant_id bigint, id bigint, text text, primary key (tenant_id, id));\n" +
		"insert into notes values (1, 1, 'a; b');\ninsert into notes values (2, 1, 'x')"
	if err := os.WriteFile(file, []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := devProcess(t, "dev", "--replicas", "0", "--init", file, "--", "sh", "-c",
		`psql -At -c 'select text from notes where tenant_id = 1'
		for url in "$PGDROVER_SHARD_1_URL" "$PGDROVER_SHARD_2_URL"; do psql -At "$url" -c "select to_regclass('notes'), to_regclass('orders') is null"; done`).Output()
	if want := "a; b\nnotes|t\nnotes|t\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	if err := os.WriteFile(file, []byte("create table t (a int);\ncreate wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := devProcess(t, "dev", "--replicas", "0", "--init", file, "--", "true")
	combined, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != exitError || !bytes.Contains(combined, []byte("create wrong")) {
		t.Errorf("a file with an error: %v\n%s", err, combined)
	}
}

func TestDevDemo(t *testing.T) {
	out, err := devProcess(t, "dev", "--demo", "--replicas", "0", "--", "sh", "-c",
		`for url in "$PGDROVER_SHARD_1_URL" "$PGDROVER_SHARD_2_URL"; do
			psql -At -F ' ' "$url" -c 'select (select count(*) from tenants), (select count(*) from countries), (select count(*) from migrations)'
		done`).Output()
	if err != nil {
		t.Fatal(err)
	}
	var tenants, countries, migrations [2]int
	_, err = fmt.Sscan(string(out), &tenants[0], &countries[0], &migrations[0], &tenants[1], &countries[1], &migrations[1])
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if tenants[0] == 0 || tenants[1] == 0 || tenants[0]+tenants[1] != demoTenants {
		t.Errorf("%v tenants on the shards, want %d together", tenants, demoTenants)
	}
	if countries != [2]int{6, 6} || migrations != [2]int{1, 0} {
		t.Errorf("%v countries and %v migrations on the shards, want all 6 on each, and 1 on the first", countries, migrations)
	}
}

func TestDevRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"no shard":                 {"--shards", "0"},
		"fewer than no replica":    {"--replicas", "-1"},
		"a COMMAND without dashes": {"psql"},
		"an unknown flag":          {"--keep"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if got := run(t.Context(), append([]string{"dev"}, args...), stdio{out: &out, err: &out}); got != exitUsage {
				t.Errorf("exit status %d, want %d: %s", got, exitUsage, out.String())
			}
		})
	}
}

func TestDevAddresses(t *testing.T) {
	for _, test := range []struct {
		options      devOptions
		listen, http string
	}{
		{devOptions{}, "127.0.0.1:6432", "127.0.0.1:6433"},
		{devOptions{listen: "0.0.0.0:7000"}, "0.0.0.0:7000", "127.0.0.1:7001"},
		{devOptions{listen: "127.0.0.1:0"}, "127.0.0.1:0", "127.0.0.1:0"},
		{devOptions{command: []string{"true"}}, "127.0.0.1:0", "127.0.0.1:0"},
		{devOptions{command: []string{"true"}, listen: "127.0.0.1:7000"}, "127.0.0.1:7000", "127.0.0.1:0"},
	} {
		if listen, http := test.options.addresses(); listen != test.listen || http != test.http {
			t.Errorf("%+v: got %s and %s, want %s and %s", test.options, listen, http, test.listen, test.http)
		}
	}
	for addr, want := range map[string]string{"0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", ":1": "127.0.0.1:1", "10.0.0.1:1": "10.0.0.1:1"} {
		if got := reachable(addr); got != want {
			t.Errorf("reachable(%s) is %s, want %s", addr, got, want)
		}
	}
}

func TestDevAddressTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, err := devProcess(t, "dev", "--shards", "1", "--replicas", "0", "--listen", taken.Addr().String(), "--", "true").CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != exitError || !bytes.Contains(out, []byte("--listen")) {
		t.Errorf("got %v, want exit status %d and a hint:\n%s", err, exitError, out)
	}
}

// TestDevSignals sends a signal to dev when its output has a line that begins with a word.
func TestDevSignals(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		at     string
		signal syscall.Signal
		want   int
	}{
		"Ctrl-C ends a cluster":         {[]string{"--replicas", "0", "--listen", "127.0.0.1:0"}, "Metrics", syscall.SIGINT, 0},
		"Ctrl-C while it starts":        {[]string{"--listen", "127.0.0.1:0"}, "starting", syscall.SIGINT, 128 + int(syscall.SIGINT)},
		"SIGTERM ends a COMMAND":        {[]string{"--replicas", "0", "--", "sh", "-c", "echo Here; exec sleep 60"}, "Here", syscall.SIGTERM, 128 + int(syscall.SIGTERM)},
		"a COMMAND may take a signal":   {[]string{"--replicas", "0", "--", "sh", "-c", "trap 'exit 3' INT; echo Here; while :; do sleep 0.1; done"}, "Here", syscall.SIGINT, 3},
		"a COMMAND that is not to find": {[]string{"--replicas", "0", "--", "no-such-command"}, "", 0, 127},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := devProcess(t, append([]string{"dev"}, test.args...)...)
			temp := openTemp(t)
			cmd.Env = append(cmd.Env, "TMPDIR="+temp)
			read, write := io.Pipe()
			cmd.Stdout, cmd.Stderr = write, write
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			var seen strings.Builder
			watched := make(chan struct{})
			go func() {
				defer close(watched)
				lines := bufio.NewScanner(read)
				sent := test.signal == 0
				for lines.Scan() {
					seen.WriteString(lines.Text() + "\n")
					if !sent && strings.HasPrefix(lines.Text(), test.at) {
						sent = true
						_ = cmd.Process.Signal(test.signal)
					}
				}
			}()
			killer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
			defer killer.Stop()
			_ = cmd.Wait()
			write.Close()
			<-watched
			if got := cmd.ProcessState.ExitCode(); got != test.want {
				t.Errorf("exit status %d, want %d\n%s", got, test.want, seen.String())
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

// openTemp is a directory for temporary files that other users can reach.
func openTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dev-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkGone fails the test when the directory or the process is still there.
func checkGone(t *testing.T, dir, pid string) {
	t.Helper()
	if _, err := os.Stat(dir); dir == "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%q is still there (%v)", dir, err)
	}
	id, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(id, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there (%v)", id, err)
	}
}
