"""A program of the official library's, asked line by line."""

from __future__ import annotations

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

from durust import clock
from tests.support.processes import ROOT

# Far more than an answer takes on a busy machine.
ANSWER_SECONDS = 60.0


class Refused(Exception):
    """What the other library raised: its type, what it said, and what it carried."""

    def __init__(self, raised: dict[str, Any]) -> None:
        super().__init__(raised["type"], raised["message"])
        self.type, self.message = raised["type"], raised["message"]
        self.name, self.code, self.data = raised["name"], raised["code"], raised["data"]


class Conversation:
    """A process of the other interpreter; what it complains about is collected in a file."""

    def __init__(self, python: Path, program: str, *arguments: str, folder: Path) -> None:
        self._complaints = folder / f"{program}-{clock.random_token()}.err"
        self._heard = b""
        with self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(
                [python, "-m", f"tests.interop.{program}", *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )

    @property
    def complaints(self) -> str:
        """What it has complained about so far."""
        return self._complaints.read_text(errors="replace")

    def ask(self, call: str, *args: Any, **kwargs: Any) -> Any:
        """Make a call there and return its value. Raises `Refused` with what it raised."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([call, args, kwargs]).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        if "raised" in answer:
            raise Refused(answer["raised"])
        return answer["value"]

    def close(self) -> None:
        """Let it die, in the middle of whatever it does."""
        self._process.kill()
        self._process.wait(ANSWER_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        deadline = clock.monotonic() + ANSWER_SECONDS
        while b"\n" not in self._heard:
            left = deadline - clock.monotonic()
            ready = left > 0 and select.select([self._process.stdout], [], [], left)[0]
            heard = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert heard, f"no answer\n--- stderr\n{self.complaints}"
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        return line
