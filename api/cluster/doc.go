// Package cluster says which node a room lives on, and sees to it that no room
// lives on two.
//
// # The store
//
// All that nodes and routers must agree on lies in a small, strictly
// serialisable [Store]: who is a member, who is alive (under a lease), and the
// directory of rooms. A room's entry names its owner, (node, incarnation), and an
// epoch that rises with each change of owner and is never used twice: the revision
// of the commit that made it owner. Ownership is proven by a successful compare-and-set alone, which the owner makes itself.
//
// # Who may send
//
// A node sends for as long as its tenure lasts: until a margin before the end
// of the lease that it renewed last, by a clock that pauses do not stop. Where
// the store is out of reach it asks the other members. While half of all
// members, itself included, do not see the store either, it goes on (the store
// is away, so nobody takes its rooms over). Else it stops all media by itself.
//
// A room is taken from a node that is away only after the death of that
// incarnation was certified in the store: on the word of the operator, on proof
// (its port refuses, so the process is gone), or by the grants of more than half
// of the members. Who grants against an incarnation has not confirmed to it, for
// as long as such a confirmation counts, that the store is away, and never will.
// As any half and any majority share a member, no node that goes on without the
// store is certified dead. Only a member that was registered in this run of its
// process confirms, and a grant counts only while its giver's live entry is the one
// it named: so that no promise is forgotten in a restart.
//
// What a member knows of its own tenure is a [Tenure], what it has promised others a
// [Grantor]: cores without a clock. An [Agent] is the shell around both. It is tested in
// a simulation, in which networks, stores, clocks and processes fail by a seed.
package cluster
