//go:build !race

package e2e

// The server is built with the race detector where the tests are.
const race = false
