"""A loopback S3 with faults to order, and how to forget its clients."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import make_server

from synthdata.stores import locations

SECRET = "loopbackSecretOfAda"
BUCKET = "bucket"

Application = Callable[..., Iterable[bytes]]


@dataclass
class Faults:
    """What happens to the next requests of a method: nothing, a status with a code or without, "cut" or "slow"."""

    waiting: dict[str, list[Any]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    read_only: bool = False


def faulty(application: Application, faults: Faults) -> Application:
    """``application``, but that ``faults`` befall its requests."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        faults.seen.append(f"{method} {environ['PATH_INFO']}")
        fault = faults.waiting.get(method, []).pop(0) if faults.waiting.get(method) else None
        if fault == "slow":
            time.sleep(1.0)
        elif fault == "cut":
            environ["wsgi.input"].read(1000)
            environ["werkzeug.socket"].close()
            raise ConnectionAbortedError
        elif fault or (faults.read_only and method in ("PUT", "POST", "DELETE")):
            denied = (403, "AccessDenied")
            status, code = fault if isinstance(fault, tuple) else (fault, "InternalError") if fault else denied
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(f"{status} refused", [("Content-Type", "application/xml")])
            if method == "HEAD":
                return []
            return [f"<Error><Code>{code}</Code><Message>no, {SECRET}</Message></Error>".encode()]
        return application(environ, start)

    return answer


@dataclass(frozen=True)
class S3:
    """A running S3.

    Attributes:
        faults: that befall it.
        client: of it, to look at what is there.
    """

    faults: Faults
    client: Any

    def files(self, below: str) -> dict[str, bytes]:
        """What is there, by name."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{below}/").get("Contents", [])
        keys = [each["Key"] for each in found]
        return {key: self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@pytest.fixture(scope="module")
def running() -> Iterator[S3]:
    """A S3 with an empty bucket, which the clients of this process find, with credentials."""
    faults = Faults()
    server = make_server("127.0.0.1", 0, faulty(DomainDispatcherApplication(create_backend_app), faults), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "ada")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fresh_clients()  # those of another module's S3 ask where that was
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield S3(faults, client)
    server.shutdown()
    thread.join()


@pytest.fixture
def s3(running: S3) -> S3:
    """A S3 without faults, yet."""
    running.faults.waiting.clear()
    running.faults.seen.clear()
    running.faults.read_only = False
    return running


def fresh_clients() -> None:
    """Forget stores that are open, and the credentials that they found."""
    S3FileSystem.clear_instance_cache()
    locations._remote.cache_clear()
