"""The loop of the original library, reduced to what it did for each call: a uuid, two dicts, two readings of the clock.

`model.py noop|hash N` prints the nanoseconds that one call took on average.
"""

import hashlib
import sys
import time
import uuid


def noop(n):
    return ""


def sha512(n):
    text, digest = b"TEXT %d" % n, hashlib.sha512()
    for _ in range(4000):
        digest.update(text)
    digest.digest()
    return "FAIL" if n % 5 == 4 else "SUCCESS"


def main():
    operation, calls = {"noop": noop, "hash": sha512}[sys.argv[1]], int(sys.argv[2])
    results = {}
    begin = time.perf_counter_ns()
    for n in range(calls):
        call = {"id": uuid.uuid4(), "number": n, "start": time.time()}
        result = operation(n)
        call["end"] = time.time()
        entry = {"count": 0, "time": 0.0}
        entry = results.setdefault(result, entry)
        entry["count"] += 1
        entry["time"] += call["end"] - call["start"]
    print((time.perf_counter_ns() - begin) / calls)


main()
