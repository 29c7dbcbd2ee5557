"""Show the built site at a local address: python tools/serve.py [FOLDER] [PORT]."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "_build/html")
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    if not (folder / "index.html").exists():
        print("There is no site yet. Build it with: make book", file=sys.stderr)
        return 1
    for candidate in range(port, port + 20):
        try:
            server = ThreadingHTTPServer(
                ("127.0.0.1", candidate), partial(SimpleHTTPRequestHandler, directory=str(folder))
            )
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
