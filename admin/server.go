package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Times of the HTTP side. A profile may take a minute.
const (
	healthTime  = 2 * time.Second // after which a proxy that cannot be looked at counts as wedged
	headerTime  = 10 * time.Second
	answerTime  = 2 * time.Minute
	idleTime    = 2 * time.Minute
	goodbyeTime = 5 * time.Second
)

// NewHandler returns the HTTP side: /healthz, /readyz, /metrics and a page at /.
func NewHandler(o Options) http.Handler {
	o = o.withDefaults()
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", http.TimeoutHandler(health(o), healthTime, "the proxy does not answer\n"))
	mux.Handle("GET /readyz", ready(o))
	mux.Handle("GET /metrics", metrics(o))
	mux.Handle("GET /{$}", page(o))
	if o.Profile {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// health answers 200 when every lock of the proxy could be taken; it does not ask whether the nodes are well.
func health(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		look(o.Server())
		plain(w, "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
}

// ready answers 200 or 503 with a readiness as JSON.
func ready(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := look(o.Server())
		r := v.readiness(o.Draining())
		var body bytes.Buffer
		e := json.NewEncoder(&body)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		plain(w, "application/json")
		if !r.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(body.Bytes())
	})
}

// plain sets the headers that every answer has.
func plain(w http.ResponseWriter, contentType string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// metrics serves a registry of its own: the proxy's metrics, the Go runtime's and the process's.
func metrics(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(o), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelError)})
}

// Serve answers requests on ln with h until ctx ends, lets those in flight finish for some seconds, and returns once no goroutine
// of its own is left. It owns ln. The error is nil after an end by ctx.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	if log == nil {
		log = slog.Default()
	}
	srv := &http.Server{
		Handler: h, ReadTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTime)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		log.Warn("requests to the HTTP side were cut off", "error", err)
		_ = srv.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
