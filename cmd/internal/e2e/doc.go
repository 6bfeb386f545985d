// Package e2e holds tests alone: the program itself, as a process of its own,
// with real browsers, real sockets and real files.
//
// The browsers are Debian's Chromium and Firefox ESR. A test is skipped where
// its browser is missing, but fails where CI=true. Screenshots of the page are
// left in the folder that E2E_KEEP names.
package e2e
