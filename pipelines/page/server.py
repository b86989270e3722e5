"""The page served on this machine until Ctrl-C."""

from __future__ import annotations

import socket
import webbrowser

from ...hierarchy import HierError
from ...models.classifier import Classifier
from .application import application

MOST, PATIENCE = 64, 3  # connections at a time, and s for which open ones are waited for at the end


class PageError(HierError):
    """The page cannot be served."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at a host and a port, 0 for any free one. Raises PageError."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen()
    except (OSError, OverflowError) as error:
        made.close()
        said = getattr(error, "strerror", None) or error
        raise PageError(f"cannot listen at {host}:{port}: {said}; try `hier app --port {port + 1}`") from error
    return made


def serve(classifier: Classifier, listener: socket.socket, host: str, browser: bool = True) -> None:
    """Serve the page of a classifier at `listener` until the process is interrupted."""
    import uvicorn

    port = listener.getsockname()[1]
    address = f"http://{_reachable(host)}:{port}/"
    server = uvicorn.Server(
        uvicorn.Config(
            application(classifier, host),
            log_level="warning",
            access_log=False,
            ws="none",
            server_header=False,
            limit_concurrency=MOST,
            timeout_graceful_shutdown=PATIENCE,
        )
    )
    print(f"the page is at {address}", flush=True)
    if browser and not webbrowser.open(address):
        print("no browser could be opened: copy the address into one", flush=True)
    print("Ctrl-C ends it", flush=True)
    server.run(sockets=[listener])


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
