// The second implementation of key, hash and order: node vectors.mjs > vectors.txt
//
// vectors.txt has a line "version 1", a line "digest H" and 200 lines
//   tenant room hash order
// where tenant - is none, hash is 16 hexadecimal digits and order the numbers of
// the ten nodes node-0 to node-9, of weight 1, 1.5, 2, 1, 1.5, ... H is the hash of the
// text of all 10,000 lines, each ended by a newline, of which one of each fifty is given.
const mask = (1n << 64n) - 1n;
const [p1, p2, p3, p4, p5] = [
  11400714785074694791n, 14029467366897019727n, 1609587929392839161n, 9650029242287828579n, 2870177450012600261n,
];
const rotate = (x, n) => ((x << n) | (x >> (64n - n))) & mask;
const round = (acc, lane) => (rotate((acc + lane * p2) & mask, 31n) * p1) & mask;

// xxHash64, seed 0, as doc/xxhash_spec.md of the xxHash project describes it.
function xxh64(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let h = p5;
  if (bytes.length >= 32) {
    const acc = [(p1 + p2) & mask, p2, 0n, (mask + 1n - p1) & mask];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let i = 0; i < 4; i++) acc[i] = round(acc[i], view.getBigUint64(at + 8 * i, true));
    }
    h = (rotate(acc[0], 1n) + rotate(acc[1], 7n) + rotate(acc[2], 12n) + rotate(acc[3], 18n)) & mask;
    for (const a of acc) h = ((h ^ round(0n, a)) * p1 + p4) & mask;
  }
  h = (h + BigInt(bytes.length)) & mask;
  for (; at + 8 <= bytes.length; at += 8) h = (rotate(h ^ round(0n, view.getBigUint64(at, true)), 27n) * p1 + p4) & mask;
  if (at + 4 <= bytes.length) {
    h = (rotate(h ^ ((BigInt(view.getUint32(at, true)) * p1) & mask), 23n) * p2 + p3) & mask;
    at += 4;
  }
  for (; at < bytes.length; at++) h = (rotate(h ^ ((BigInt(bytes[at]) * p5) & mask), 11n) * p1) & mask;
  h = ((h ^ (h >> 33n)) * p2) & mask;
  h = ((h ^ (h >> 29n)) * p3) & mask;
  return h ^ (h >> 32n);
}

// The finalizer of MurmurHash3.
function mix(x) {
  x = ((x ^ (x >> 33n)) * 0xff51afd7ed558ccdn) & mask;
  x = ((x ^ (x >> 33n)) * 0xc4ceb9fe1a85ec53n) & mask;
  return x ^ (x >> 33n);
}

const bytes = (text) => new TextEncoder().encode(text);
const version = "\x01";
const nodes = Array.from({ length: 10 }, (_, i) => ({ i, weight: 1 + (i % 3) / 2, hash: xxh64(bytes(version + "node-" + i)) }));

function order(key) {
  const score = (n) => -n.weight / Math.log((Number(mix(key ^ n.hash) >> 11n) + 0.5) / 2 ** 53);
  return nodes.map((n) => [score(n), n.i]).sort((a, b) => b[0] - a[0]).map((s) => s[1]).join(",");
}

let all = "";
const given = [];
for (let i = 0; i < 10000; i++) {
  const tenant = i % 7 === 0 ? "" : "tenant-" + (i % 13);
  const room = i % 2 === 0 ? "room-" + i : "A_".repeat(i % 29) + i;
  const key = xxh64(bytes(version + tenant + "\0" + room));
  const line = [tenant || "-", room, key.toString(16).padStart(16, "0"), order(key)].join(" ");
  all += line + "\n";
  if (i % 50 === Math.floor(i / 50) % 50) given.push(line);
}
console.log(["version 1", "digest " + xxh64(bytes(all)).toString(16).padStart(16, "0"), ...given].join("\n"));
