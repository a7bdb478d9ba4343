"""The OpenAPI document as a file: `python -m api.document > docs/openapi.yaml`."""

from __future__ import annotations

import sys

from fastapi import FastAPI

from api.app import bare
from shared.documents import yaml

HEADER = "# Made by `python -m api.document > docs/openapi.yaml`. Do not edit by hand.\n"


def page(app: FastAPI) -> str:
    return HEADER + "\n".join(yaml(app.openapi())) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(bare()))
