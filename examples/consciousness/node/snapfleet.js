// Snapfleet over Redis streams, with nothing but a Redis client: ask, and hear what became of it.
//
//   snapfleet:requests   we append CloudEvents that ask for something
//   snapfleet:events     we read CloudEvents that tell what happened; `causationid` is the id of our request

import { randomUUID } from "node:crypto";
import { createClient } from "redis";

const REQUESTS = "snapfleet:requests";
const EVENTS = "snapfleet:events";
const SEND_AGAIN_AFTER_MS = 10_000;
const WAIT_MS = 1_000;
const FAILED = /^io\.snapfleet\.(request\.rejected|.*\.(failed|cancelled|rolled_back))\.v1$/;

/** Why what was asked for did not come about; `code` is stable. */
export class NotGranted extends Error {
  constructor(event) {
    const { code, message, hint } = event.data.error ?? {};
    super(hint ? `${message} (${hint})` : (message ?? event.type));
    this.code = code ?? event.type;
  }
}

export class Snapfleet {
  /** `source` is who asks: of all requests with it no two may have one id. */
  constructor({ url, source, database }) {
    this.source = source;
    this.database = database;
    this.redis = createClient({ url });
    // Reconnecting is the client's own business; without a listener an error would end the process.
    this.redis.on("error", (error) => console.error(`redis: ${error.message}`));
  }

  async connect() {
    await this.redis.connect();
    return this;
  }

  close() {
    this.redis.destroy();
  }

  /** Ask for a snapshot; answers once a real restore has proven it. */
  async snapshot({ labels = {}, ...options } = {}) {
    const data = { labels, verify: "always" };
    return this.ask("snapshot", data, "io.snapfleet.snapshot.verified.v1", options);
  }

  /** Ask for a snapshot to be brought back; answers once it is live. Every connection is cut at the end. */
  async restore(snapshotId, options = {}) {
    const data = { snapshot_id: snapshotId };
    return this.ask("restore", data, "io.snapfleet.restore.succeeded.v1", options);
  }

  /** Send a request until it is heard of, and wait for the event of this type. The same id makes one job. */
  async ask(what, data, wanted, { id = randomUUID(), deadlineMs = 120_000 } = {}) {
    const request = {
      specversion: "1.0",
      id,
      source: this.source,
      type: `consciousness.${what}.requested.v1`,
      subject: this.database,
      time: new Date().toISOString(),
      datacontenttype: "application/json",
      data,
    };
    const until = Date.now() + deadlineMs;
    let position = await this.newest();
    let sendAt = 0;
    let heard = false;
    while (Date.now() < until) {
      if (!heard && Date.now() >= sendAt) {
        await this.redis.xAdd(REQUESTS, "*", { event: JSON.stringify(request) });
        sendAt = Date.now() + SEND_AGAIN_AFTER_MS;
      }
      for (const { id: entry, message } of await this.after(position)) {
        position = entry;
        const event = JSON.parse(message.event);
        if (event.causationid !== id || event.causationsource !== this.source) continue;
        heard = true;
        if (event.type === wanted) return event;
        if (FAILED.test(event.type)) throw new NotGranted(event);
      }
    }
    throw new Error(`no answer to request ${id} in time; asking again under the same id goes on waiting`);
  }

  /** Where the events end now. */
  async newest() {
    const [last] = await this.redis.xRevRange(EVENTS, "+", "-", { COUNT: 1 });
    return last?.id ?? "0-0";
  }

  /** The events behind that, waiting a moment for the first. */
  async after(position) {
    const answer = await this.redis.xRead({ key: EVENTS, id: position }, { COUNT: 100, BLOCK: WAIT_MS });
    return answer?.[0]?.messages ?? [];
  }
}
