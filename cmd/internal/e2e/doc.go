// Package e2e holds tests alone: the program itself, as a process of its own,
// with real browsers, real sockets and real files; and clusters of it, also behind
// NGINX and HAProxy.
//
// The browsers are Debian's Chromium and Firefox ESR. The interoperability tests
// talk besides to libwebrtc from npm's @roamhq/wrtc, to GStreamer's webrtcbin, and
// over links that lose packets, for which they need root (see bench/link). A test
// is skipped where what it needs is missing, but where CI=true fails for want of a
// program. Screenshots of the page are left in the folder that E2E_KEEP names.
package e2e
