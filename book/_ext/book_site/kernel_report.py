"""Run inside a kernel: writes to the file REPORT what runs the chapter, then who it connects to.

The first line is JSON: versions and machine. Every line after it is the host of a connection that leaves this
machine.
"""

import importlib.metadata
import json
import os
import platform
import sys

PACKAGES = [
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "matplotlib",
    "pillow",
    "einops",
    "jaxtyping",
    "transformers",
    "ipykernel",
]


def installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def write_environment(path: str) -> None:
    versions = {package: installed_version(package) for package in PACKAGES}
    machine = f"{platform.system()}, {platform.machine()}, {usable_cores()} cores"
    environment = {"versions": {"Python": platform.python_version(), **versions}, "machine": machine}
    with open(path, "w") as report:
        report.write(json.dumps(environment) + "\n")


def usable_cores() -> int | None:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


# Its globals are gone when it is called: runpy takes them away.
def note_connection(event: str, arguments: tuple, path: str = REPORT) -> None:  # pyright: ignore
    if event != "socket.connect":
        return
    address = arguments[1]
    host = address[0] if isinstance(address, tuple) else ""  # a str is a path: a local socket
    if host and host not in ("127.0.0.1", "::1", "localhost"):
        with open(path, "a") as report:
            report.write(f"{host}\n")


write_environment(REPORT)  # type: ignore[name-defined]  # pyright: ignore
sys.addaudithook(note_connection)
