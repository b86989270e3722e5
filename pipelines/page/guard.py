"""Who may ask, and how much: a page that only its own visitors reach, and nothing that another page sends.

A browser lets any page send requests to this machine. Host is checked so that no other name can be pointed here (DNS
rebinding), Origin and Sec-Fetch-Site so that no other page can act in a visitor's name.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
READS = ("GET", "HEAD")


class Guard:
    """Passes on requests whose Host is this machine's and whose origin is this page; adds `SAFE` to every response."""

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1") -> None:
        self.app, self.loopback = app, _is_loopback(host)
        own = () if self.loopback else (host, socket.gethostname())
        self.names = {"localhost", *(name.lower() for name in own)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            return
        refused = self.refusal(scope["method"], Headers(scope=scope))

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers[name] = value
            await send(message)

        if refused is not None:
            await JSONResponse({"error": refused}, 403)(scope, receive, safely)
        else:
            await self.app(scope, receive, safely)

    def refusal(self, method: str, headers: Headers) -> str | None:
        """Why a request is refused; None if it is not."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return f"the host {host[:80]!r} is not this page's"
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return f"a page of {origin[:80]!r} may not ask"
        site = headers.get("sec-fetch-site")
        if method not in READS and site not in (None, "same-origin"):
            return "another page may not ask"
        if method in READS and site == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return "another page may not ask"
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine. A number cannot be pointed elsewhere as a name can."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.loopback


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
