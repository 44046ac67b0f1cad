package cache

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// This file is the only one that knows the Redis client.

var errOneDial = errors.New("cache: the connection to Redis has ended")

// link is one connection to one Redis process. The client under it is not allowed
// to connect a second time: an answer that comes over a link is from the process
// whose run id the link noted, so a restart or a failover cannot go unseen.
type link struct {
	client rueidis.Client
	conn   net.Conn
	runID  string // "" if the server hides it
}

type dialer struct {
	option  rueidis.ClientOption
	timeout time.Duration
}

// newDialer checks the URL; it connects to nothing.
func newDialer(cfg Config) (dialer, error) {
	option, err := rueidis.ParseURL(cfg.Redis)
	if err != nil {
		return dialer{}, fmt.Errorf("%w: redis URL: write redis://user:password@host:port/db, rediss:// or unix://: %s", ErrConfig, withoutURL(err))
	}
	if len(option.InitAddress) != 1 || option.Sentinel.MasterSet != "" {
		return dialer{}, fmt.Errorf("%w: redis URL: name one server; several addresses and Sentinel are not supported", ErrConfig)
	}
	option.ForceSingleClient = true
	option.PipelineMultiplex = -1 // one connection
	option.AlwaysPipelining = true
	option.DisableRetry = true
	option.DisableCache = true
	option.RingScaleEachConn = 12
	option.ReadBufferEachConn = 64 << 10
	option.WriteBufferEachConn = 64 << 10
	option.Dialer.Timeout = cfg.OpTimeout
	option.ConnWriteTimeout = 4 * cfg.OpTimeout
	option.ClientSetInfo = rueidis.DisableClientSetInfo
	return dialer{option: option, timeout: cfg.OpTimeout}, nil
}

// withoutURL is the parser's message, unless it quotes the URL, which may hold a
// password.
func withoutURL(err error) string {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return "this is not a URL"
	}
	return err.Error()
}

// connect makes a link. It blocks for twice the timeout at most.
func (d dialer) connect(ctx context.Context) (*link, error) {
	l := &link{}
	option := d.option
	under := option.DialCtxFn
	if under == nil {
		under = dialTCP
	}
	var once sync.Once
	option.DialCtxFn = func(ctx context.Context, addr string, nd *net.Dialer, tc *tls.Config) (net.Conn, error) {
		err := errOneDial
		once.Do(func() { l.conn, err = under(ctx, addr, nd, tc) })
		if err != nil {
			return nil, err
		}
		return l.conn, nil
	}
	client, err := rueidis.NewClient(option)
	l.client = client
	if err != nil {
		l.close()
		return nil, err
	}
	if l.runID, err = l.askRunID(ctx, d.timeout); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func dialTCP(ctx context.Context, addr string, nd *net.Dialer, tc *tls.Config) (net.Conn, error) {
	if tc == nil {
		return nd.DialContext(ctx, "tcp", addr)
	}
	td := tls.Dialer{NetDialer: nd, Config: tc}
	return td.DialContext(ctx, "tcp", addr)
}

// askRunID is "" and no error for a server that has no such thing to tell.
func (l *link) askRunID(ctx context.Context, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	text, err := l.client.Do(ctx, l.client.B().Arbitrary("INFO").Args("server").Build()).ToString()
	if err != nil {
		if _, refused := rueidis.IsRedisErr(err); refused {
			return "", nil
		}
		return "", err
	}
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok {
			return id, nil
		}
	}
	return "", nil
}

// close ends the connection first, so that the client does not wait for a server
// that is silent.
func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close()
	}
	if l.client != nil {
		l.client.Close()
	}
}

// run executes a script.
func (l *link) run(ctx context.Context, s *rueidis.Lua, keys, args []string) ([]string, error) {
	messages, err := s.Exec(ctx, l.client, keys, args).ToArray()
	if err != nil {
		return nil, err
	}
	return texts(messages)
}

// texts turns an array reply into strings; nil elements become "".
func texts(messages []rueidis.RedisMessage) ([]string, error) {
	out := make([]string, len(messages))
	for i := range messages {
		s, err := messages[i].ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
		out[i] = s
	}
	return out, nil
}

// read gets keys in one atomic command, and with it how long the last of them
// will live.
func (l *link) read(ctx context.Context, keys []string) ([]string, time.Duration, error) {
	b := l.client.B()
	replies := l.client.DoMulti(ctx,
		b.Mget().Key(keys...).Build(),
		b.Pttl().Key(keys[len(keys)-1]).Build())
	messages, err := replies[0].ToArray()
	if err != nil {
		return nil, 0, err
	}
	left, err := replies[1].AsInt64()
	if err != nil {
		return nil, 0, err
	}
	values, err := texts(messages)
	return values, time.Duration(max(left, 0)) * time.Millisecond, err
}

// stored is one entry to write.
type stored struct {
	key   string
	value string
	ttl   time.Duration
}

// write stores a batch in one round trip and returns how many were stored.
func (l *link) write(ctx context.Context, batch []stored) (int, error) {
	commands := make(rueidis.Commands, 0, len(batch))
	for _, s := range batch {
		commands = append(commands, l.client.B().Set().Key(s.key).Value(s.value).Px(s.ttl).Build())
	}
	done := 0
	var failed error
	for _, reply := range l.client.DoMulti(ctx, commands...) {
		if err := reply.Error(); err != nil {
			failed = err
			continue
		}
		done++
	}
	return done, failed
}

// leave takes member off the list; with void it also ends the incarnation, so
// that nothing stored under it is served again.
func (l *link) leave(ctx context.Context, membersKey, member, incKey string, void bool) error {
	commands := rueidis.Commands{l.client.B().Zrem().Key(membersKey).Member(member).Build()}
	if void {
		commands = append(commands, l.client.B().Del().Key(incKey).Build())
	}
	var failed error
	for _, reply := range l.client.DoMulti(ctx, commands...) {
		failed = errors.Join(failed, reply.Error())
	}
	return failed
}

// randomToken is a value that was never used before.
func randomToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func hex64(v uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[v>>(60-4*i)&15]
	}
	return string(b[:])
}
