// Package sound holds tests alone: a room heard end to end in virtual time. What
// goes in is real speech, tones and noise, where it matters as Opus over a
// virtual network that loses packets; what is judged is what a listener's decoder
// makes of the packets that leave the room: gaps, clicks, drop-outs,
// intelligibility, loudness, delay.
package sound
