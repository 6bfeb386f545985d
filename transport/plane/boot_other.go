//go:build !linux

package plane

import "time"

var began = time.Now()

// bootNow stands in where there is no such clock: nodes of a cluster run on
// Linux.
func bootNow() int64 { return int64(time.Since(began)) }
