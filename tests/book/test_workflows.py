"""The workflows and issue forms: what is published was tested, and nothing in them has grown old unseen."""

import re
from pathlib import Path
from typing import Any

import build_site
import pytest
import repository
import yaml
from book import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted(FOLDER.glob("workflows/*.yml"))
# the first majors that run on Node 24; older ones are taken out of service in 2026
MAJORS = {
    "actions/checkout": 6,
    "actions/setup-python": 6,
    "actions/configure-pages": 6,
    "actions/upload-pages-artifact": 5,
    "actions/deploy-pages": 5,
    "actions/upload-artifact": 6,
}
USES = re.compile(r"uses: ([\w/-]+)@v(\d+)$", re.MULTILINE)

WEEKLY = re.compile(
    r"^@pytest\.mark\.weekly$|marks=pytest\.mark\.weekly\b", re.MULTILINE
)


def load(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


CI = load(FOLDER / "workflows" / "ci.yml")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_of_current_majors(path: Path) -> None:
    used = USES.findall(path.read_text(encoding="utf-8"))
    assert used
    assert len(used) == path.read_text(encoding="utf-8").count("uses:")
    assert [
        f"{name}@v{major}" for name, major in used if int(major) < MAJORS[name]
    ] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_and_files_that_workflows_name_exist(path: Path) -> None:
    steps = [s for job in load(path)["jobs"].values() for s in job.get("steps", [])]
    commands = "\n".join(step.get("run", "") for step in steps)
    named = re.findall(r"(?<![\w/])((?:\.ci|tools|tests)/[\w./-]+)", commands)
    named += re.findall(r"([\w.-]+\.txt)(?! *>)", commands)
    made = set(re.findall(r"> *([\w.-]+\.txt)", commands))
    assert commands
    assert [
        name for name in named if name not in made and not (ROOT / name).exists()
    ] == []


def test_only_what_passed_is_published() -> None:
    publish = CI["jobs"]["publish"]
    tested = {name for name in CI["jobs"] if name != "publish"}
    assert set(publish["needs"]) == tested
    assert publish["if"] == "needs.address.outputs.own == 'true'"
    deploys = [p.stem for p in WORKFLOWS if "deploy-pages" in p.read_text("utf-8")]
    assert deploys == ["ci"]
    steps = CI["jobs"]["test"]["steps"]
    runs = [at for at, step in enumerate(steps) if step.get("run") == ".ci/run"]
    uploads = [at for at, s in enumerate(steps) if "upload-pages" in s.get("uses", "")]
    assert len(runs) == len(uploads) == 1 and runs < uploads
    prints = [at for at, s in enumerate(steps) if "build_pdf" in s.get("run", "")]
    assert len(prints) == 1 and runs < prints < uploads
    assert (
        steps[uploads[0]]["with"]["path"]
        == build_site.HTML.relative_to(ROOT).as_posix()
    )
    assert not any("make book" in step.get("run", "") for step in publish["steps"])


def test_the_address_is_looked_at_before_anything_is_built() -> None:
    address = CI["jobs"]["address"]
    assert "needs" not in address
    assert address["timeout-minutes"] <= 5
    assert any("repository.py --check" in s.get("run", "") for s in address["steps"])


def test_the_library_is_tried_on_each_system_and_at_both_ends() -> None:
    rows = CI["jobs"]["library"]["strategy"]["matrix"]["include"]
    assert {row["system"].split("-")[0] for row in rows} == {
        "ubuntu",
        "macos",
        "windows",
    }
    assert {"3.11.0", "3.14"} <= {row["python"] for row in rows}
    lowest = re.search(
        r'"torch>=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8")
    )
    assert lowest and f"{lowest[1]}.0" in {row["torch"] for row in rows}


def test_there_is_a_weekly_run() -> None:
    weekly = load(FOLDER / "workflows" / "weekly.yml")
    when = weekly[True]  # YAML reads "on" as a truth value
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["schedule"][0]["cron"])
    assert {"mutants", "parameters", "newest", "pages"} <= set(weekly["jobs"])
    steps = [step for job in weekly["jobs"].values() for step in job["steps"]]
    runs = " ".join(s["run"] for s in steps if "-m weekly" in s.get("run", ""))
    marked = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if WEEKLY.search(path.read_text(encoding="utf-8"))
    ]
    assert marked and [path for path in marked if path not in runs.split()] == []


@pytest.mark.parametrize(
    "path",
    sorted(p for p in FOLDER.glob("ISSUE_TEMPLATE/*.yml") if p.stem != "config"),
    ids=lambda path: path.stem,
)
def test_an_issue_form_is_one(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= set(form)
    fields = [one for one in form["body"] if one["type"] != "markdown"]
    assert {one["type"] for one in fields} <= {
        "input",
        "textarea",
        "dropdown",
        "checkboxes",
    }
    assert all(one["attributes"]["label"] for one in fields)
    ids = [one["id"] for one in fields]
    assert len(ids) == len(set(ids))
    assert any(one.get("validations", {}).get("required") for one in fields)


@pytest.mark.parametrize("url", ["", "https://github.com/reader/gpt-book"])
def test_the_address_stands_in_readme_and_beside_the_forms(
    url: str, tmp_path: Path
) -> None:
    readme, forms = tmp_path / "README.md", tmp_path / "config.yml"
    readme.write_text((ROOT / "README.md").read_text("utf-8"), encoding="utf-8")
    repository.write_clone(readme, url)
    repository.write_forms(forms, url)
    shown = url or repository.NO_ADDRESS
    assert f"\ngit clone {shown} {repository.FOLDER}\n" in readme.read_text("utf-8")
    links = load(forms)["contact_links"]
    assert [link["url"] for link in links] == ([f"{url}/discussions"] if url else [])
    if url == build_site.repository_url():  # and so they are now
        assert readme.read_text("utf-8") == (ROOT / "README.md").read_text("utf-8")
        assert forms.read_text("utf-8") == (ROOT / repository.FORMS).read_text("utf-8")


def test_the_code_of_conduct_says_whom_to_tell() -> None:
    text = (FOLDER / "CODE_OF_CONDUCT.md").read_text(encoding="utf-8")
    assert "Tell the maintainers" in text
    for page in ("README.md", "CONTRIBUTING.md"):
        assert ".github/CODE_OF_CONDUCT.md" in (ROOT / page).read_text("utf-8")
