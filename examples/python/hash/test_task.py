import hashlib
import unittest

from task import WitWorld, digest


class TaskTest(unittest.TestCase):
    def test_every_fifth_operation_fails(self):
        task = WitWorld()
        results = [task.operation(n) for n in range(10)]
        self.assertEqual(results, (["SUCCESS"] * 4 + ["FAIL"]) * 2)

    def test_updates_hash_what_they_spell_together(self):
        self.assertEqual(digest(7), hashlib.sha512(b"TEXT 7" * 4000).digest())


if __name__ == "__main__":
    unittest.main()
