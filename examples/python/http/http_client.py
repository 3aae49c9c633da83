"""Requests by `wasi:http`: one function, which waits for the answer."""

from urllib.parse import urlsplit

from wit_world.imports import outgoing_handler
from wit_world.imports.types import (
    Fields,
    IncomingResponse,
    Method_Other,
    OutgoingBody,
    OutgoingRequest,
    Scheme_Http,
    Scheme_Https,
)
from componentize_py_types import Err, Ok

# `wasi:io` takes and gives no more than this at a time.
CHUNK = 4096


def request(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Sends a request; its status and body. Raises `Err` where it cannot be sent, or where it is not granted."""
    parts = urlsplit(url)
    fields = Fields.from_list([(name, value.encode()) for name, value in (headers or {}).items()])
    outgoing = OutgoingRequest(fields)
    outgoing.set_method(Method_Other(method))
    outgoing.set_scheme(Scheme_Https() if parts.scheme == "https" else Scheme_Http())
    outgoing.set_authority(parts.netloc)
    outgoing.set_path_with_query((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    sink = outgoing.body()
    future = outgoing_handler.handle(outgoing, None)
    with sink.write() as stream:
        for start in range(0, len(body), CHUNK):
            stream.blocking_write_and_flush(body[start : start + CHUNK])
    OutgoingBody.finish(sink, None)

    with future.subscribe() as answered:
        answered.block()
    match future.get():
        case Ok(Ok(response)):
            with response:
                return response.status(), read(response)
        case Ok(Err(error)):
            raise Err(error)
        case other:
            raise RuntimeError(f"no answer: {other}")


def read(response: IncomingResponse) -> bytes:
    chunks = []
    with response.consume() as body:
        with body.stream() as stream:
            try:
                while True:
                    chunks.append(stream.blocking_read(CHUNK))
            except Err:  # The stream is closed: that was all.
                pass
    return b"".join(chunks)
