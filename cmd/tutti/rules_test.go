package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"tutti/api/cluster"
	"tutti/api/router/rules"
)

func TestLabelsThatNobodyHas(t *testing.T) {
	list, err := rules.Parse([]byte("rules:\n  - name: eu\n    pool: {require: {region: eu}, prefer: {zone: b}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	here := &cluster.Node{Live: &cluster.Live{Labels: map[string]string{"region": "eu"}}}
	away := &cluster.Node{} // its labels are not known
	var log bytes.Buffer
	doubt(list, []*cluster.Node{away, here}, slog.New(slog.NewTextHandler(&log, nil)))
	if text := log.String(); !strings.Contains(text, "eu: prefer: zone=b") || strings.Contains(text, "region") {
		t.Errorf("said %q", text)
	}
	log.Reset()
	here.Live.Labels["zone"] = "b"
	if doubt(list, []*cluster.Node{here}, slog.New(slog.NewTextHandler(&log, nil))); log.Len() > 0 {
		t.Errorf("said %q", log.String())
	}
}
