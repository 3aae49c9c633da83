"""A Gorgon task called from Python, one operation at a time: `pip install wasmtime`.

What a task imports of Gorgon is here: spans, which are only named, `fail`, prepared values and data rows.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, ResourceHost, ResourceType, Variant

SPAN = ResourceType.host(1)
ENGINE = Engine()


@cache
def compiled(path: str | Path) -> Component:
    """Compiled once for all instances; that takes seconds where a task carries an interpreter."""
    return Component.from_file(ENGINE, str(path))


class Task:
    """An instance of a task. `rows` are those of a data file, its header first."""

    def __init__(self, path: str | Path, prepared: str = "", rows: Sequence[Sequence[str]] = ((),)):
        self.spans: list[str] = []
        self.failures: list[str] = []
        self._prepared, self._rows = prepared, rows

        linker = Linker(ENGINE)
        linker.add_wasip2()
        linker.add_wasi_http()
        self._link(linker)
        self._store = Store(ENGINE)
        wasi = WasiConfig()
        wasi.inherit_stderr()
        self._store.set_wasi(wasi)
        self._store.set_wasi_http()
        instance = linker.instantiate(self._store, compiled(path))
        self._operation = instance.get_func(self._store, "operation")

    def operation(self, n: int) -> str:
        """Calls the operation. What it said of its spans and failures lies in those lists then."""
        self.spans.clear()
        self.failures.clear()
        match self._operation(self._store, n):
            case Variant(tag="err", payload=result):  # An operation may return `result<string, string>`.
                self.failures.append(result)
            case Variant(payload=result) | result:
                pass
        return result

    def _link(self, linker: Linker) -> None:
        def start(_store, name: str) -> ResourceHost:
            self.spans.append(name)
            return ResourceHost.own(0, 1)

        with linker.root() as root:
            with root.add_instance("gorgon:task/current@0.1.0") as current:
                current.add_resource("span", SPAN, lambda _store, _rep: None)
                current.add_func("[static]span.start", start)
                current.add_func("[method]span.end", lambda _store, _span: None)
                current.add_func("fail", lambda _store, reason: self.failures.append(reason))
            with root.add_instance("gorgon:task/run@0.1.0") as run:
                run.add_func("prepared", lambda _store: self._prepared)
                run.add_func("rows", lambda _store: len(self._rows) - 1)
                run.add_func("columns", lambda _store: list(self._rows[0]))
                run.add_func("row", lambda _store, i: list(self._rows[i + 1]))
