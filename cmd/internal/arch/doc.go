// Package arch holds tests alone: the rules of the house that a compiler does
// not know. Who may import whom, no clock in the cores, no file or function
// that nobody can read at once, every exported name documented, every package
// named in ARCHITECTURE.md, and no path of somebody's machine in any file.
package arch
