"""An HTTP server on the loopback interface that speaks enough of the Hub's API for its real clients.

Point ``HF_ENDPOINT`` at ``LoopbackHub.url`` and set ``HF_HUB_DISABLE_XET=1``, so that large files travel by Git LFS. As
on the Hub, large files are served from and sent to another origin by signed links (here the name ``localhost``), where
no token is needed and none should arrive.
"""

import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .api import ROUTES, Call, Reply
from .storage import HubError, Storage, Tree


@dataclass
class Fault:
    """What happens to the next ``times`` requests of a route: an error status, or a cut after ``after`` bytes."""

    times: int
    status: int | None = None
    after: int = 0


@dataclass(frozen=True)
class Request:
    """One request that a client made."""

    route: str
    method: str
    path: str
    token: str | None
    range: str | None


class LoopbackHub:
    """A running Hub.

    Args:
        accounts: user name of each token.
    """

    def __init__(self, accounts: dict[str, str]) -> None:
        self.storage = Storage(accounts)
        self.requests: list[Request] = []
        self.faults: dict[str, Fault] = {}
        self.signature = secrets.token_hex(8)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        self.storage_url = f"http://localhost:{port}"

    @contextmanager
    def running(self) -> Iterator["LoopbackHub"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def fail(self, route: str, times: int = 1, status: int = 500) -> None:
        """Answer the next ``times`` requests of ``route`` with ``status``."""
        self.faults[route] = Fault(times, status=status)

    def cut(self, route: str, after: int, times: int = 1) -> None:
        """Close the connection of the next ``times`` requests of ``route`` after ``after`` bytes of the body.

        The body is the request's where it has one, else the answer's.
        """
        self.faults[route] = Fault(times, after=after)

    def count(self, route: str) -> int:
        """How many requests of ``route`` have arrived."""
        return sum(request.route == route for request in self.requests)

    def files(self, kind: str, name: str, revision: str = "main") -> Tree:
        """The files of a repository, whoever may read it."""
        return self.storage.repositories[kind, name].tree(revision)

    def fault_of(self, route: str) -> Fault | None:
        """Use up one occurrence of the fault that waits on ``route``, if any."""
        with self.storage.lock:
            fault = self.faults.get(route)
            if fault is None or fault.times == 0:
                return None
            fault.times -= 1
            return fault


class _CutError(Exception):
    """The connection is to be closed here and now."""


def _handler_of(hub: LoopbackHub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LoopbackHub

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean; ``LoopbackHub.requests`` has what arrived."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        route, handle, arguments = self._match(url.path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append(Request(route, self.command, self.path, token, self.headers.get("Range")))
        fault = self.hub.fault_of(route)
        has_body = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        try:
            body = self._read_body(fault if has_body else None)
            if fault is not None and fault.status is not None:
                raise HubError(fault.status, "Internal Error - We're working hard to fix this as soon as possible!")
            call = Call(self.hub, self.command, arguments, parse_qs(url.query), body, self.headers, self._user(token))
            with self.hub.storage.lock:
                reply = handle(call)
        except HubError as error:
            reply = Reply.of_error(error)
        except _CutError:
            self.close_connection = True
            return
        self._send(reply, None if has_body else fault)

    def _match(self, path: str) -> tuple[str, Any, dict[str, str]]:
        method = "GET" if self.command == "HEAD" else self.command
        for name, route_method, pattern, handle in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and route_method == method:
                return name, handle, {key: unquote(value) for key, value in match.groupdict(default="").items()}
        return "unknown", _unknown, {}

    def _user(self, token: str | None) -> str | None:
        if token is None:
            return None
        if token not in self.hub.storage.accounts:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.hub.storage.accounts[token]

    def _read_body(self, fault: Fault | None) -> bytes:
        cut_after = fault.after if fault is not None and fault.status is None else None
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
                if cut_after is not None and len(body) >= cut_after:
                    raise _CutError
            self.rfile.readline()
            return body
        length = int(self.headers.get("Content-Length", 0))
        if cut_after is not None:
            self.rfile.read(min(cut_after, length))
            raise _CutError
        return self.rfile.read(length)

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.status is None:
            self.wfile.write(reply.body[: fault.after])
            self.close_connection = True
            return
        self.wfile.write(reply.body)


def _unknown(call: Call) -> Reply:
    raise HubError(404, "Sorry, we can't find the page you are looking for.")
