"""Events stored in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Optional, Union

from ._errors import ClosedError
from ._messages import Appended, Event, Rejection, cut

if TYPE_CHECKING:
    from ._client import Client

# Told of each event that was not stored, and why: after an exception it may be added again.
Lost = Callable[[Event, Union[Rejection, Exception]], None]


@dataclass
class AppenderStats:
    """What became of the events of an appender. Those lost were rejected, or could not be stored in time."""

    added: int = 0
    stored: int = 0
    duplicates: int = 0
    erased: int = 0
    lost: int = 0


class Appender:
    """Stores events in the background, many at once, in the order in which they were added. Safe for use by several threads.

    `batch` (to 1,000) waiting events are sent at once, or what waits when an event has waited for `interval` seconds. `queue` events
    may wait or be on their way: add waits with more. `lost` is called by one thread, holds up the appender until it returns, and must not
    call flush or close. An event is durable when it was added before a flush or close that returned True; until then it is only
    in memory.
    """

    def __init__(self, client: Client, *, batch: int, queue: int, interval: float, lost: Optional[Lost]) -> None:
        if not 1 <= batch <= 1000:
            raise ValueError(f"batch is {batch}; want 1 to 1,000")
        if queue < 1:
            raise ValueError(f"queue is {queue}; want 1 or more events")
        if not interval > 0:
            raise ValueError(f"interval is {interval}; want more than 0 seconds")
        self._client, self._batch, self._queue, self._interval, self._lost = client, batch, queue, interval, lost
        self._change = threading.Condition()  # guards all below, and tells that it changed
        self._waiting: deque[Event] = deque()
        self._oldest = 0.0  # when the first of those that wait came
        self._stats = AppenderStats()
        self._settled = 0  # of those added, how many are dealt with
        self._urgent = 0  # somebody waits for so many
        self._closed = False
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="kith-appender", daemon=True)
        self._thread.start()

    def add(self, event: Event, timeout: Optional[float] = None) -> None:
        """Hand over an event. It waits while the queue is full, and raises TimeoutError when that takes longer than the timeout."""
        list(cut([event]))  # raises what is wrong with it
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while not self._closed and self._stats.added - self._settled >= self._queue:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"{self._queue} events wait already")
                self._change.wait(left)
            if self._closed:
                raise ClosedError("the appender is closed")
            if not self._waiting:
                self._oldest = time.monotonic()
            self._waiting.append(event)
            self._stats.added += 1
            if len(self._waiting) in (1, self._batch):
                self._change.notify_all()

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Send what waits, and return when all events added before are dealt with: True if none has been lost so far.

        Raises TimeoutError when that takes longer than the timeout.
        """
        with self._change:
            target = self._stats.added
            self._urgent = max(self._urgent, target)
            self._change.notify_all()
            if not self._change.wait_for(lambda: self._settled >= target, timeout):
                raise TimeoutError(f"{target - self._settled} events are not stored yet")
            return self._stats.lost == 0

    def close(self, timeout: Optional[float] = None) -> bool:
        """Take no more events, send what waits, and return when all is dealt with: True if none was lost.

        After the timeout nothing more is sent: what is under way ends, and the rest is lost.
        """
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join(timeout)
        with self._change:
            self._given_up = True
        self._thread.join()
        return self._stats.lost == 0

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def stats(self) -> AppenderStats:
        """The counts so far."""
        with self._change:
            return replace(self._stats)

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._due():
                    if self._closed and not self._waiting:
                        return
                    self._change.wait(self._oldest + self._interval - time.monotonic() if self._waiting else None)
                batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                self._oldest = time.monotonic()
                given_up = self._given_up
            self._send(batch, given_up)

    def _due(self) -> bool:
        """Whether to send now. The caller holds the lock."""
        return bool(self._waiting) and (
            len(self._waiting) >= self._batch
            or self._closed
            or self._settled < self._urgent
            or time.monotonic() >= self._oldest + self._interval
        )

    def _send(self, batch: list[Event], given_up: bool) -> None:
        """Store a batch and tell what was lost."""
        counts = Appended()
        refused: dict[int, Union[Rejection, Exception]] = {}
        try:
            if given_up:
                raise ClosedError("the appender was closed before the event was stored")
            self._client._append_to(counts, batch)
        except Exception as error:  # also what a source of tokens raises
            done = counts.stored + counts.duplicates + counts.erased + len(counts.rejected)  # those of the messages before
            refused = dict.fromkeys(range(done, len(batch)), error)
        refused.update((r.index, r) for r in counts.rejected)
        with self._change:
            self._stats.stored += counts.stored
            self._stats.duplicates += counts.duplicates
            self._stats.erased += counts.erased
            self._stats.lost += len(refused)
        if self._lost is not None:
            for i, why in sorted(refused.items()):
                try:
                    self._lost(batch[i], why)
                except Exception:  # of the caller: the events behind must not be lost with it
                    logging.getLogger("kith").exception("the callback for lost events failed")
        with self._change:
            self._settled += len(batch)
            self._change.notify_all()
