"""Waiting for conditions, and the machine's own stalls."""

import threading
import time


def until(condition, seconds=10.0, every=0.01, what=None):
    """The first true value of condition(); fails when it does not come in `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"waited {seconds} s for {what or condition}, last saw {value!r}")
        time.sleep(every)


class Stalls:
    """A thread that notes when the machine did not let it run: the longest gap between two ticks.

    A test with a deadline repeats a round in which this exceeds what the deadline leaves room for.
    """

    TICK = 0.002

    def __enter__(self):
        self._stop = threading.Event()
        self.longest = 0.0
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _tick(self):
        before = time.monotonic()
        while not self._stop.is_set():
            time.sleep(self.TICK)
            now = time.monotonic()
            self.longest = max(self.longest, now - before)
            before = now


def unstalled(play, rounds=8, allowed=0.03):
    """Plays a round and judges it. One that is lost while the machine itself stalled does not count, and is repeated.

    `play(n)` returns a function that judges.
    """
    longest = []
    for n in range(rounds):
        with Stalls() as stalls:
            judge = play(n)
        try:
            return judge()
        except AssertionError:
            longest.append(round(stalls.longest, 3))
            if stalls.longest <= allowed:
                raise
    raise AssertionError(f"lost, and the machine stalled, in each of {rounds} rounds, for {longest} s")


class Background:
    """Runs `work(stop)` in a thread for the length of a block, and raises what it raised."""

    def __init__(self, work):
        self._work = work
        self._stop = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self._work(self._stop)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self._error = error

    def __enter__(self):
        self._thread.start()
        return self

    def stop(self):
        self._stop.set()
        self._thread.join(30)

    def __exit__(self, kind, *_):
        self.stop()
        if self._error is not None and kind is None:
            raise self._error
