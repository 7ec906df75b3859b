"""On PYTHONPATH of a stage: hold it at its n-th write to the disk, so that it can be killed there.

``TSLOOP_TEST_STOP`` is ``<stage>:<n>:<flag file>``; the flag appears when the stage stands still.
"""

import os
import sys
import time
from pathlib import Path

_real = os.fsync
_calls = 0


def _fsync(descriptor: int) -> None:
    global _calls
    _calls += 1
    if _calls == _number:
        Path(_flag).touch()
        time.sleep(600)
    _real(descriptor)


if "TSLOOP_TEST_STOP" in os.environ:
    _stage, _text, _flag = os.environ["TSLOOP_TEST_STOP"].split(":", 2)
    _number = int(_text)
    if f"tsloop.stages.{_stage}" in sys.orig_argv:
        os.fsync = _fsync
