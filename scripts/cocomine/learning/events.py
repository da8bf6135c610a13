"""TensorBoard's event files, written at once.

tensorboardX's own SummaryWriter hands events to a thread through a short queue: where that thread dies of a full disk,
the next event waits for ever. Here each row is written and flushed before training goes on, and an error is raised
where it happens.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar


class EventLog:
    """One event file in `folder`, of a process that begins after iteration `step`."""

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # tensorboardX names files by the second; the iteration keeps a quick restart from overwriting the one before.
        self._writer: Any = EventsWriter(str(folder / "events"), f".{step:09d}")
        # TensorBoard hides what an earlier process logged from this iteration on, since it is about to be done again.
        self._writer.write_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        self._writer.flush()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of an iteration. Raises OSError when the disk is full."""
        for name, value in values.items():
            self._writer.write_event(Event(step=step, summary=scalar(name, value)))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
