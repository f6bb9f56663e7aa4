"""Break the book's code in one place at a time, and see whether the tests notice.

    python tools/mutants.py [--only WORDS] [--jobs N] [--table tests/mutants.md]

mutants.toml lists the breaks: a file, a text that occurs in it once, what stands there
instead, and the tests that must fail. Each is made in a copy of the repository; before,
the tests pass there as it is. The exit code is 1 where a mutant survives.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tools" / "mutants.toml"
LONGEST = 1800  # seconds; what takes longer has noticed an endless loop


@dataclass(frozen=True)
class Mutant:
    """One line of the code, broken."""

    about: str  # what the reader would meet
    file: str
    old: str  # occurs in the file exactly once
    new: str
    tests: tuple[str, ...]  # files or node ids

    def fault(self, root: Path) -> str | None:
        """Why the row cannot be used as it is, or None."""
        text = (
            (root / self.file).read_text("utf-8") if (root / self.file).exists() else ""
        )
        if (times := text.count(self.old)) != 1:
            return f"{self.file} holds {self.old!r} {times} times; expected once"
        for test in self.tests:
            path, _, name = test.partition("::")
            if not (root / path).is_file():
                return f"there is no {path}"
            if f"def {name}(" not in (root / path).read_text("utf-8") and name:
                return f"{path} has no {name}"
        return None


def read_mutants() -> list[Mutant]:
    rows = tomllib.loads(TABLE.read_text("utf-8"))["mutant"]
    return [Mutant(**row | {"tests": tuple(row["tests"])}) for row in rows]


def copy_tree(to: Path) -> Path:
    """Copy what git has, and what it would not ignore, into a new folder."""
    command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def run_tests(root: Path, tests: Iterable[str]) -> tuple[bool, str]:
    """Whether all tests pass in a copy, and what they said."""
    environment = os.environ | {"PYTHONPATH": str(root), "TQDM_DISABLE": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests]
    try:
        run = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return False, f"no end within {LONGEST} seconds"
    if run.returncode not in (0, 1):  # 1: tests failed; others: they could not be run
        raise RuntimeError(f"{' '.join(command)} did not run:\n{run.stdout}")
    return run.returncode == 0, run.stdout


@contextmanager
def broken(root: Path, mutant: Mutant) -> Iterator[None]:
    """The copy with the mutant in it."""
    path = root / mutant.file
    text = path.read_text("utf-8")
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    try:
        yield
    finally:
        path.write_text(text, "utf-8")


def first_failure(said: str) -> str:
    """The test that noticed."""
    # more than one space: the log of a library
    lines = [line for line in said.splitlines() if re.match(r"(FAILED|ERROR) \S", line)]
    if not lines:
        return said.strip().splitlines()[-1]
    return lines[0].partition(" ")[2].partition(" - ")[0].partition("[")[0]


def table(results: list[tuple[Mutant, bool, str]]) -> str:
    """The outcome as Markdown."""
    killed = sum(noticed for _, noticed, _ in results)
    lines = [
        "# Mutants\n",
        "Each row breaks one line of the code; a test must notice. Made by "
        f"`tools/mutants.py`: {killed} of {len(results)} are noticed.\n",
        "| file | what breaks | noticed by |",
        "|---|---|---|",
    ]
    for mutant, noticed, how in results:
        file, by = mutant.file.removeprefix("llmbook_utils/"), f"`{how}`"
        lines.append(
            f"| {file} | {mutant.about} | {by if noticed else '**nothing**'} |"
        )
    return "\n".join(lines) + "\n"


def judge(mutants: list[Mutant], jobs: int) -> list[tuple[Mutant, bool, str]]:
    """Run each mutant in one of `jobs` copies; RuntimeError where the tests fail as is."""
    if not mutants:
        return []
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for i in range(jobs):
            copies.put(copy_tree(Path(folder) / str(i)))
        tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
        good, said = run_tests(Path(folder) / "0", tests)
        if not good:
            raise RuntimeError(f"tests fail without any mutant:\n{said}")

        def one(mutant: Mutant) -> tuple[Mutant, bool, str]:
            root = copies.get()
            with broken(root, mutant):
                survived, said = run_tests(root, mutant.tests)
            copies.put(root)
            how = "" if survived else first_failure(said)
            print("SURVIVED" if survived else "killed  ", mutant.about, how, flush=True)
            return mutant, not survived, how

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, mutants))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="words of a file or of what breaks")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", type=Path, help="write the outcome as Markdown")
    given = parser.parse_args()
    chosen = [m for m in read_mutants() if given.only in f"{m.file} {m.about}"]
    if faults := [fault for mutant in chosen if (fault := mutant.fault(ROOT))]:
        sys.exit("\n".join(faults))
    results = judge(chosen, given.jobs)
    if given.table:
        given.table.write_text(table(results), "utf-8")
    survivors = [mutant.about for mutant, noticed, _ in results if not noticed]
    print(f"{len(results) - len(survivors)} of {len(results)} mutants are noticed")
    if survivors:
        sys.exit("\n".join(["nothing notices:", *survivors]))


if __name__ == "__main__":
    main()
