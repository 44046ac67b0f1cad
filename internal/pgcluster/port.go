package pgcluster

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports below the ranges from which systems number outgoing connections
// (32768 up on Linux, 49152 up elsewhere), so that a stopped node finds its
// port free when it starts again.
const (
	firstPort = 14000
	lastPort  = 31999
)

var errNoPort = errors.New("found no free port on 127.0.0.1 between 14000 and 31999")

// FreePort is a loopback port that nobody listened on a moment ago. Whoever
// uses it must be ready to find it taken and ask for another.
func FreePort() (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, err
		}
		return port, nil
	}
	return 0, errNoPort
}
