// What the interoperability tests run in a page besides harness.js: it tells what
// the page has sent and received since it joined (account in interop_test.go).
Object.assign(globalThis.e2e, {
  /** When the last picture was shown, and the longest time without one, in milliseconds. */
  shown: { last: performance.now(), pause: 0 },

  /** Sees each picture when it is shown. */
  watch() {
    this.video.requestVideoFrameCallback((now) => {
      this.shown.pause = Math.max(this.shown.pause, now - this.shown.last);
      this.shown.last = now;
      this.watch();
    });
  },

  /** The longest time without a picture since it was last asked for. */
  pause() {
    const pause = Math.max(this.shown.pause, performance.now() - this.shown.last);
    this.shown.pause = 0;
    return pause;
  },

  async account() {
    const of = {};
    for (const s of (await this.room.peer.getStats()).values()) of[s.type + (s.kind ? ` ${s.kind}` : '')] = s;
    const [audio, video] = [of['inbound-rtp audio'] ?? {}, of['inbound-rtp video'] ?? {}];
    const [spoken, drawn] = [of['outbound-rtp audio'] ?? {}, of['outbound-rtp video'] ?? {}];
    return {
      state: this.room.peer.connectionState,
      srtp: of.transport?.srtpCipher,
      sound: { packets: audio.packetsReceived, lost: audio.packetsLost },
      picture: {
        packets: video.packetsReceived, lost: video.packetsLost, frames: video.framesDecoded,
        width: this.video.videoWidth, height: this.video.videoHeight,
        nacks: video.nackCount, plis: video.pliCount, repaired: video.retransmittedPacketsReceived, pause_ms: this.pause(),
      },
      sent: {
        sound: spoken.packetsSent, picture: drawn.packetsSent, frames: drawn.framesEncoded,
        nacks: drawn.nackCount, plis: drawn.pliCount, repairs: drawn.retransmittedPacketsSent,
      },
    };
  },

  /** All statistics, for whoever looks for more. */
  async statistics() {
    return [...(await this.room.peer.getStats()).values()];
  },
});
