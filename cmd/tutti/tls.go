package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"

	"golang.org/x/crypto/acme/autocert"
)

// encryption answers how HTTP is encrypted, or nil where it is not. Certificates
// are read again when their files change, until ctx ends.
func encryption(ctx context.Context, c TLSConfig, log *slog.Logger) (*tls.Config, error) {
	if len(c.AutocertHosts) > 0 {
		m := &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(c.AutocertDir), HostPolicy: autocert.HostWhitelist(c.AutocertHosts...),
		}
		return m.TLSConfig(), nil
	}
	if c.Cert == "" {
		return nil, nil
	}
	var pair atomic.Pointer[tls.Certificate]
	read := func() error {
		p, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err == nil {
			pair.Store(&p)
		}
		return err
	}
	files := []string{c.Cert, c.Key}
	seen := look(files)
	if err := read(); err != nil {
		return nil, &KeyError{Key: "tls.cert", Reason: "cannot be used: " + oneLine(err)}
	}
	go follow(ctx, files, seen, nil, read, log)
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Load(), nil },
	}, nil
}
