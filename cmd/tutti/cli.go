package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"time"

	"tutti/api/auth"
	"tutti/cmd/internal/demo"
	"tutti/codec/opus"
	"tutti/codec/vpx"
	"tutti/codec/yuv"
)

const description = `A media mixing server: one sound and one picture from everybody to everybody.

Every option is a key of the configuration file too, and an environment variable TUTTI_..., such as
TUTTI_ROOMS_MAX for rooms.max. Flags win over the environment, which wins over the file.`

// cli is the command line.
type cli struct {
	globals
	Serve   serveCommand   `cmd:"" help:"Run the server: API, web page, mixer and media in one process."`
	Node    nodeCommand    `cmd:"" help:"Run a server as one node of a cluster."`
	Router  routerCommand  `cmd:"" help:"Run a router in front of the nodes of a cluster, with the store they share unless it is elsewhere."`
	Demo    demoCommand    `cmd:"" help:"Send synthetic people with speech and pictures into a room until stopped."`
	Token   tokenCommand   `cmd:"" help:"Print a bearer token signed with the configured key."`
	Version versionCommand `cmd:"" help:"Print the version, the commit and the C libraries linked."`
}

// globals are the flags of all commands.
type globals struct {
	Config string            `placeholder:"FILE" help:"YAML file of the configuration; tutti.sample.yaml tells all keys (TUTTI_CONFIG)."`
	Set    map[string]string `placeholder:"KEY=VALUE" mapsep:"none" help:"Set any key of the configuration, such as rooms.max=10; may be repeated."`
}

// load answers the configuration with the flags of a command on top, by key;
// flags that were not given are nil.
func (g *globals) load(flags map[string]any) (Config, error) {
	all := map[string]any{}
	for key, value := range g.Set {
		all[key] = value
	}
	maps.DeleteFunc(flags, func(_ string, v any) bool { return v == nil })
	maps.Copy(all, flags)
	return load(g.Config, os.Environ(), all)
}

// given answers a flag's value, or nil where it was not given.
func given[T any](flag *T) any {
	if flag == nil {
		return nil
	}
	return *flag
}

// newLogger answers the program's log, on standard error.
func newLogger(c LogConfig) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		panic(err) // validate has let it through
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// serverFlags are those of whoever serves the API.
type serverFlags struct {
	Dev  bool    `help:"For development: loopback only, rooms on first join, no token."`
	HTTP *string `name:"http" placeholder:"ADDR" help:"Where the API and the web page listen (:8080)."`
}

// mediaFlags are those of whoever mixes.
type mediaFlags struct {
	UDP      *string `name:"udp" placeholder:"ADDR" help:"Where media comes and goes, UDP and TCP (:7882)."`
	PublicIP *string `name:"public-ip" placeholder:"IP" help:"The address that clients reach this machine at, if it is behind NAT."`
	Data     *string `placeholder:"DIR" help:"The folder of recordings (./data)."`
}

// memberFlags are those of the members of a cluster.
type memberFlags struct {
	Cluster *string `placeholder:"URL,..." help:"The store that the members share (etcd), such as http://192.0.2.1:2379."`
	Name    *string `aliases:"node" placeholder:"ID" help:"The member's name, of which there is one in the cluster (the host's name)."`
}

func (f *serverFlags) keys() map[string]any {
	flags := map[string]any{"http": given(f.HTTP)}
	if f.Dev {
		flags["dev"] = true
	}
	return flags
}

func (f *mediaFlags) keys() map[string]any {
	return map[string]any{"udp": given(f.UDP), "public_ip": given(f.PublicIP), "data": given(f.Data)}
}

func (f *memberFlags) keys() map[string]any {
	return map[string]any{"cluster.urls": given(f.Cluster), "node": given(f.Name)}
}

// begin answers the configuration with the flags of a command on top, and the
// log, which is everybody's from here on.
func (g *globals) begin(flags ...map[string]any) (Config, *slog.Logger, error) {
	all := map[string]any{}
	for _, f := range flags {
		maps.Copy(all, f)
	}
	c, err := g.load(all)
	if err != nil {
		return c, nil, err
	}
	log := newLogger(c.Log)
	slog.SetDefault(log)
	return c, log, nil
}

type serveCommand struct {
	serverFlags
	mediaFlags
}

func (s *serveCommand) Run(ctx context.Context, g *globals) error {
	c, log, err := g.begin(s.serverFlags.keys(), s.mediaFlags.keys())
	if err != nil {
		return err
	}
	return serve(ctx, c, false, log)
}

type nodeCommand struct {
	memberFlags
	serverFlags
	mediaFlags
}

func (n *nodeCommand) Run(ctx context.Context, g *globals) error {
	c, log, err := g.begin(n.memberFlags.keys(), n.serverFlags.keys(), n.mediaFlags.keys())
	if err != nil {
		return err
	}
	return serve(ctx, c, true, log)
}

type routerCommand struct {
	memberFlags
	serverFlags
	StoreData *string `placeholder:"DIR" help:"The folder of the store that the router brings where --cluster names none (./store)."`
	Rules     *string `placeholder:"FILE" help:"A YAML file that says which nodes take which rooms; read again when it changes."`
}

func (r *routerCommand) Run(ctx context.Context, g *globals) error {
	own := map[string]any{"store.data": given(r.StoreData), "router.rules": given(r.Rules)}
	c, log, err := g.begin(r.memberFlags.keys(), r.serverFlags.keys(), own)
	if err != nil {
		return err
	}
	return route(ctx, c, log)
}

type demoCommand struct {
	URL    *string `name:"url" placeholder:"URL" help:"The server (http://127.0.0.1:8080)."`
	Room   *string `placeholder:"ID" help:"The room (demo)."`
	People *int    `placeholder:"N" help:"How many people, 1 to 200 (4)."`
	Token  *string `placeholder:"TOKEN" help:"The bearer token to show; not needed with serve --dev."`
}

func (d *demoCommand) Run(ctx context.Context, g *globals) error {
	c, err := g.load(map[string]any{
		"demo.url": given(d.URL), "demo.room": given(d.Room), "demo.people": given(d.People), "demo.token": given(d.Token),
	})
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Config{
		URL: c.Demo.URL, Room: c.Demo.Room, Token: c.Demo.Token, People: c.Demo.People,
		Fonts: c.Fonts, NewVideoEncoder: codecs{}.NewVideoEncoder, Log: newLogger(c.Log),
	})
}

type tokenCommand struct {
	Room   string        `required:"" placeholder:"ID" help:"The room that the token is for; * for all."`
	Role   string        `required:"" placeholder:"ROLE" help:"viewer, publisher, participant, moderator or admin."`
	Name   string        `placeholder:"NAME" help:"The name that its bearer is shown by."`
	Tenant string        `placeholder:"ID" help:"The one tenant whose rooms its bearer sees."`
	TTL    time.Duration `name:"ttl" default:"1h" help:"How long it is valid."`
}

func (t *tokenCommand) Run(g *globals) error {
	c, err := g.load(nil)
	if err != nil {
		return err
	}
	verifier, err := loadKeys(c.Auth)
	if err != nil {
		return err
	}
	if verifier == nil {
		return &KeyError{Key: "auth.key", Reason: "must be set to sign tokens, or auth.keys_file"}
	}
	key, ok := verifier.Signer()
	if !ok {
		return &KeyError{Key: "auth.key", Reason: "only checks tokens: it is no secret and no private key"}
	}
	token, err := auth.Mint(key, auth.Grant{Room: t.Room, Role: auth.Role(t.Role), Name: t.Name, Tenant: t.Tenant}, t.TTL, time.Now())
	if err != nil {
		return &KeyError{Key: "token", Reason: err.Error()}
	}
	fmt.Println(token)
	return nil
}

type versionCommand struct{}

func (versionCommand) Run() error {
	fmt.Printf("tutti %s\nopus  %s\nvpx   %s\nyuv   %s\n", version(), opus.Version(), vpx.Version(), yuv.Version())
	return nil
}
