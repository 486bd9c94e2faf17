// BullMQ's side of the queue measurement. Prints one JSON line a step.
import { createRequire } from "node:module";
const require = createRequire(process.env.PEER_MODULES + "/");
const { Queue, Worker } = require("bullmq");

const [step, port, ...rest] = process.argv.slice(2);
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
const now = () => performance.timeOrigin + performance.now();
const say = (value) => console.log(JSON.stringify(value));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

if (step === "work") {
  const count = Number(rest[0]);
  let first = 0, done = 0;
  const waits = [];
  const worker = new Worker("bench", async (job) => {
    const at = now();
    first ||= at;
    if (job.data.t) waits.push(at - job.data.t);
  }, { connection, concurrency: 100, autorun: false });
  worker.on("completed", async () => {
    if (++done === count) {
      say({ seconds: (now() - first) / 1000, waits });
      await worker.close();
      process.exit(0);
    }
  });
  await worker.waitUntilReady();
  say({ ready: true });
  worker.run();
} else {
  const queue = new Queue("bench", { connection });
  await queue.waitUntilReady();
  const count = Number(rest[0]);
  if (step === "fill") {
    const started = now();
    for (let first = 0; first < count; first += 1000) {
      const jobs = [];
      for (let n = first; n < Math.min(first + 1000, count); n++) jobs.push({ name: "noop", data: { n } });
      await queue.addBulk(jobs);
    }
    say({ seconds: (now() - started) / 1000 });
  } else {
    for (let n = 0; n < count; n++) {
      await queue.add("noop", { t: now() });
      await sleep(Number(rest[1]) * 1000);
    }
  }
  await queue.close();
}
