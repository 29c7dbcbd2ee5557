"""Run inside a kernel: writes one line per connection that leaves this machine to the file REPORT."""

import sys

with open(REPORT, "w") as report:  # type: ignore[name-defined]  # pyright: ignore
    report.write("watching\n")


def note_connection(event: str, arguments: tuple, path: str = REPORT) -> None:  # pyright: ignore
    if event != "socket.connect":
        return
    address = arguments[1]
    host = address[0] if isinstance(address, tuple) else ""  # a str is a path: a local socket
    if host and host not in ("127.0.0.1", "::1", "localhost"):
        with open(path, "a") as report:
            report.write(f"{host}\n")


sys.addaudithook(note_connection)
