"""Make what a teacher hands out, into _build/course: `make course`. Everything is derived from the pages."""

import argparse
from pathlib import Path

import build_assignments
import build_quizzes
import build_slides
from exercise_cells import ROOT

FOLDER = ROOT / "_build" / "course"


def build(
    folder: Path = FOLDER, *, seed: int = build_assignments.SEED
) -> dict[str, int]:
    """Make all parts of the course; how many files or folders each has."""
    return {
        "quizzes": len(build_quizzes.build(folder / "quizzes")),
        "assignments": len(build_assignments.build(folder / "assignments", seed=seed)),
        "slides": len(build_slides.build(folder / "slides")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument(
        "--seed",
        type=int,
        default=build_assignments.SEED,
        help="of the hidden tests' data",
    )
    given = parser.parse_args()
    for name, count in build(given.folder, seed=given.seed).items():
        what = "decks of slides" if name == "slides" else name
        print(f"{count} {what} are in {given.folder / name}")


if __name__ == "__main__":
    main()
