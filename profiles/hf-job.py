"""Runs on Hugging Face's machines: `llmbook runs run` as a Job, records in a bucket.

    hf auth login
    python profiles/hf-job.py gpt2-small-story --bucket NAME/llmbook --flavor a10g-small
    python profiles/hf-job.py all --smoke --bucket NAME/llmbook --dry-run

The bucket is mounted: records, executed notebooks and checkpoints are in it as soon as
they are written, and a Job that is started again continues.
"""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SETUP = """set -e
git clone --depth 1 {url} book && cd book
pip install -q -c constraints.txt -r requirements.txt -e ".[runs]"
mkdir -p /bucket/work && ln -s /bucket/work .runs
"""


def address() -> str:
    """The repository's, as `make repository` wrote it into _config.yml."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return str(config["repository"]["url"])


def job_of(given: argparse.Namespace) -> dict[str, Any]:
    """What `huggingface_hub.run_job` is given."""
    from huggingface_hub import Volume

    run = ["llmbook", "runs", "run", *given.names, *["--smoke"] * given.smoke]
    run += ["--results", "/bucket/results", "--output", "/bucket/executed"]
    script = SETUP.format(url=shlex.quote(given.repository)) + shlex.join(run)
    return {
        "image": "python:3.11",
        "command": ["bash", "-c", script],
        "flavor": given.flavor,
        "timeout": given.timeout,
        "volumes": [Volume(type="bucket", source=given.bucket, mount_path="/bucket")],
        "name": "llmbook-runs",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="of runs, or all")
    parser.add_argument("--bucket", required=True, help="OWNER/NAME, made beforehand")
    parser.add_argument("--flavor", default="a10g-small", help="the machine")
    parser.add_argument("--timeout", default="4h", help="such as 90m or 4h")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--repository", default=address(), help="its address")
    parser.add_argument("--dry-run", action="store_true", help="only print the Job")
    given = parser.parse_args(arguments)
    if not given.repository:
        parser.error("_config.yml names no repository; give --repository")
    job = job_of(given)
    if given.dry_run:
        print(
            json.dumps(job | {"volumes": [vars(v) for v in job["volumes"]]}, indent=1)
        )
        return
    from huggingface_hub import run_job

    print(run_job(**job).url)


if __name__ == "__main__":
    main()
