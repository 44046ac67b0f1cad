package pgcluster

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/pgdrover/pgdrover/internal/child"
)

// keeperScript waits for the end of its standard input, which comes with the
// end of this program, whatever ended it; then it ends the servers whose pid
// files are still in the directory, frees the shared memory that those files
// name where a server could not, and removes the directory. A directory that
// was removed before is nothing to do.
const keeperScript = `
trap '' INT TERM HUP QUIT
cat >/dev/null
servers() {
	for file in "$1"/nodes/*/postmaster.pid "$1"/redis.pid; do
		[ -f "$file" ] || continue
		pid=$(head -n 1 "$file")
		case $(cat "/proc/$pid/comm" 2>/dev/null || ps -o comm= -p "$pid" 2>/dev/null) in
		*postgres*|*redis-server*) echo "$pid" ;;
		esac
	done
}
for signal in QUIT KILL; do
	for pid in $(servers "$1"); do kill -"$signal" "$pid" 2>/dev/null; done
	tries=0
	while [ -n "$(servers "$1")" ] && [ $tries -lt 60 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
done
for file in "$1"/nodes/*/postmaster.pid; do
	[ -f "$file" ] || continue
	segment=$(sed -n 7p "$file" | awk '{ print $2 }')
	[ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null
done
tries=0
while [ -e "$1" ] && [ $tries -lt 60 ]; do
	rm -rf "$1" 2>/dev/null
	sleep 0.1
	tries=$((tries + 1))
done
`

// keeper is the process that cleans up after this one where this one cannot.
type keeper struct {
	stdin io.Closer
	proc  *child.Process
}

// startKeeper watches over dir, which must be a directory of the cluster's own.
func startKeeper(dir string) (*keeper, error) {
	cmd := exec.Command("/bin/sh", "-c", keeperScript, "pgdrover-keeper", dir)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	// A session of its own, so that neither a terminal nor a shell's job
	// control ends it together with this program.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the keeper: %w", err)
	}
	p, err := child.Start(cmd, 0)
	if err != nil {
		return nil, fmt.Errorf("start the keeper: %w", err)
	}
	return &keeper{stdin: stdin, proc: p}, nil
}

// release lets the keeper do its work and waits for it.
func (k *keeper) release() {
	_ = k.stdin.Close()
	<-k.proc.Done()
}
