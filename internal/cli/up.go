package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/musher/musher/internal/server"
)

// upCommand runs the server in the foreground.
type upCommand struct {
	place
	Listen    string   `help:"Address to listen on." default:"127.0.0.1:4566" env:"MUSHER_LISTEN" placeholder:"HOST:PORT"`
	Account   string   `help:"Account number, 12 digits." default:"123456789012" env:"MUSHER_ACCOUNT"`
	FetchFrom []string `help:"Private networks from which endpoints may fetch images by URL (address or CIDR)." env:"MUSHER_FETCH_FROM" placeholder:"CIDR"`
	LeaveWork bool     `help:"Let jobs and endpoints run on when the server stops, for the next server to adopt."`
	Runner    string   `help:"What runs work. docker: images that no runtime fits run in containers of the local Docker engine, all else as processes; auto and process: processes only." enum:"auto,process,docker" default:"auto" env:"MUSHER_RUNNER"`
	Pull      bool     `help:"Let the Docker engine fetch images that it does not have."`
	LogLevel  string   `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
}

func (c upCommand) Run(ctx context.Context, g *globals) error {
	started := time.Now()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log := c.logger(g)
	provider, err := newProvider(g.Cache, log, nil)
	if err != nil {
		return err
	}
	s, err := server.Open(ctx, server.Options{
		Data: c.Data, Cache: g.Cache, Listen: c.Listen, Account: c.Account, FetchFrom: c.FetchFrom, LeaveWork: c.LeaveWork,
		Containers: c.Runner == "docker", Pull: c.Pull,
		RootAccessKey: os.Getenv("MUSHER_ROOT_ACCESS_KEY"), RootSecretKey: os.Getenv("MUSHER_ROOT_SECRET_KEY"),
		Self: []string{self}, Provider: provider, Log: log,
	})
	if err != nil {
		return err
	}
	if err := c.greet(g, s, time.Since(started)); err != nil {
		return err
	}
	return s.Serve(ctx)
}

func (c upCommand) logger(g *globals) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo // the parser has checked it
	}
	opts := &slog.HandlerOptions{Level: level}
	if g.JSON {
		return slog.New(slog.NewJSONHandler(g.err, opts))
	}
	return slog.New(slog.NewTextHandler(g.err, opts))
}

func (c upCommand) greet(g *globals, s *server.Server, took time.Duration) error {
	key, secret := s.RootKey()
	if g.JSON {
		return json.NewEncoder(g.out).Encode(map[string]any{
			"endpoint": s.Endpoint(), "account": c.Account, "data": c.Data,
			"access_key_id": key, "secret_access_key": secret, "started_in_seconds": took.Seconds(),
		})
	}
	_, err := fmt.Fprintf(g.out, `Musher listens at %s (account %s, state in %s).

  AWS_ENDPOINT_URL=%s
  AWS_ACCESS_KEY_ID=%s
  AWS_SECRET_ACCESS_KEY=%s

In another terminal:  eval "$(musher env%s)"
Stop with Ctrl-C.
`, s.Endpoint(), c.Account, c.Data, s.Endpoint(), key, secret, dataFlag(c.Data))
	return err
}

// dataFlag is what another command needs to find the same server.
func dataFlag(data string) string {
	if data == defaultData() {
		return ""
	}
	return " --data " + quote(data)
}
