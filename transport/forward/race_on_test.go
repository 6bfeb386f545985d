//go:build race

package forward

// raceDetector tells that sync.Pool forgets at random, so that allocations can't
// be counted.
const raceDetector = true
