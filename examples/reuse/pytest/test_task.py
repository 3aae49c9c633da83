"""The very file that `gorgon run` multiplies, as a system test. `TASK` says where it lies."""

import os

import pytest

from gorgon_task import Task


@pytest.fixture
def task() -> Task:
    return Task(os.environ.get("TASK", "task.wasm"))


@pytest.mark.parametrize("n", range(10))
def test_every_fifth_operation_fails(task: Task, n: int):
    assert task.operation(n) == ("FAIL" if n % 5 == 4 else "SUCCESS")
    assert task.failures == []


def test_an_instance_can_be_called_again(task: Task):
    assert [task.operation(n) for n in (3, 4, 3)] == ["SUCCESS", "FAIL", "SUCCESS"]
