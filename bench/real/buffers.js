// Buffers, compression, JSON and maps: the part of a small web service that allocates.
'use strict';

const crypto = require('node:crypto');
const zlib = require('node:zlib');

let seed = 1;
function pseudoRandom(bound) {
  seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
  return (seed >>> 8) % bound;
}

const hash = crypto.createHash('sha256');
const sessions = new Map();
for (let request = 0; request < 6000; ++request) {
  const key = `session-${pseudoRandom(800)}`;
  const body = Buffer.allocUnsafeSlow(64 + pseudoRandom(16384)).fill(request & 255);
  const session = sessions.get(key) ?? { key, bodies: [], bytes: 0 };
  session.bodies.push(body);
  session.bytes += body.length;
  if (session.bodies.length > 4) session.bytes -= session.bodies.shift().length;
  sessions.set(key, session);
}
for (const session of [...sessions.values()].sort((a, b) => (a.key < b.key ? -1 : 1))) {
  const joined = Buffer.concat(session.bodies);
  const text = JSON.stringify({ key: session.key, bytes: session.bytes, head: joined.toString('hex', 0, 256) });
  const packed = zlib.deflateRawSync(text, { level: 1 });
  if (zlib.inflateRawSync(packed).toString() !== text) throw new Error('not the same text');
  hash.update(joined).update(text);
}
console.log(sessions.size, hash.digest('hex'));
