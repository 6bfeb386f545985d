/**
 * The little of SDP that the client has to touch.
 * @module
 */

/**
 * @typedef {object} Section
 * @property {string} mline the m= line
 * @property {string} mid
 */

/**
 * The values of all lines that begin so, in order.
 * @param {string} sdp
 * @param {string} prefix such as "a=mid:"
 * @returns {string[]}
 */
export function values(sdp, prefix) {
  return sdp.split(/\r?\n/).filter((l) => l.startsWith(prefix)).map((l) => l.slice(prefix.length).trim());
}

/**
 * Builds the application/trickle-ice-sdpfrag (RFC 8840, RFC 9725 section 4.3.2)
 * that tells candidates to the server.
 * @param {string} offer the offer that they belong to
 * @param {{candidate: string, sdpMid?: string | null}[]} candidates
 * @param {boolean} complete no more will come
 * @returns {string}
 */
export function trickleFragment(offer, candidates, complete) {
  const sections = offer.split(/\r?\n(?=m=)/).slice(1);
  const bundle = values(offer, 'a=group:BUNDLE ')[0];
  const lines = bundle ? [`a=group:BUNDLE ${bundle}`] : [];
  const first = values(sections[0] ?? '', 'a=mid:')[0] ?? '0';
  for (const section of sections) {
    const mid = values(section, 'a=mid:')[0] ?? '';
    const mine = candidates.filter((c) => c.candidate !== '' && (c.sdpMid ?? first) === mid);
    const isFirst = mid === first;
    if (mine.length === 0 && !isFirst) continue;
    lines.push(section.split(/\r?\n/)[0], `a=mid:${mid}`);
    lines.push(`a=ice-ufrag:${values(section, 'a=ice-ufrag:')[0] ?? ''}`);
    lines.push(`a=ice-pwd:${values(section, 'a=ice-pwd:')[0] ?? ''}`);
    lines.push(...mine.map((c) => `a=${c.candidate.replace(/^a=/, '')}`));
    if (complete) lines.push('a=end-of-candidates');
  }
  return lines.map((line) => `${line}\r\n`).join('');
}

/**
 * An offer that asks for both channels of a room's sound (RFC 7587, section 6.1):
 * a browser that does not ask by itself mixes them down to one.
 * @param {string} sdp
 * @returns {string}
 */
export function hearStereo(sdp) {
  const types = values(sdp, 'a=rtpmap:').filter((v) => / opus\/48000\/2$/i.test(v)).map((v) => v.split(' ')[0]);
  return sdp.replace(/^a=fmtp:(\d+) (.*?)(?=\r?$)/gm, (line, type, parameters) => (
    types.includes(type) && !/(^|;)\s*stereo=/.test(parameters) ? `a=fmtp:${type} ${parameters};stereo=1` : line
  ));
}

/**
 * The codecs in order of preference: the wanted one first, the others as they
 * were (RTX and FEC keep their places behind it).
 * @template {{mimeType: string}} C
 * @param {C[]} codecs
 * @param {string} mimeType such as "video/VP8"
 * @returns {C[]}
 */
export function preferCodec(codecs, mimeType) {
  const wanted = (/** @type {C} */ c) => c.mimeType.toLowerCase() === mimeType.toLowerCase();
  return [...codecs.filter(wanted), ...codecs.filter((c) => !wanted(c))];
}
