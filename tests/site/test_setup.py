"""The commands and the lists of what they install: each target is explained, each list agrees with the others."""

import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import serve
from build_site import ROOT
from packaging.requirements import Requirement

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def requirements(name: str) -> dict[str, Requirement]:
    """The requirements in a file, and in those that it includes, by normalized name."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= requirements(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            found[re.sub(r"[-_.]+", "-", requirement.name).lower()] = requirement
    return found


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # as from a shell: under `make test` it would think itself a part of that run
    env = {
        key: value for key, value in os.environ.items() if not key.startswith("MAKE")
    }
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env=env
    )


def test_make_alone_lists_every_command() -> None:
    commands = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    lines = make().stdout.splitlines()
    assert [line.split()[0] for line in lines] == commands
    assert all(len(line.split()) >= 4 for line in lines)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder in which nothing is installed yet."""
    for name in ("Makefile", "requirements.txt", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def test_an_old_python_is_refused_by_name(bare: Path) -> None:
    old = bare / "python3.9"
    code = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[2])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    old.chmod(0o755)
    done = make("book", "PYTHON=./python3.9", folder=bare)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and ./python3.9 is 3.9" in done.stderr


def test_a_missing_python_is_named(bare: Path) -> None:
    done = make("book", "PYTHON=no-such-python", folder=bare)
    assert done.returncode != 0
    assert "no-such-python was not found; install Python 3.11 or newer" in done.stdout


def test_the_library_s_own_needs_are_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    names = {
        re.sub(r"[-_.]+", "-", Requirement(line).name).lower()
        for line in project["dependencies"]
    }
    assert names <= set(requirements("requirements.txt"))


def test_everything_that_is_installed_has_its_version_in_the_constraints() -> None:
    pinned = requirements("constraints.txt")
    assert all(
        str(requirement.specifier).startswith("==") for requirement in pinned.values()
    )
    for name, requirement in requirements("requirements-dev.txt").items():
        assert name in pinned
        assert requirement.specifier.contains(str(pinned[name].specifier)[2:])


def test_a_taken_port_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            SystemExit, match=rf"port {port} is taken .* make serve PORT={port + 1}"
        ):
            serve.start(port, "/")
