import json
import sys
import unittest
from unittest.mock import MagicMock

# What is there only inside of a component: the interfaces that it imports.
current = MagicMock()
sys.modules |= {"wit_world.imports.current": current, "http_client": MagicMock()}

import task  # noqa: E402


class FlowTest(unittest.TestCase):
    def setUp(self):
        current.reset_mock()

    def serve(self, name: str):
        """A server that keeps one object, of this name whatever it was created by."""
        answers = {"POST": {"id": 7}, "GET": {"id": 7, "name": name}, "DELETE": {}}
        self.requests = []

        def request(method: str, url: str, body: bytes = b""):
            self.requests.append((method, url))
            return 200, json.dumps(answers[method]).encode()

        task.request = request

    def test_a_flow_deletes_what_it_created(self):
        self.serve("object 3")
        self.assertEqual(task.WitWorld().operation(3), "done")
        self.assertEqual(self.requests[-1], ("DELETE", "http://127.0.0.1:8080/objects/7"))
        current.fail.assert_not_called()

    def test_another_object_fails_the_operation(self):
        self.serve("another")
        task.WitWorld().operation(3)
        current.fail.assert_called_once()


if __name__ == "__main__":
    unittest.main()
