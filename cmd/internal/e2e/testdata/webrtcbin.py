"""A participant made of GStreamer's webrtcbin: sends a tone and a picture that
moves, and receives the mix.

    /usr/bin/python3 webrtcbin.py URL HZ R G B

URL is a room's door. For every line on standard input it writes a line of JSON
with what it has sent and received since it began (account in interop_test.go).
It leaves when standard input ends. TOKEN is its bearer token.
"""

import base64
import json
import os
import sys
import threading
import time
import urllib.parse
import urllib.request

import gi

for module in ("Gst", "GstApp", "GstSdp", "GstWebRTC"):
    gi.require_version(module, "1.0")
from gi.repository import GLib, Gst, GstApp, GstSdp, GstWebRTC  # noqa: E402, F401

RATE = 48000
SEEN = (64, 36)


class Ear:
    """The last half second of the sound, mono."""

    def __init__(self):
        self.kept = bytes(RATE)

    def on_buffer(self, data):
        self.kept = (self.kept + data)[-RATE:]


class Eye:
    """The newest picture, made small, and how many there were."""

    def __init__(self):
        self.kept = bytes(SEEN[0] * SEEN[1] * 3)
        self.frames = 0
        self.size = (0, 0)
        self.last = time.monotonic()
        self.longest = 0.0

    def on_buffer(self, data):
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        self.kept = data
        self.frames += 1

    def pause(self):
        """The longest time without a picture since it was last asked for, in seconds."""
        pause = max(self.longest, time.monotonic() - self.last)
        self.longest = 0.0
        return pause


class Client:
    """One session, from the offer to DELETE."""

    def __init__(self, url, hz, colour):
        self.url, self.session = url, None
        self.loop = GLib.MainLoop()
        self.ear, self.eye = Ear(), Eye()
        self.kinds = {}  # by SSRC
        self.pipeline = Gst.parse_launch(sources(hz, colour))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.get_by_name("rtpbin").set_property("do-lost", True)  # Opus conceals what it is told of
        self.peer.connect("on-negotiation-needed", self.on_negotiation_needed)
        self.peer.connect("notify::ice-gathering-state", self.on_gathering)
        self.peer.connect("pad-added", self.on_pad)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def run(self):
        transceiver = self.peer.emit("get-transceiver", 1)  # the picture's
        transceiver.set_property("do-nack", True)
        self.pipeline.set_state(Gst.State.PLAYING)
        threading.Thread(target=self.answer_questions, daemon=True).start()
        self.loop.run()
        if self.session:
            urllib.request.urlopen(request(self.session, "DELETE"))
        self.pipeline.set_state(Gst.State.NULL)

    def on_error(self, _, message):
        fail(message.parse_error()[0].message)

    def on_negotiation_needed(self, peer):
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer))

    def on_offer(self, promise):
        reply = promise.get_reply()  # owns the offer
        offer = reply.get_value("offer")
        self.peer.emit("set-local-description", offer, None)

    def on_gathering(self, *_):
        if self.peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def post(self):
        """Sends the offer with all candidates."""
        offer = self.peer.get_property("local-description").sdp.as_text()
        try:
            with urllib.request.urlopen(request(self.url, "POST", offer.encode())) as res:
                answer = res.read()
                self.session = urllib.parse.urljoin(self.url, res.headers["Location"])
        except urllib.error.HTTPError as err:
            fail(f"the offer is answered {err.code}: {err.read().decode()}")
        _, sdp = GstSdp.SDPMessage.new_from_text(answer.decode())
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.peer.emit("set-remote-description", description, None)

    def on_pad(self, _, pad):
        """Decodes a stream that comes."""
        if pad.direction != Gst.PadDirection.SRC:
            return
        for session in self.elements("rtpsession"):
            # Else it takes the streams for a large group, in which each may ask rarely
            # (RFC 4585, section 3.5.2): many a lost packet never.
            session.get_property("internal-session").set_property("rtcp-immediate-feedback-threshold", 100)
            session.set_property("bandwidth", 10e6)
        caps = pad.get_current_caps().get_structure(0)
        audio = caps.get_string("media") == "audio"
        self.kinds[caps.get_value("ssrc")] = "audio" if audio else "video"
        sink = self.receive(pad, SOUND_IN if audio else PICTURE_IN)
        if audio:
            sink.connect("new-sample", self.on_sample, self.ear)
            return
        sink.connect("new-sample", self.on_sample, self.eye)
        decoder = sink.get_parent().get_by_name("decoder")
        decoder.get_static_pad("src").connect("notify::caps", self.on_size)

    def receive(self, pad, description):
        chain = Gst.parse_bin_from_description(description, True)
        self.pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))
        return chain.get_by_name("sink")

    def on_size(self, pad, _):
        caps = pad.get_current_caps()
        if caps:
            s = caps.get_structure(0)
            self.eye.size = (s.get_value("width"), s.get_value("height"))

    def on_sample(self, sink, to):
        buffer = sink.emit("pull-sample").get_buffer()
        to.on_buffer(buffer.extract_dup(0, buffer.get_size()))
        return Gst.FlowReturn.OK

    def answer_questions(self):
        for _ in sys.stdin:
            print(json.dumps(self.account()), flush=True)
        self.loop.quit()

    def account(self):
        """What the client tells of itself."""
        promise = Gst.Promise.new()
        self.peer.emit("get-stats", None, promise)
        promise.wait()
        plis = asked(promise.get_reply())
        received = {self.kind_of(b): b.get_property("stats") for b in self.elements("rtpjitterbuffer")}
        return {
            "state": self.peer.get_property("connection-state").value_nick,
            "srtp": next((profile(e) for e in self.elements("dtlsdec")), ""),
            "sound": counters(received.get("audio")),
            "picture": {
                **counters(received.get("video")), "plis": plis,
                "frames": self.eye.frames, "width": self.eye.size[0], "height": self.eye.size[1],
                "repaired": total(self.elements("rtprtxreceive"), "num-rtx-assoc-packets"),
                "pause_ms": 1000 * self.eye.pause(),
            },
            "sent": {
                "sound": self.packets("sound"), "picture": self.packets("picture"),
                "nacks": total(self.elements("rtprtxsend"), "num-rtx-requests"),
                "repairs": total(self.elements("rtprtxsend"), "num-rtx-packets"),
            },
            "heard": base64.b64encode(self.ear.kept).decode(),
            "seen": base64.b64encode(self.eye.kept).decode(),
        }

    def packets(self, payloader):
        """How many packets a payloader has made."""
        stats = self.pipeline.get_by_name(payloader).get_property("stats")
        return (stats.get_value("seqnum") - stats.get_value("seqnum-offset")) % 65536

    def kind_of(self, buffer):
        caps = buffer.get_static_pad("src").get_current_caps()
        return self.kinds.get(caps.get_structure(0).get_value("ssrc")) if caps else None

    def elements(self, factory):
        """All elements of a kind within the pipeline."""
        found, iterator = [], self.pipeline.iterate_all_by_element_factory_name(factory)
        while True:
            result, element = iterator.next()
            if result == Gst.IteratorResult.OK:
                found.append(element)
            elif result == Gst.IteratorResult.RESYNC:
                iterator.resync()
                found.clear()
            else:
                return found


def total(elements, name):
    return sum(e.get_property(name) for e in elements)


def counters(stats):
    """What a jitter buffer counts."""
    if stats is None:
        return {}
    lost, pushed = stats.get_value("num-lost"), stats.get_value("num-pushed")
    return {"packets": pushed, "lost": lost, "nacks": stats.get_value("rtx-count")}


def asked(stats):
    """How often pictures were asked for anew: by FIR, as the depayloader wants it, or PLI."""
    found = 0
    for i in range(stats.n_fields()):
        one = stats.get_value(stats.nth_field_name(i))
        if one.get_name() == "inbound-rtp":
            found += one.get_value("fir-count") + one.get_value("pli-count")
    return found


def profile(dtls):
    """The name of the SRTP profile that DTLS agreed on (RFC 5764,
    section 4.1.2)."""
    cipher, auth = dtls.get_property("srtp-cipher"), dtls.get_property("srtp-auth")
    return {(1, 1): "SRTP_AES128_CM_HMAC_SHA1_32", (1, 2): "SRTP_AES128_CM_HMAC_SHA1_80"}.get((cipher, auth), f"{cipher}/{auth}")


def sources(hz, colour):
    """The pipeline that sends: a sine, and a ball before a flat background."""
    r, g, b = colour
    back = 0xFF000000 | r << 16 | g << 8 | b
    ball = 0xFF000000 | r * 3 // 4 << 16 | g * 3 // 4 << 8 | b * 3 // 4
    return f"""
        webrtcbin name=peer bundle-policy=max-bundle latency=500
        audiotestsrc is-live=true freq={hz} volume=0.1 ! audio/x-raw,rate={RATE},channels=1
            ! opusenc bitrate=64000 inband-fec=true packet-loss-percentage=10
            ! rtpopuspay name=sound pt=111 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! peer.
        videotestsrc is-live=true pattern=ball background-color={back} foreground-color={ball}
            ! video/x-raw,width=320,height=180,framerate=30/1 ! videoconvert ! queue max-size-buffers=2
            ! vp8enc deadline=1 cpu-used=8 target-bitrate=300000 keyframe-max-dist=3000
            ! rtpvp8pay name=picture pt=96 picture-id-mode=15-bit
            ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer."""


SOUND_IN = f"""
    rtpopusdepay ! opusdec plc=true use-inband-fec=true ! audioconvert ! audioresample
    ! audio/x-raw,format=S16LE,rate={RATE},channels=1 ! appsink name=sink emit-signals=true sync=false"""
PICTURE_IN = f"""
    rtpvp8depay request-keyframe=true wait-for-keyframe=true ! vp8dec name=decoder
    ! videoscale method=nearest-neighbour ! videoconvert
    ! video/x-raw,format=RGB,width={SEEN[0]},height={SEEN[1]}
    ! appsink name=sink emit-signals=true sync=false"""


def request(url, method, body=None):
    headers = {"Content-Type": "application/sdp"} if body else {}
    if os.environ.get("TOKEN"):
        headers["Authorization"] = "Bearer " + os.environ["TOKEN"]
    return urllib.request.Request(url, body, headers, method=method)


def fail(why):
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    Gst.init(None)
    Client(sys.argv[1], float(sys.argv[2]), [int(c) for c in sys.argv[3:6]]).run()
