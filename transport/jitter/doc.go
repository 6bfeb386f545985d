// Package jitter restores order and pace to what the network delivers: Buffer
// for sound, pulled by the room's audio loop, and Assembler for pictures.
//
// Neither reads a clock, starts a goroutine or blocks; time is an argument and
// an hour of a stream is tested in milliseconds. Neither allocates once it has
// seen as much as it will hold. Both are bounded in memory whatever arrives.
//
// Buffer delays each packet by as much as the network has lately varied and no
// more. Delay is measured against the fastest packet of the last seconds: a
// packet's wait is the time since the earliest moment at which it could have
// arrived. The target is the 97th percentile of that variation plus a small
// margin. Delay grows where a packet is late: concealment is played in its
// place and the packet after it. Beyond that the buffer only says with each
// packet what there is too much or too little (Packet.Excess), for its caller to
// stretch the sound, and by how much the sender's clock is off (Packet.DriftPPM,
// Steering), for its caller to resample it. Nothing is dropped but what exceeds
// the bound.
//
// Assembler puts frames of VP8 together, waits a bounded time for what is
// missing and, when it does not come, delivers nothing until the next key
// frame: a frame whose references are missing never reaches the decoder.
package jitter
