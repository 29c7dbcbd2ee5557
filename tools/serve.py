"""Show the built site at a local address: python tools/serve.py [FOLDER] [PORT].

Text is sent compressed, as GitHub Pages and other static hosts send it.
"""

import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

TEXT = {".html", ".css", ".js", ".json", ".svg", ".txt", ".xml", ".ipynb"}


@cache
def compressed(file: Path, changed_ns: int) -> bytes:
    return gzip.compress(file.read_bytes(), compresslevel=6, mtime=0)


def sent(file: Path) -> bytes:
    """Return what travels when a browser asks for a file."""
    return compressed(file, file.stat().st_mtime_ns) if file.suffix in TEXT else file.read_bytes()


class SiteHandler(SimpleHTTPRequestHandler):
    """Files of one folder, text compressed for those who accept it, over connections that stay open."""

    protocol_version = "HTTP/1.1"

    def send_head(self):
        file = Path(self.translate_path(self.path))
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        if not (accepted and file.suffix in TEXT and file.is_file()):
            return super().send_head()
        body = sent(file)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return BytesIO(body)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()


class QuietHandler(SiteHandler):
    def log_message(self, *_) -> None:
        pass


class SiteServer(ThreadingHTTPServer):
    def handle_error(self, request, client_address) -> None:
        """A browser that went away before its answer came is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder on this machine while the block runs; gives its address, without a slash at the end."""
    server = SiteServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "_build/html")
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    if not (folder / "index.html").exists():
        print("There is no site yet. Build it with: make book", file=sys.stderr)
        return 1
    for candidate in range(port, port + 20):
        try:
            server = SiteServer(("127.0.0.1", candidate), partial(SiteHandler, directory=str(folder)))
        except OSError:
            continue
        print(f"http://127.0.0.1:{candidate}/   (Ctrl+C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    print(f"No free port from {port} to {port + 19}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
