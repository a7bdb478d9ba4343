"""Take the pictures of docs/monitoring.md: `make pictures`, against an embedded fleet that works for a while.

Needs Debian's `prometheus` and `chromium`. Grafana is in none of the registries that this project uses, so
its panels' own queries are drawn here; Flower is what it is in a browser.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from embedded import journal, ports
from embedded.stack import Stack
from monitoring.grafana.dashboard import ROWS
from monitoring.pictures.asking import Prometheus
from monitoring.pictures.drawing import page

HERE = Path(__file__).parents[2]
PICTURES = HERE / "docs" / "pictures"
ROUNDS = 5
PASSWORD = "to-look-at"  # noqa: S105 - of a Flower that lives for minutes
NAMES = ("recovery", "snapshots", "sizes", "drills", "retention", "jobs", "workers", "storage")


def main() -> int:
    for tool in ("prometheus", "chromium"):
        if shutil.which(tool) is None:
            sys.stderr.write(f"error: there is no {tool} here\nhint: apt-get install {tool}\n")
            return 1
    PICTURES.mkdir(exist_ok=True)
    environ = dict(os.environ) | {"FLOWER_PASSWORD": PASSWORD, "LEASE_SECONDS": "4"}  # noqa: TID251 - handed on
    with (
        tempfile.TemporaryDirectory(prefix="snapfleet-pictures-") as folder,
        Stack(Path(folder) / "fleet", environ=environ) as stack,
    ):
        take(stack, Path(folder))
    return 0


def take(stack: Stack, folder: Path) -> None:
    run(stack, "migrate")
    for _ in journal.fill(stack.environment["DATABASE_URL"], thoughts=40_000):
        pass
    worker, exporter, flower, server = ports.free(4)
    python = (sys.executable, "-m")
    for number, port in ((1, worker), (2, 0)):
        options = ("--concurrency", "2", "--name", f"worker-{number}", "--metrics-port", str(port))
        stack.spawn(f"worker-{number}", (*python, "workers", *options))
    stack.spawn("beat", (*python, "beat"))
    stack.spawn("bus", (*python, "bus"))
    stack.spawn("exporter", (*python, "cli", "exporter", "--port", str(exporter)))
    stack.spawn("flower", (*python, "cli", "flower", "--port", str(flower)))
    targets = {"snapfleet": exporter, "snapfleet-workers": worker, "flower": flower, "prometheus": server}
    stack.spawn("prometheus", prometheus(folder, targets))
    asked = Prometheus(f"http://127.0.0.1:{server}")
    while not asked.is_up():
        time.sleep(0.5)
    since = time.time()
    for _ in range(ROUNDS):
        run(stack, "snapshot", "take", "--wait", "--verified")
        time.sleep(5)
    # The exporter's answer is up to 15 s old.
    time.sleep(16)
    until = time.time()
    for name, row in zip(NAMES, ROWS, strict=True):
        html = folder / f"{name}.html"
        html.write_text(page(row, (asked.drawn(panel, since=since, until=until) for panel in row.panels)))
        shoot(f"file://{html}", PICTURES / f"{name}.png", height=height_of(html))
    shoot(f"http://snapfleet:{PASSWORD}@127.0.0.1:{flower}/tasks", PICTURES / "flower.png", height=900)


def run(stack: Stack, *argv: str) -> None:
    subprocess.run([sys.executable, "-m", "cli", *argv], env=stack.environment, check=True)


def prometheus(folder: Path, targets: dict[str, int]) -> Sequence[str]:
    """Its command, with our own rules and our own jobs at these ports."""
    ours = HERE / "monitoring" / "prometheus"
    config = yaml.safe_load((ours / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
    config["rule_files"] = [str(ours / "alerts.yml")]
    del config["alerting"]
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return (
        shutil.which("prometheus") or "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{targets['prometheus']}",
    )


def height_of(html: Path) -> int:
    """What the page itself says in its title."""
    dumped = chromium("--window-size=1600,100", "--dump-dom", f"file://{html}")
    found = re.search(r"<title>(\d+)</title>", dumped)
    return int(found[1]) if found else 1000


def shoot(url: str, picture: Path, *, height: int) -> None:
    chromium(f"--window-size=1600,{height}", "--virtual-time-budget=15000", f"--screenshot={picture}", url)
    sys.stdout.write(f"{picture.relative_to(HERE)}\n")


def chromium(*options: str) -> str:
    ended = subprocess.run(
        [
            shutil.which("chromium") or "chromium",
            "--headless=new",
            "--no-sandbox",
            "--hide-scrollbars",
            *options,
        ],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
    )
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
