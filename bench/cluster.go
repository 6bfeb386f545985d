package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tutti/bench/load"
)

// clusterOptions say what a cluster under measurement consists of.
type clusterOptions struct {
	nodes []string // names
	rules string   // of the router, YAML; none for the built-in one
	// apart puts the store into a process of its own, so that it can be stopped and
	// the router goes on; three of them where it is 3.
	apart int
	// set are further keys of the routers' configuration.
	set []string
}

// cluster is a router and nodes under measurement, all on loopback.
type cluster struct {
	o       options
	dir     string
	url     string // of the router
	router  *process
	stores  []*process
	storeAt []string // URLs for clients
	initial string   // of several stores: who they are
	peers   []string
	nodes   map[string]*clusterNode
	crowd   *load.Load // who visits it
}

// clusterNode is a node of it.
type clusterNode struct {
	*process
	name, url string
	args      []string
}

// startCluster starts a cluster and waits until all of it is ready.
func startCluster(ctx context.Context, o options, want clusterOptions) (*cluster, error) {
	dir, err := os.MkdirTemp("", "tutti-bench-")
	if err != nil {
		return nil, err
	}
	c := &cluster{o: o, dir: dir, nodes: map[string]*clusterNode{}}
	if c.crowd, err = newCrowd(); err == nil {
		err = c.start(ctx, want)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, want clusterOptions) error {
	at, err := freeAddress()
	if err != nil {
		return err
	}
	c.url = "http://" + at
	args := []string{"router", "--dev", "--http", at, "--set", "node=router"}
	for _, s := range want.set {
		args = append(args, "--set", s)
	}
	if want.rules != "" {
		file := filepath.Join(c.dir, "rules.yaml")
		if err := os.WriteFile(file, []byte(want.rules), 0o644); err != nil {
			return err
		}
		args = append(args, "--rules", file)
	}
	if want.apart > 0 {
		if err := c.startStores(ctx, want.apart); err != nil {
			return err
		}
		args = append(args, "--cluster", strings.Join(c.storeAt, ","))
	} else {
		client, peer, err := storeAddresses()
		if err != nil {
			return err
		}
		c.storeAt = []string{client}
		args = append(args, "--store-data", filepath.Join(c.dir, "store"), "--set", "store.client="+client, "--set", "store.peer="+peer)
	}
	if c.router, err = startProcess(ctx, c.o, args...); err != nil {
		return err
	}
	for _, name := range want.nodes {
		if err := c.startNode(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// startStores starts routers that nobody asks but for their stores.
func (c *cluster) startStores(ctx context.Context, n int) error {
	for i := range n {
		client, peer, err := storeAddresses()
		if err != nil {
			return err
		}
		c.storeAt, c.peers = append(c.storeAt, client), append(c.peers, peer)
		if i > 0 {
			c.initial += ","
		}
		c.initial += fmt.Sprintf("store-%d=%s", i, peer)
	}
	c.stores = make([]*process, n)
	started := make(chan error, n)
	for i := range n { // together, as none is ready before more than half are there
		go func() { started <- c.startStore(ctx, i) }()
	}
	var err error
	for range n {
		err = errors.Join(err, <-started)
	}
	return err
}

// startStore starts one of them, also again.
func (c *cluster) startStore(ctx context.Context, i int) error {
	at, err := freeAddress()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("store-%d", i)
	args := []string{
		"router", "--dev", "--http", at, "--store-data", filepath.Join(c.dir, name), "--set", "node=" + name,
		"--set", "store.name=" + name, "--set", "store.client=" + c.storeAt[i], "--set", "store.peer=" + c.peers[i],
	}
	if len(c.peers) > 1 {
		args = append(args, "--set", "store.initial="+c.initial)
	}
	c.stores[i], err = startProcess(ctx, c.o, args...)
	return err
}

func storeAddresses() (client, peer string, err error) {
	a, err := freeAddress()
	if err != nil {
		return "", "", err
	}
	b, err := freeAddress()
	return "http://" + a, "http://" + b, err
}

// prepareNode chooses the addresses of a node with a label host=name.
func (c *cluster) prepareNode(name string) error {
	at, err := freeAddress()
	if err != nil {
		return err
	}
	media, err := lastingAddress()
	if err != nil {
		return err
	}
	c.nodes[name] = &clusterNode{name: name, url: "http://" + at, args: []string{
		"node", "--dev", "--cluster", strings.Join(c.storeAt, ","), "--http", at, "--udp", media, "--data", filepath.Join(c.dir, name),
		"--set", "node=" + name, "--set", "cluster.labels=host=" + name,
	}}
	return nil
}

// lastingAddress answers a loopback address whose UDP port is below those that
// the kernel gives to clients, so that it is still free when its node has died.
func lastingAddress() (string, error) {
	for range 100 {
		at := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.ListenPacket("udp", at); err == nil {
			return at, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// startNode starts a node, also again after it has ended.
func (c *cluster) startNode(ctx context.Context, name string) error {
	if c.nodes[name] == nil {
		if err := c.prepareNode(name); err != nil {
			return err
		}
	}
	var err error
	c.nodes[name].process, err = startProcess(ctx, c.o, c.nodes[name].args...)
	return err
}

// visit sends n visitors into a room through the router.
func (c *cluster) visit(ctx context.Context, room string, n int) ([]*visitor, error) {
	return visitRoom(ctx, c.crowd, c.url, room, n)
}

// put creates a room through the router.
func (c *cluster) put(ctx context.Context, room string, settings any) error {
	return (&server{url: c.url}).put(ctx, room, settings)
}

// processes answers all that run or ran.
func (c *cluster) processes() []*process {
	var list []*process
	for _, n := range c.nodes {
		list = append(list, n.process)
	}
	return slices.DeleteFunc(append(append(list, c.router), c.stores...), func(p *process) bool { return p == nil })
}

// stop ends everything at once: what is measured is over.
func (c *cluster) stop() {
	if c.crowd != nil {
		_ = c.crowd.Close()
	}
	for _, p := range c.processes() {
		p.kill()
	}
	_ = os.RemoveAll(c.dir)
}
