// Package mixertest plays rooms without network and without codecs: tones and
// test cards go in, ears and eyes look at what comes out, and scenarios are
// text files. In a testing/synctest bubble an hour of a room takes seconds.
package mixertest
