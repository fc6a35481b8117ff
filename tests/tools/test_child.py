"""Processes that speak in lines: what is left of one that was given up."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from greenroom.tools.child import Command, start


async def given_up_at_each_step() -> None:
    for steps in range(8):
        starting = asyncio.ensure_future(start(Command(["/bin/cat"], "cat", 1000)))
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        try:
            child = await starting
        except asyncio.CancelledError:
            continue
        child.kill()
        await child.over()
    await asyncio.sleep(0.1)  # what was being connected is closed once it is


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_one_that_is_given_up_while_it_starts_leaves_no_pipe_open(
    run: Callable[[Coroutine[Any, Any, None]], None], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(given_up_at_each_step())
        gc.collect()
    assert [str(warning.message) for warning in warned if "unclosed file" in str(warning.message)] == []
    assert caplog.text == ""
