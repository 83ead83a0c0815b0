"""Draw cases, have model and kernel trace them, count, and show the smallest case of each disagreement."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from flannelviz.dataplane.trace import destination_address
from flannelviz.errors import FlannelvizError, LabError, WiringError
from flannelviz.kernel import Lab, why_not
from flannelviz.kernel.ledger import ledger_lines
from flannelviz.tables import CNI0
from prove.case import Case, Compared, compared, tries
from prove.draw import PACKETS, case
from prove.paste import pasted
from prove.shrink import smallest
from prove.tally import Tally, lines

AGAIN = 6  # times that a case with a disagreement is asked once more, until each lot has fallen as before
EACH = 500  # packets after which a run without a terminal says how far it has come
LOOK_UP = 0.2  # seconds after which the main thread sees an interrupt at the latest
MOST_LOST = 3  # labs that may fail before a run is given up
SHOWN = 3  # disagreements of one run that are shrunk; each takes about a minute
AGREED, DISAGREED, NO_LAB, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A case, cut off behind the first packet that model and kernel do not agree on, and how they differ."""

    number: int
    case: Case
    differences: tuple[str, ...]


@dataclass(slots=True)
class Run:
    """A run as it goes: what is counted, what was found, and whether to stop."""

    seed: int
    tally: Tally
    found: list[Disagreement]
    lost: dict[int, str]  # the numbers of cases for which there was no lab, and why
    stop: threading.Event
    lock: threading.Lock
    told: int = 0  # packets, when it was last said how far this has come

    @classmethod
    def of(cls, seed: int) -> Run:
        """Return a run of which nothing is done yet."""
        return cls(seed, Tally(), [], {}, threading.Event(), threading.Lock())

    def one(self, number: int, packets: int) -> None:
        """Draw case `number`, have its first packets compared, and count."""
        if self.stop.is_set():
            return
        drawn = case(self.seed, number)
        drawn = replace(drawn, packets=drawn.packets[:packets])
        try:
            first = self._results(drawn)
            results = self._asked_again(drawn, first)
        except WiringError as error:
            with self.lock:
                self.found.append(Disagreement(number, replace(drawn, packets=drawn.packets[:1]), (str(error),)))
            return
        except LabError as error:
            self._lose(number, error)
            return
        helped = sum(bool(a.differences) and not b.differences for a, b in zip(first, results))
        with self.lock:
            self.tally.note(drawn, results, helped)
            self.found.extend(_disagreements(number, drawn, results))

    def _lose(self, number: int, error: LabError) -> None:
        """Note a case for which there was no lab, and give up after a few of them."""
        with self.lock:
            self.lost[number] = str(error)
            if len(self.lost) >= MOST_LOST:
                self.stop.set()

    def _asked_again(self, drawn: Case, first: list[Compared]) -> list[Compared]:
        """Return the results after doubtful ones were asked again: what then agrees, with the same lots, is forgiven.

        Doubtful is only what a lot was drawn for: to know why a packet died in silence a lab sends it again, and a
        Service may send each another way. Without a lot the kernel does the same each time, and nothing is forgiven.
        """
        results = list(first)
        doubtful = {number for number, one in enumerate(first) if one.differences and one.is_repeatable}
        for _ in range(AGAIN):
            if not doubtful or self.stop.is_set():
                break
            for number, again in enumerate(self._results(drawn)):
                if number in doubtful and first[number].is_repeated_by(again):
                    doubtful.remove(number)
                    results[number] = min((first[number], again), key=lambda one: len(one.differences))
        return results

    def _results(self, drawn: Case) -> list[Compared]:
        """Return what came of a case, or of its beginning if the run is stopped meanwhile."""
        network, found = drawn.network(), []
        with Lab(network) as lab:
            _check_plugins(drawn, lab)
            for one in compared(network, lab, drawn.packets):
                found.append(one)
                if self.stop.is_set():
                    break
        return found


def _check_plugins(drawn: Case, lab: Lab) -> None:
    """Do nothing if the plugins made a healthy network as its tables say; Terway's pods are wired by the lab itself.

    Raises: WiringError if the lab had to change an address or a route of a pod, or of cni0.
    """
    if drawn.faults or drawn.extras or drawn.plan.cni == "terway":
        return
    wrong = [line for line in lab.mended if f"dev {CNI0}" in line or line.partition(": ")[0] in lab.network.pods]
    if wrong:
        raise WiringError(f"what the plugins make is not what the tables say, it takes {', '.join(wrong)}")


def _disagreements(number: int, drawn: Case, results: list[Compared]) -> Iterator[Disagreement]:
    """Return the first disagreement of a case, if there is one: those behind it often follow from it."""
    for count, one in enumerate(results, 1):
        if one.differences:
            yield Disagreement(number, replace(drawn, packets=drawn.packets[:count]), one.differences)
            return


def differences(drawn: Case) -> tuple[str, ...]:
    """Return how model and kernel differ about the last packet of a case; none if the case cannot be.

    Shape: where lots are drawn, the packets are sent until they differ, so often that no endpoint is missed.
    """
    try:
        network = drawn.network()
        for sent in drawn.packets:
            network.place(sent.source)
            destination_address(network, sent.destination)
        often = range(tries(network, drawn.packets))
        with Lab(network) as lab:
            _check_plugins(drawn, lab)
            last = (list(compared(network, lab, drawn.packets))[-1] for _ in often)
            return next((one.differences for one in last if one.differences), ())
    except WiringError as error:
        return (str(error),)
    except FlannelvizError:
        return ()


def shrunk(found: Disagreement, stop: threading.Event | None = None) -> Disagreement:
    """Return the smallest case that shows a disagreement, and what that one is."""
    small = smallest(found.case, lambda one: not (stop and stop.is_set()) and bool(differences(one)))
    return replace(found, case=small, differences=differences(small) or found.differences)


# --- the command -----------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0 if all agree, 1 if not, 2 where no lab runs, 130 after an interrupt."""
    options = _parsed(arguments)
    run, started = Run.of(options.seed), time.monotonic()
    try:
        reason = why_not()
        if reason is not None:
            print(f"prove: {reason}", file=sys.stderr)
            return NO_LAB
        if options.case is None:
            run_all(run, options.packets, options.jobs)
        else:
            run.one(options.case, PACKETS)
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    _report(run, time.monotonic() - started, interrupted)
    if interrupted:
        _name(run, "disagreements", run.found)
        return INTERRUPTED
    if run.found:
        return _show(run)
    return NO_LAB if run.lost else AGREED


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m prove", description=__doc__)
    parser.add_argument("packets", nargs="?", type=int, default=1000, help="how many packets are compared (1000)")
    parser.add_argument("--seed", type=int, default=1, help="the lot; the same one draws the same cases (1)")
    parser.add_argument("--case", type=int, help="the number of one case, to be run alone")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="labs at once (2)")
    options = parser.parse_args(arguments)
    if options.packets < 1 or options.jobs < 1:
        parser.error("packets and jobs are whole numbers from 1 on")
    return options


def run_all(run: Run, packets: int, jobs: int) -> None:
    """Run as many cases as it takes, some at once; an interrupt stops them at their next packet.

    Each thread takes the next case for itself, so that the pool is given its work once, before the first packet.
    """
    wanted = iter([(number, min(PACKETS, packets - PACKETS * number)) for number in range(-(-packets // PACKETS))])

    def work() -> None:
        for number, few in wanted:
            run.one(number, few)
            with run.lock:
                _progress(run, packets)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            _wait_for([pool.submit(work) for _ in range(jobs)])
        except BaseException:
            run.stop.set()
            raise
        finally:
            _progress(run, 0)


def _wait_for(jobs: list[Future[None]]) -> None:
    """Wait until all jobs are done; looking up now and then, as an interrupt wakes no thread that is about to wait.

    Raises: what a job raises.
    """
    left = set(jobs)
    while left:
        done, left = wait(left, LOOK_UP)
        for job in done:
            job.result()


def _progress(run: Run, packets: int) -> None:
    """Write how far a run has come: on one line of a terminal, which 0 packets clear, elsewhere a line now and then."""
    text = f"{run.tally.packets:,} of {packets:,} packets, {len(run.found)} networks disagree" if packets else ""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif packets and run.tally.packets >= run.told + EACH:
        run.told = run.tally.packets
        print(text, file=sys.stderr, flush=True)


def _report(run: Run, seconds: float, interrupted: bool) -> None:
    if interrupted:
        print("interrupted; so far:")
    for line in lines(run.tally):
        print(line)
    print(f"seed {run.seed}, {seconds:.0f} s", flush=True)
    for number, why in sorted(run.lost.items()):
        print(f"prove: no lab for --seed {run.seed} --case {number}: {why}", file=sys.stderr)
    print(*ledger_lines(), sep="\n")


def _show(run: Run) -> int:
    """Print the disagreements: the first few as test cases of the smallest size, the others by their number.

    Shape: after an interrupt the one at hand is among the others.
    """
    rest, status = list(run.found), DISAGREED
    try:
        for found in run.found[:SHOWN]:
            small = shrunk(found)
            print(f"\n# python -m prove --seed {run.seed} --case {found.number}\n")
            print(pasted(small.case, f"case_{run.seed}_{found.number}", small.differences), flush=True)
            rest.remove(found)
    except KeyboardInterrupt:
        print("\ninterrupted while a disagreement was shrunk")
        status = INTERRUPTED
    _name(run, "more of them", rest)
    return status


def _name(run: Run, what: str, found: list[Disagreement]) -> None:
    """Print the numbers of disagreements that are not shown."""
    if found:
        numbers = ", ".join(str(one.number) for one in found)
        print(f"\n{what}, each by python -m prove --seed {run.seed} --case NUMBER: {numbers}")
