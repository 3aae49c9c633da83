"""A flow: create an object, read it by the id that came back, delete it. `BASE` in the environment says where."""

import json
import os

from wit_world.imports.current import Span, fail

from http_client import request


class WitWorld:
    """What the component exports; componentize-py looks for it by this name."""

    def operation(self, n: int) -> str:
        base = os.environ.get("BASE", "http://127.0.0.1:8080")
        name = f"object {n}"

        with Span.start("POST /objects"):
            status, created = request("POST", f"{base}/objects", json.dumps({"name": name}).encode())
        if status >= 400:
            fail(f"POST /objects answered {status}")
            return str(status)
        url = f"{base}/objects/{json.loads(created)['id']}"

        with Span.start("GET /objects/{id}"):
            _, read = request("GET", url)
        if json.loads(read)["name"] != name:
            fail(f"another object was read: {read.decode()}")

        with Span.start("DELETE /objects/{id}"):
            request("DELETE", url)
        return "done"
