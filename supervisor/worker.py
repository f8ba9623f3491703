"""A worker process: one interpreter, one engine, one slot of the shared page.

Run by the supervisor as `python -m durust.supervisor.worker PARENT LIFELINE PAGE`. SIGTERM asks for an orderly end,
SIGINT for one at once, SIGUSR1 for the stacks of all threads on standard error.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import select
import signal
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from durust import DurableEngine, clock
from durust.engine.supervision import Supervision
from durust.errors import DurustError, NotLaunched, ProviderUnavailable, QueueNotFound, SchemaMismatch
from durust.settings import Settings
from durust.storage.listening import LocalListener
from durust.storage.opening import open_provider
from durust.supervisor.application import ApplicationFault, load_engine
from durust.supervisor.exits import WorkerExit
from durust.supervisor.fence import Fence
from durust.supervisor.lifeline import Lifeline, inherit
from durust.supervisor.mailbox import Mailbox
from durust.supervisor.plan import State
from durust.supervisor.signals import Signals
from durust.supervisor.vitals import Page, PageLease
from durust.supervisor.wire import Brief, Drain, Failed, Loaded, Progress
from durust.telemetry import logger

# The kernel's number for "send me this signal when my parent dies".
_PR_SET_PDEATHSIG = 1
# Signs of life: often enough that a second of silence is short of any hang timeout that is meant.
PULSE_SECONDS = 0.5
# How late the main thread notices what has no descriptor to wait for: a lease that was lost for good.
LOOK_SECONDS = 0.25
# Closing an engine that was drained takes milliseconds; this is for one whose database is away.
CLOSE_SECONDS = 5.0
# After the engine is closed nothing of worth is left to do; threads and handlers of the application get this long.
EXIT_SECONDS = 1.0


class Worker:
    """Runs one engine until the supervisor, a signal or a lost lease ends it."""

    def __init__(self, brief: Brief, lifeline: Lifeline, page: Page) -> None:
        self._brief, self._lifeline, self._page = brief, lifeline, page
        self._signals = Signals((signal.SIGTERM, signal.SIGINT), ignored=(signal.SIGHUP,))
        self._engine: DurableEngine | None = None
        self._order: Drain | None = None
        self._is_fenced = threading.Event()
        self._hints = self._open_mailbox()
        if not brief.verbose:
            logger.addFilter(is_news)

    def run(self) -> WorkerExit:
        """Load the application, work, drain, close."""
        threading.Thread(target=self._watch_parent, name="durust-parent", daemon=True).start()
        threading.Thread(target=self._pulse, name="durust-pulse", daemon=True).start()
        try:
            engine = self._load()
            if isinstance(self._hints, Mailbox):
                self._hints.open(self._progress, self._take_order)
            if self._asked() is not None:
                # The end was asked for while the application was loading, so there is no need to begin.
                return WorkerExit.ENDED
            engine.launch()
            self._fence.start()
        except MemoryError:
            return WorkerExit.MEMORY
        except (DurustError, ApplicationFault) as error:
            return self._report(error)
        self._engine = engine
        self._page.enter(self._brief.index, State.LIVE)
        return self._serve(engine)

    # Before

    def _load(self) -> DurableEngine:
        brief = self._brief
        # As a script would find it, whatever way this interpreter was started.
        sys.path.insert(0, str(Path.cwd()))
        named = load_engine(brief.modules)
        own = named.database if named is not None else None
        if own is not None and own != brief.url and not brief.is_url_chosen:
            raise ApplicationFault(
                "the application's engine names a database of its own, which the supervisor cannot see: "
                "name it here too, by --db or DURUST_DATABASE_URL"
            )
        base = Settings.load() if named is None else named.settings
        settings = replace(base, **brief.settings)
        lease = PageLease(self._page, brief.index, settings.lease_seconds, settings.lease_margin_seconds)
        supervision = Supervision(
            executor_id=brief.executor_id,
            supervisor_id=brief.supervisor_id,
            lease=lease,
            hints=self._hints,
            queues=brief.queues,
            is_spokesman=brief.index == 0,
        )
        if named is None:
            # The supervisor has brought the schema up already, or was told not to.
            engine = DurableEngine(brief.url, settings=settings, supervision=supervision, migrate=False)
        else:
            engine = named
            engine.supervise(supervision, database=brief.url, settings=settings)
        if not engine.workflow_names():
            raise ApplicationFault(
                f"{', '.join(brief.modules)}: no workflow is registered there, so there is nothing to run; "
                "decorate one with @durust.workflow, or name the engine that knows it, as in MODULE:engine"
            )
        self._fence = Fence(
            open_provider(brief.url, app_name=settings.app_name),
            brief.executor_id,
            lease,
            settings.beat_seconds / 2,
            self._take_death,
        )
        self._lifeline.send(Loaded(settings.app_name, tuple(engine.workflow_names())))
        return engine

    def _open_mailbox(self) -> LocalListener:
        brief = self._brief
        if brief.orders is None or brief.hints is None:
            return LocalListener(lambda _: None)
        return Mailbox(brief.cluster, brief.executor_id, brief.orders, brief.hints)

    def _report(self, error: BaseException) -> WorkerExit:
        """Tell the supervisor why this worker ends before it began."""
        match error:
            case ProviderUnavailable():
                code = WorkerExit.DATABASE
            case QueueNotFound():
                code = WorkerExit.QUEUE
            case SchemaMismatch():
                code = WorkerExit.SCHEMA
            case _:
                code = WorkerExit.APPLICATION
        self._lifeline.send(Failed(" ".join(str(error).split()), "".join(traceback.format_exception(error))))
        return code

    # Meanwhile

    def _serve(self, engine: DurableEngine) -> WorkerExit:
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        while not (self._is_fenced.is_set() or engine.fenced.is_set()):
            if (seconds := self._asked()) is not None:
                self._drain(engine, seconds, poller)
                self._close(engine, WorkerExit.ENDED)
                return WorkerExit.ENDED
            poller.poll(LOOK_SECONDS * 1000)
            self._signals.clear()
        self._close(engine, WorkerExit.FENCED)
        return WorkerExit.FENCED

    def _asked(self) -> float | None:
        """Return how long the end that was asked for may take; None when nobody asked."""
        if self._signals.counts[signal.SIGINT]:
            return 0.0
        if self._order is not None:
            return self._order.seconds
        return float(self._brief.settings["drain_seconds"]) if self._signals.counts[signal.SIGTERM] else None

    def _drain(self, engine: DurableEngine, seconds: float, poller: select.poll) -> None:
        """Drain, and hand back at once what is left when a hasty order follows."""
        self._page.enter(self._brief.index, State.DRAINING)
        draining = threading.Thread(target=engine.drain, args=(seconds,), name="durust-drain", daemon=True)
        draining.start()
        while draining.is_alive() and self._asked() != 0.0:
            poller.poll(LOOK_SECONDS * 1000)
            self._signals.clear()
        if draining.is_alive():
            # The patient drain is left to itself: it may wait for a body that never returns.
            engine.drain(0.0)

    def _close(self, engine: DurableEngine, code: WorkerExit) -> None:
        # The database may be away now, and nothing that closing could still say is worth waiting long for.
        force_end(code, CLOSE_SECONDS)
        # From here on a beat that does not bring this executor back tells the supervisor nothing new.
        self._page.enter(self._brief.index, State.ENDING)
        engine.close(drain_seconds=0.0)
        if isinstance(self._hints, Mailbox):
            self._hints.shut()

    def _progress(self) -> Progress:
        counts = self._page.counts(self._brief.index)
        return Progress(counts.state, counts.running, counts.done, counts.failed, counts.steps)

    def _take_death(self) -> None:
        self._is_fenced.set()
        self._signals.wake()

    def _take_order(self, order: Drain) -> None:
        self._order = order
        self._signals.wake()

    def _pulse(self) -> None:
        index = self._brief.index
        while True:
            self._page.advance(index)
            with suppress(NotLaunched):
                if self._engine is not None:
                    vitals = self._engine.vitals()
                    self._page.tell(
                        index, running=vitals.running, done=vitals.done, failed=vitals.failed, steps=vitals.steps
                    )
            clock.pause(PULSE_SECONDS)

    def _watch_parent(self) -> None:
        # The supervisor says nothing after the brief, so the only thing to come is the end.
        self._lifeline.receive()
        os._exit(WorkerExit.PARENT)


def is_news(record: logging.LogRecord) -> bool:
    """Tell whether a line of the log says what the supervisor does not say once for all its workers."""
    return not (isinstance(record.args, tuple) and record.args[:1] == ("provider_away",))


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies, and end now if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(WorkerExit.PARENT)


def force_end(code: WorkerExit, seconds: float) -> None:
    """End the process by force after a while, should it not have ended by itself."""

    def force() -> None:
        clock.pause(seconds)
        os._exit(code)

    threading.Thread(target=force, name="durust-exit", daemon=True).start()


def main() -> None:
    """Run one worker."""
    parent, lifeline_fd, page_fd = (int(argument) for argument in sys.argv[1:4])
    die_with_parent(parent)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    lifeline = inherit(lifeline_fd)
    os.set_inheritable(page_fd, False)
    brief = lifeline.receive()
    if not isinstance(brief, Brief):
        os._exit(WorkerExit.PARENT)
    try:
        code = Worker(brief, lifeline, Page(page_fd)).run()
    except MemoryError:
        code = WorkerExit.MEMORY
    # A thread of the application may never return.
    force_end(code, EXIT_SECONDS)
    sys.exit(code)


if __name__ == "__main__":
    main()
