// The fleet under PM2, for hosts without systemd or Docker.
//
//     npm ci --ignore-scripts && npm start          from this folder, with the fleet's environment set
//     npm stop
//
// `npm start` has PM2 send SIGTERM, not the SIGINT that it would: at SIGTERM a worker lets what it does go on for ten
// seconds at most, gives back what it holds, and ends. PM2 reads that when its daemon starts, and from nowhere else.
//
// Settings are those of docs/configuration.md, taken from the environment that `npm start` is called in; secrets
// best as files: CATALOG_URL_FILE, DATABASE_URL_FILE, REDIS_URL_FILE, AWS_SHARED_CREDENTIALS_FILE.
const python = process.env.SNAPFLEET_PYTHON || "/opt/snapfleet/bin/python";
const logs = process.env.SNAPFLEET_LOGS || "/var/log/snapfleet";
const workers = Number(process.env.SNAPFLEET_WORKERS || 1);
const queues = "jobs,parts,proof,proof-parts,restore,restore-parts,upkeep";

const app = (name, args) => ({
  name: `snapfleet-${name}`,
  script: python,
  args,
  interpreter: "none",
  // The main process alone hears the signal; its children are its own business.
  treekill: false,
  // Ten seconds to go on, the rest to give back what is held.
  kill_timeout: 40000,
  // One that cannot start is tried again for ever, ever more slowly: what it needs may come back.
  autorestart: true,
  max_restarts: 1000000,
  exp_backoff_restart_delay: 500,
  // deploy/logrotate/snapfleet rotates these.
  out_file: `${logs}/${name}.log`,
  error_file: `${logs}/${name}.log`,
  merge_logs: true,
  env: { LOG_FORMAT: "json" },
});

module.exports = {
  apps: [
    ...Array.from({ length: workers }, (_, i) =>
      app(`worker-${i + 1}`, ["-m", "workers", "--name", `worker-${i + 1}`, "--queues", queues])),
    app("control", ["-m", "workers", "--name", "control", "--queues", "control", "--concurrency", "1"]),
    app("beat", ["-m", "beat"]),
    app("bus", ["-m", "bus"]),
    app("api", ["-m", "api"]),
  ],
};
