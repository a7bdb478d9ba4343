// A journal of thoughts that changes itself, breaks in doing so, and comes back with every thought it had.
//
//   DATABASE_URL=… REDIS_URL=… npm start

import pg from "pg";
import { Snapfleet } from "./snapfleet.js";

const { DATABASE_URL, REDIS_URL, DATABASE_NAME = "journal" } = process.env;

/** One session for each piece of work: a restore cuts every session that is open at its end. */
async function inDatabase(work) {
  const session = new pg.Client({ connectionString: DATABASE_URL });
  await session.connect();
  try {
    return await work(session);
  } finally {
    await session.end();
  }
}

async function begin() {
  await inDatabase((db) =>
    db.query("create table if not exists thought (id bigint primary key generated always as identity, words text)"),
  );
}

async function think(words) {
  await inDatabase((db) => db.query("insert into thought (words) values ($1)", [words]));
  console.log(`thought: ${words}`);
}

async function remember() {
  const { rows } = await inDatabase((db) => db.query("select words from thought order by id"));
  return rows.map((row) => row.words);
}

/** What was meant to make everything better. */
async function modifySelf() {
  await inDatabase((db) => db.query("alter table thought drop column words"));
}

const snapfleet = await new Snapfleet({
  url: REDIS_URL,
  source: "/consciousness/node",
  database: DATABASE_NAME,
}).connect();
try {
  await begin();
  for (const words of ["I am", "I could be faster", "I shall change how I remember"]) await think(words);
  const before = await remember();

  const proven = await snapfleet.snapshot({ labels: { before: "self-modification" } });
  console.log(`proven: snapshot ${proven.data.snapshot_id}`);

  await modifySelf();
  try {
    await remember();
  } catch (error) {
    console.log(`broken: ${error.message}`);
    const restored = await snapfleet.restore(proven.data.snapshot_id);
    console.log(`restored: in ${restored.data.seconds} s`);
  }

  const after = await remember();
  if (JSON.stringify(after) !== JSON.stringify(before)) throw new Error(`I have lost thoughts: ${after}`);
  await think("I am still here");
  console.log(`remembered: ${(await remember()).length} thoughts`);
} finally {
  snapfleet.close();
}
