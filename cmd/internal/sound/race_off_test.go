//go:build !race

package sound

const racing = false
