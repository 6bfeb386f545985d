// Package etcd keeps the cluster's records in etcd: [Dial] answers a
// cluster.Store that talks to one that runs, [Embed] runs a member of one in this
// process.
//
// # Calls
//
// No call takes longer than Config.Limit, whatever its context says. A call goes
// to one endpoint, the same for all as long as it answers. When it is gone or
// silent, reads, renewals and the like are tried at the next one within the same
// limit. A Commit is sent once: where no answer comes, it may have happened.
//
// # Watches
//
// A Watch is told without changes five times a second, but only if a majority of
// etcd was asked for its revision meanwhile and the watch has reached it. So a
// member of etcd that is cut off from the others does not look like a store
// that is there. After Config.Limit without such a sign the watch ends.
//
// # Safety
//
// The embedded member speaks plain HTTP/2 without authentication, to clients and to
// its peers. Whoever reaches its ports may take every room. On any host but
// the loopback they belong in a network that only the cluster's members reach.
package etcd
