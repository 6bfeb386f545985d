//go:build race

package sound

// racing is set where the race detector slows all down: then less is heard.
const racing = true
