"""Contestants in processes of their own, asked in turn, and what their answers come to: medians, ratios of medians, spread."""
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

# A library's own choice is the one that its users get; one forced from outside (for another processor, say) is not.
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_DEBUG_CPU_TYPE", "OMP_NUM_THREADS", "RAYON_NUM_THREADS")


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name not in FORCED}
    return kept | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "OPENVINO_TELEMETRY": "0"} | more


def process_clock(pid):
    """Seconds of CPU time of all threads of a process (children apart): Linux's clock of another process."""
    return time.clock_gettime((~pid << 3) | 2)


class Contestant:
    """One process that answers requests (contestants/protocol.py). `missing` says why there is none."""

    def __init__(self, name, command, **env):
        self.name, self.facts, self.missing = name, {}, None
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment(**env), text=True)
        self.complaints = []
        threading.Thread(target=lambda: self.complaints.extend(self.process.stderr), daemon=True).start()
        self.facts = self._answer().get("ready", {})

    def _answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it ended: " + " ".join(self.complaints[-1:]).strip()}
        if "error" in answer:
            self.missing = answer["error"].splitlines()[0]
            print(f"  {self.name}: {self.missing}", file=sys.stderr)
            self.close()
        return answer

    def ask(self, request):
        """The answer, with "wall" and "cpu" in seconds."""
        before = process_clock(self.process.pid)
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        if "error" not in answer:
            answer.setdefault("cpu", process_clock(self.process.pid) - before)
        return answer

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Command:
    """A contestant that is a program run anew for each request: `command(request)` is its argument list."""

    def __init__(self, name, command, before=lambda request: None):
        self.name, self.command, self.before, self.facts, self.missing = name, command, before, {}, None

    def ask(self, request):
        self.before(request)
        return run(self.command(request))

    def close(self):
        pass


def run(command, cwd=None, watch=False):
    """Runs a program to its end: wall and CPU seconds (children that it waited for among them) and, with `watch`, peak memory of all of them together.
    To watch takes an eighth of a core, so that the clock of a run that is watched counts for nothing."""
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    with Memory(process.pid) if watch else contextlib.nullcontext() as memory:
        complaint = process.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}: {complaint[-2000:]}")
    answer = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "stderr": complaint}
    return answer | ({"peak": max(memory.peak, usage.ru_maxrss * 1024)} if watch else {})


class Memory:
    """The largest memory of a process and its descendants, in bytes: proportional set size, so that what they share counts once."""

    def __init__(self, pid, every=0.1):
        self.pid, self.every, self.peak, self.over = pid, every, 0, threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.watcher.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.watcher.join()

    def _watch(self):
        while not self.over.wait(self.every):
            self.peak = max(self.peak, sum(map(proportional, family(self.pid))))


def family(pid):
    """A process and its descendants."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):  # it ended meanwhile
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found


def proportional(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


@dataclasses.dataclass
class Series:
    """What one contestant needed, round by round, in seconds."""
    name: str
    wall: list
    cpu: list

    def median(self, clock="wall"):
        return statistics.median(getattr(self, clock))


def alternate(contestants, request, rounds, warm_up=1, patience=None):
    """Asks each in turn, round after round, each round from another one on; the first `warm_up` rounds do not count. A contestant that fails, or needs
    more than `patience` seconds though it is warm, leaves the race. Returns {name: Series} and {name: last answer}."""
    series, last = {}, {}
    for number in range(-warm_up, rounds):
        racing = [c for c in contestants if c.missing is None]
        first = number % max(len(racing), 1)
        for contestant in racing[first:] + racing[:first]:
            answer = contestant.ask(request(contestant) if callable(request) else request)
            if "error" in answer:
                series.pop(contestant.name, None)
            elif number >= 0:
                found = series.setdefault(contestant.name, Series(contestant.name, [], []))
                found.wall.append(answer["wall"])
                found.cpu.append(answer.get("cpu", float("nan")))
                last[contestant.name] = answer
                if patience and answer["wall"] > patience:
                    contestant.missing = f"left out after a round of {answer['wall']:.0f} s"
    return series, last


@dataclasses.dataclass
class Ratio:
    """How many times longer `theirs` took: the ratio of the medians, and the least and largest of the rounds' own ratios."""
    median: float
    least: float
    largest: float

    def __str__(self):
        return f"{self.median:.2f} ({self.least:.2f}-{self.largest:.2f})"


def ratio(theirs, ours, clock="wall"):
    rounds = [a / b for a, b in zip(getattr(theirs, clock), getattr(ours, clock))]
    return Ratio(theirs.median(clock) / ours.median(clock), min(rounds), max(rounds))


def fastest(series, ours, clock="wall"):
    """The peer of the smallest median."""
    peers = [s for name, s in series.items() if name != ours]
    return min(peers, key=lambda s: s.median(clock), default=None)
