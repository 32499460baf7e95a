// Work for node: objects, strings, buffers, workers; prints only what is the same each run.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');

const md5 = (data) => crypto.createHash('md5').update(data).digest('hex');

function work(seed, n) {
  const table = new Map();
  for (let i = 1; i <= n; ++i) {
    const key = 'k' + ((i * 7919 + seed) % 5003);
    table.set(key, (table.get(key) || '') + (i % 10));
  }
  const text = JSON.stringify([...table].sort());
  const buffers = [];
  for (let i = 0; i < 500; ++i) buffers.push(Buffer.alloc(i * 100, i));
  return [table.size, md5(text), zlib.deflateSync(text).length, md5(Buffer.concat(buffers))].join();
}

if (isMainThread) {
  const size = Number(process.argv[2]);
  console.log(work(0, 60000 * size));
  const answers = [];
  for (let i = 0; i < 4; ++i) {
    const worker = new Worker(__filename, { workerData: i });
    worker.on('message', (text) => {
      answers[i] = text;
      if (answers.filter(Boolean).length === 4) console.log(answers.join('\n'));
    });
  }
} else {
  parentPort.postMessage(work(workerData, 20000));
}
