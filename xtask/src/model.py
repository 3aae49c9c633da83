"""The measured loop of the original, a Python library of the same name, version 0.3.4, reduced to what it does per call:
a uuid as text, a dict when the call starts, another when it ends, each with a reading of the clock, both kept.

`model.py noop|hash N` prints the nanoseconds that one call took on average; the report, which the original makes from
those dicts afterwards, is not in it.
"""

import hashlib
import sys
import time
import uuid
from collections import deque


class Calls:
    def __init__(self):
        self.calls = deque()

    def start(self, call):
        self.calls.append({"call_id": call, "start_time": time.time()})

    def end(self, call, result):
        self.calls.append({"call_id": call, "end_time": time.time(), "result": result})


def noop(n):
    return ""


def sha512(n):
    text, digest = b"TEXT %d" % n, hashlib.sha512()
    for _ in range(4000):
        digest.update(text)
    digest.digest()
    return "FAIL" if n % 5 == 4 else "SUCCESS"


def multiply(operation, first, operations, calls):
    for i in range(operations):
        number = first + i
        call = str(uuid.uuid4())
        calls.start(call)
        try:
            result = operation(number)
        except Exception as error:
            result = error
        calls.end(call, str(result))


def main():
    operation, operations = {"noop": noop, "hash": sha512}[sys.argv[1]], int(sys.argv[2])
    begin = time.perf_counter_ns()
    multiply(operation, 0, operations, Calls())
    print((time.perf_counter_ns() - begin) / operations)


main()
