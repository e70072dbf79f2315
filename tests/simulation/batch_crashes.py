"""Crash `puna batch run` at every line of its program, and cut the power there: what comes out.

Each seed is one job: a task, an input and an output format. Its process is killed as it reaches a
chosen line of the batch room, once or several times, then it is run to its end. With every other
kill the power goes too: what was written and not flushed is cut or becomes zeros, and names that
were given or taken in a folder that was not flushed since are taken back. Output and side file must
have the bytes of a run that nobody stopped, and no more rows may have been asked twice than were in
flight. `python tests/simulation/batch_crashes.py --kills 1000` prints the counts as JSON.

The command is the real one, in a fork of this process, so that a kill costs no start of Python;
what computes answers at once and writes down what it was asked.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq

import puna
from puna.batch import job, numbering, sorting
from puna.batch.job import Sizes
from puna.batch.shards import Shard
from puna.batch.spec import Kind
from puna.batch.workers.worker import Answer
from puna.cli import batch_run
from puna.cli.main import main as puna_main
from tests.batch.stage import EchoWorker
from tests.batch.test_lessons import answer as painted, texts as painted_texts

if TYPE_CHECKING:
    from _typeshed import TraceFunction

SHARD, PLACES = 8, 2
_PROGRAM = Path(puna.__file__).parent
_TRACED = (str(_PROGRAM / "batch"), str(_PROGRAM / "library/disk.py"))
_MOST_KILLS = 4
Line = tuple[str, int]


@dataclass(frozen=True)
class Scene:
    """What a job is to do."""

    source: str
    output: str
    words: tuple[str, ...]
    is_painted: bool = False


SCENES = (
    Scene("rows.csv", "out.csv", ("--labels", "animal,plant,thing")),
    Scene("rows.jsonl", "out.jsonl", ("--labels", "red,green", "--multi")),
    Scene("rows.csv", "out.parquet", ("--prompt", "Say {{ text }} of {{ id }}")),
    Scene("rows.jsonl", "out.jsonl.gz", ("--prompt", "{{ text }}", "--schema", "schema.json")),
    Scene("rows.parquet", "out.parquet", ("--embed", "--column", "text")),
    Scene("rows.parquet", "out.csv", ("--labels", "animal,plant,thing", "--abstain-below", "0.4")),
    Scene("rows.txt", "out.tsv", ("--labels", "animal,plant,thing")),
    Scene(
        "painted.csv",
        "out.csv",
        ("--labels", "red,green,blue", "--cascade", "0.9"),
        is_painted=True,
    ),
)
_USUAL_SCENES = len(SCENES) - 1


@dataclass
class Counts:
    """What came of all jobs."""

    jobs: int = 0
    kills: int = 0
    power_cuts: int = 0
    same_bytes: int = 0
    same_side_file: int = 0
    lost_rows: int = 0
    asked_again: int = 0
    most_allowed: int = 0
    """Rows that were in flight at the kills, at most."""
    lines: int = 0
    """Lines of the program that a job passes."""
    lines_hit: int = 0
    failed: list[str] = field(default_factory=list)


class LoggingWorker(EchoWorker):
    """Answers from the text alone, and writes down what it was asked."""

    def __init__(self, log: Path, *, is_painted: bool) -> None:
        super().__init__("logging", places=PLACES)
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._is_painted = is_painted

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        os.write(self._log, "".join(f"{text!a}\n" for text in shard.texts).encode())
        if self._is_painted:
            return [painted(text) for text in shard.texts]
        return await super().compute(shard)


@dataclass
class Tracer:
    """Counts the lines that are passed, and kills this process at one of them."""

    line: Line | None = None
    turn: int = 1
    """At which of its passes."""
    passed: Counter[Line] = field(default_factory=Counter)

    def begin(self) -> None:
        threading.settrace(self.enter)
        sys.settrace(self.enter)

    def enter(self, frame: FrameType, event: str, _: object) -> "TraceFunction | None":
        """Look at a function if it is of the batch room."""
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(_TRACED):
            return None
        return self.look if self.line is None or self.line[0] == name else None

    def look(self, frame: FrameType, event: str, _: object) -> "TraceFunction | None":
        """Count a line; end everything at the chosen one."""
        if event == "line":
            here = (frame.f_code.co_filename, frame.f_lineno)
            self.passed[here] += 1
            if here == self.line and self.passed[here] == self.turn:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.look


class Disk:
    """Notes what a process flushes and which names it changes, and takes back what may be lost."""

    def __init__(self, folder: Path) -> None:
        self._kept = folder / "kept"
        self._kept.mkdir(exist_ok=True)
        self._log = folder / "disk.log"

    def begin(self) -> None:
        """Note everything from here on, in this process."""
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        fsync, rename, unlink = os.fsync, os.rename, os.unlink
        lock = threading.Lock()

        def note(*words: object) -> None:
            os.write(log, (json.dumps(words) + "\n").encode())

        def keep(path: object) -> str:
            kept = self._kept / f"{os.getpid()}-{len(list(self._kept.iterdir()))}"
            try:
                os.link(str(path), kept)
            except OSError:
                return ""
            return kept.name

        def noted_fsync(file: int) -> None:
            state = os.fstat(file)
            fsync(file)
            note("flushed", state.st_ino, state.st_size)

        def noted_move(source: object, target: object, **_: object) -> None:
            with lock:
                note("moved", str(source), str(target), keep(target), _folder(target))
                rename(str(source), str(target))

        def noted_unlink(path: object, **_: object) -> None:
            with lock:
                note("removed", str(path), "", keep(path), _folder(path))
                unlink(str(path))

        moves = {"rename": noted_move, "replace": noted_move}
        removals = {"unlink": noted_unlink, "remove": noted_unlink}
        for name, noted in {"fsync": noted_fsync, **moves, **removals}.items():
            setattr(os, name, noted)

    def cut_power(self, places: Sequence[Path], dice: random.Random) -> None:
        """Leave what the notes say is on the disk, and of all else some."""
        notes = [json.loads(line) for line in self._log.read_text().splitlines()]
        open_moves: list[list[str]] = []
        flushed: dict[int, int] = {}
        for kind, *words in notes:
            if kind == "flushed":
                flushed[words[0]] = words[1]
                open_moves = [each for each in open_moves if each[4] != words[0]]
            else:
                open_moves.append([kind, *words])
        lost = open_moves[dice.randint(0, len(open_moves)) :]
        for kind, source, target, kept, _ in reversed(lost):
            self._take_back(kind, Path(source), Path(target), kept)
        found = [each for place in places for each in place.rglob("*") if each.is_file()]
        for path in found:
            _cut(path, flushed.get(path.stat().st_ino, 0), dice)
        states = [each.stat() for each in found]
        there = [json.dumps(["flushed", each.st_ino, each.st_size]) for each in states]
        self._log.write_text("".join(f"{line}\n" for line in there))

    def _take_back(self, kind: str, source: Path, target: Path, kept: str) -> None:
        path = source if kind == "removed" else target
        if kind == "moved" and target.exists():
            target.rename(source)
        if kept and not path.exists() and path.parent.exists():
            os.link(self._kept / kept, path)


def _folder(path: object) -> int:
    return Path(str(path)).parent.stat().st_ino


def _cut(path: Path, flushed: int, dice: random.Random) -> None:
    size = path.stat().st_size
    if size <= flushed:
        return
    end = dice.randint(flushed, size)
    with path.open("r+b") as file:
        file.truncate(end)
        if dice.random() < 0.5:
            file.truncate(size)  # zeros where nothing came to the disk


class Place:
    """One job's files."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        folder.mkdir()
        self.folder, self.scene = folder, scene
        self.home, self.results = folder / "home", folder / "results"
        self.results.mkdir()
        self.output = self.results / scene.output
        self.log = folder / "asked.log"
        self.disk = Disk(folder)
        write_inputs(folder)

    def run(self) -> None:
        """Do the job, or what is left of it."""
        os.chdir(self.folder)
        os.environ |= {"PUNA_HOME": str(self.home), "PUNA_ENGINE": "scripted", "LANG": "C"}
        worker = LoggingWorker(self.log, is_painted=self.scene.is_painted)
        setattr(batch_run, "workers_for", lambda *_: [worker])  # noqa: B010 - another module's
        if not self.scene.is_painted:
            job._SIZES.update(dict.fromkeys(Kind, Sizes(SHARD, SHARD)))
            sorting._BLOCK, sorting._SAMPLES, numbering._SPAN = 400, 64, 32
        words = ["batch", "run", self.scene.source, "-o", str(self.output), "-m", "m"]
        sys.argv = ["puna", *words, *self.scene.words]
        puna_main()

    @property
    def asked(self) -> list[str]:
        """Every row that was asked, as often as it was."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def side_file(self) -> bytes:
        """The rows without an answer."""
        path = self.output.with_name(f"{self.output.name}.bad.jsonl")
        content = path.read_bytes() if path.exists() else b""
        return content.replace(str(self.folder).encode(), b"")


def write_inputs(folder: Path) -> None:
    """Write the same rows in every format: some repeat, some are bad, some are refused."""
    texts = [f"row {n * 7 % 61}" for n in range(90)]
    texts[5], texts[40], texts[77] = "", "refuse this", " Zażółć  gęślą "
    lines = [json.dumps({"id": n, "text": text}) for n, text in enumerate(texts)]
    (folder / "rows.jsonl").write_text("\n".join([*lines, "{bad", ""]))
    table = "".join(f'{n},"{text}"\n' for n, text in enumerate(texts))
    (folder / "rows.csv").write_bytes(b"id,text\n" + table.encode() + b'91,\xff\n92,5" pipe\n')
    (folder / "rows.txt").write_text("\n".join(texts))
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), folder / "rows.parquet")
    shape = {"type": "object", "properties": {"n": {"type": "integer"}, "word": {}}}
    (folder / "schema.json").write_text(json.dumps(shape))
    painted_rows = "".join(f"{n},{text}\n" for n, text in enumerate(painted_texts()))
    (folder / "painted.csv").write_text(f"id,text\n{painted_rows}")


def forked(work: Callable[[], None], folder: Path) -> bool:
    """Do work in a fork; tell whether it came to its end. Raises `RuntimeError` if it failed."""
    child = os.fork()
    if not child:
        said = os.open(folder / "said.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        try:
            work()
        except SystemExit as end:
            os._exit(int(end.code or 0))
        except BaseException as error:  # noqa: BLE001 - the fork must end here, whatever happens
            print(repr(error), file=sys.stderr, flush=True)  # noqa: T201
            os._exit(70)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        words = (folder / "said.log").read_text().splitlines()
        raise RuntimeError(" | ".join(words[-3:]))
    return True


class Whole:
    """A run that nobody stopped: what comes out, and which lines it passes."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.place = Place(folder, scene)
        passed = folder / "lines.json"

        def survey() -> None:
            tracer = Tracer()
            tracer.begin()
            try:
                self.place.run()
            finally:
                sys.settrace(None)
                passed.write_text(json.dumps([[*line, n] for line, n in tracer.passed.items()]))

        forked(survey, folder)
        self.lines = {(name, line): n for name, line, n in json.loads(passed.read_text())}
        self.asked = set(self.place.asked)


class Play:
    """Jobs that crash, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wholes: dict[Scene, Whole] = {}
        self._left: dict[Line, None] = {}
        self._seen: set[Line] = set()
        self.counts = Counts()

    def play(self, *, kills: int, first_seed: int) -> Counts:
        """Run jobs until so many kills have hit."""
        seed = first_seed
        while self.counts.kills < kills:
            self._play_one(seed)
            seed += 1
        hit = self._seen - self._left.keys()
        self.counts.lines, self.counts.lines_hit = len(self._seen), len(hit)
        return self.counts

    def _whole(self, scene: Scene) -> Whole:
        if scene not in self._wholes:
            folder = self._folder / f"whole{len(self._wholes)}"
            self._wholes[scene] = whole = Whole(folder, scene)
            self._left |= dict.fromkeys(sorted(whole.lines.keys() - self._seen))
            self._seen |= whole.lines.keys()
        return self._wholes[scene]

    def _play_one(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - chance that repeats
        whole = self._whole(SCENES[seed % _USUAL_SCENES] if seed % 12 else SCENES[-1])
        place = Place(self._folder / f"job{seed}", whole.place.scene)
        counts, kills = self.counts, 0
        try:
            for line, turn in self._crashes(whole, dice):
                if forked(lambda: self._crash(place, line, turn), place.folder):  # noqa: B023 - run at once
                    break
                kills += 1
                self._left.pop(line, None)
                if dice.random() < 0.5:
                    place.disk.cut_power([place.home, place.results], dice)
                    counts.power_cuts += 1
            else:
                forked(place.run, place.folder)
        except RuntimeError as error:
            counts.failed.append(f"seed {seed}: {error}")
        counts.jobs += 1
        counts.kills += kills
        self._check(place, whole, kills, seed)
        shutil.rmtree(place.folder)

    def _crashes(self, whole: Whole, dice: random.Random) -> Iterator[tuple[Line, int]]:
        """Yield where to crash: at lines that were not hit yet, as long as there are some."""
        for _ in range(dice.randint(1, _MOST_KILLS)):
            fresh = [line for line in self._left if line in whole.lines]
            line = dice.choice(fresh or sorted(whole.lines))
            yield line, dice.randint(1, whole.lines[line])

    def _crash(self, place: Place, line: Line, turn: int) -> None:
        place.disk.begin()
        Tracer(line, turn).begin()
        try:
            place.run()
        finally:
            sys.settrace(None)

    def _check(self, place: Place, whole: Whole, kills: int, seed: int) -> None:
        counts = self.counts
        unbroken = whole.place
        is_there = place.output.exists()
        same = is_there and place.output.read_bytes() == unbroken.output.read_bytes()
        counts.same_bytes += same
        counts.same_side_file += place.side_file == unbroken.side_file
        asked = place.asked
        again = len(asked) - len(set(asked))
        counts.lost_rows += len(whole.asked - set(asked))
        counts.asked_again += again
        rows = 255 if place.scene.is_painted else SHARD
        counts.most_allowed += kills * PLACES * rows * (4 if place.scene.is_painted else 1)
        left = [each.name for each in place.results.iterdir() if each.name.startswith(".")]
        if not same or left or place.side_file != unbroken.side_file:
            counts.failed.append(f"seed {seed}: same bytes {same}, left behind {left}")


def main() -> int:
    """Play and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = Play(Path(folder)).play(kills=asked.kills, first_seed=asked.seed)
    print(json.dumps(vars(counts)))  # noqa: T201
    good = not counts.failed and not counts.lost_rows
    return 0 if good and counts.asked_again <= counts.most_allowed else 1


if __name__ == "__main__":
    sys.exit(main())
