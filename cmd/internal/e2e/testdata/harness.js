// What the tests run in a page: joins a room by tutti.js with a colour and a
// tone of the page's own, looks at the one picture and listens to the one sound
// that come back.
globalThis.e2e = {
  /** How many tracks were received. */
  tracks: { audio: 0, video: 0 },
  failures: [],

  /** A flat picture with something small that moves, in [r, g, b], so many times a second. */
  picture([r, g, b], fps) {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [320, 180];
    document.body.append(canvas);
    const draw = canvas.getContext('2d', { alpha: false });
    let at = 0;
    setInterval(() => {
      draw.fillStyle = `rgb(${r} ${g} ${b})`;
      draw.fillRect(0, 0, canvas.width, canvas.height);
      draw.fillStyle = `rgb(${r / 2} ${g / 2} ${b / 2})`;
      draw.fillRect(at = (at + 4) % 300, 4, 12, 12);
    }, 1000 / fps);
    return canvas.captureStream().getVideoTracks()[0];
  },

  /** A sine of so many Hz. */
  tone(hz) {
    const oscillator = new OscillatorNode(this.audio, { frequency: hz });
    const gain = new GainNode(this.audio, { gain: 0.1 });
    const out = new MediaStreamAudioDestinationNode(this.audio);
    oscillator.connect(gain).connect(out);
    oscillator.start();
    return out.stream.getAudioTracks()[0];
  },

  /**
   * Joins. Where a browser without a sound card runs no AudioContext, the tone
   * is that of its fake microphone.
   */
  async join({ room, name, token, colour, tone, fake, fps = 15 }) {
    const { Room } = await import('/tutti.js');
    let voice;
    if (fake) {
      const constraints = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
      voice = stream.getAudioTracks()[0];
    } else {
      this.audio = new AudioContext({ sampleRate: 48000 });
      await this.audio.resume();
      voice = this.tone(tone);
    }
    this.room = new Room({ room, name, token });
    this.room.addEventListener('error', ({ detail }) => this.failures.push(String(detail.error)));
    this.room.addEventListener('media', ({ detail }) => this.receive(detail.stream));
    await this.room.join({ stream: new MediaStream([this.picture(colour, fps), voice]) });
    return this.room.participant;
  },

  /** Shows the picture and listens to the sound. */
  receive(stream) {
    this.stream = stream;
    for (const track of stream.getTracks()) this.tracks[track.kind] += 1;
    this.room.peer.addEventListener('track', ({ track }) => { this.tracks[track.kind] += 1; });
    this.video = document.createElement('video');
    Object.assign(this.video, { muted: true, autoplay: true, playsInline: true, srcObject: stream });
    document.body.prepend(this.video);
    if (!this.audio) return;
    this.ear = new AnalyserNode(this.audio, { fftSize: 16384, smoothingTimeConstant: 0 });
    this.audio.createMediaStreamSource(stream).connect(this.ear);
  },

  /** How many tracks and streams of RTP came, of each kind. */
  async received() {
    const streams = { audio: 0, video: 0 };
    for (const s of (await this.room.peer.getStats()).values()) {
      if (s.type === 'inbound-rtp' && s.packetsReceived > 0) streams[s.kind] += 1;
    }
    return { tracks: this.tracks, streams, width: this.video.videoWidth, height: this.video.videoHeight };
  },

  /** The levels of frequencies in the last third of a second, in dBFS. */
  levels(frequencies) {
    return this.audio ? this.analysed(frequencies) : this.recorded(frequencies);
  },

  analysed(frequencies) {
    const bins = new Float32Array(this.ear.frequencyBinCount);
    this.ear.getFloatFrequencyData(bins);
    const width = this.audio.sampleRate / this.ear.fftSize;
    return frequencies.map((hz) => {
      const near = bins.slice(Math.floor(hz / width) - 1, Math.ceil(hz / width) + 2);
      return Math.max(-200, ...near);
    });
  },

  async recorded(frequencies) {
    const recorder = new MediaRecorder(new MediaStream(this.stream.getAudioTracks()), { audioBitsPerSecond: 128000 });
    const chunks = [];
    recorder.ondataavailable = ({ data }) => chunks.push(data);
    recorder.start();
    await new Promise((wake) => { setTimeout(wake, 800); });
    await new Promise((wake) => { recorder.onstop = wake; recorder.stop(); });
    const context = new OfflineAudioContext(1, 48000, 48000);
    const buffer = await context.decodeAudioData(await new Blob(chunks).arrayBuffer());
    const sound = buffer.getChannelData(0).slice(-16384);
    return frequencies.map((hz) => {
      let [re, im] = [0, 0];
      sound.forEach((x, i) => { // with Hann's window
        const v = x * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / sound.length));
        const phase = (2 * Math.PI * hz * i) / 48000;
        re += v * Math.cos(phase);
        im += v * Math.sin(phase);
      });
      return Math.max(-200, 20 * Math.log10((4 * Math.hypot(re, im)) / sound.length));
    });
  },

  /** The mean colour around points, given in fractions of the picture. */
  colours(points) {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width) return points.map(() => [0, 0, 0]);
    this.canvas ??= new OffscreenCanvas(width, height);
    [this.canvas.width, this.canvas.height] = [width, height];
    const draw = this.canvas.getContext('2d', { willReadFrequently: true });
    draw.drawImage(this.video, 0, 0);
    return points.map(([x, y]) => {
      const { data } = draw.getImageData(Math.round(x * width) - 4, Math.round(y * height) - 4, 8, 8);
      const sum = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4) for (const c of [0, 1, 2]) sum[c] += data[i + c] / 64;
      return sum.map(Math.round);
    });
  },
};
