"""A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`."""

import hashlib


def digest(n: int) -> bytes:
    text = f"TEXT {n}".encode()
    hasher = hashlib.sha512()
    for _ in range(4000):
        hasher.update(text)
    return hasher.digest()


class WitWorld:
    """What the component exports; componentize-py looks for it by this name."""

    def operation(self, n: int) -> str:
        digest(n)
        return "FAIL" if n % 5 == 4 else "SUCCESS"
