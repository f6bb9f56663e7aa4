"""Models by their names: those that the book ships, and those of the hub.

Not built on a page. `find_folder` gives the folder with a model's files, downloaded
first where that is needed.
"""

import os
from functools import partial
from pathlib import Path

from llmbook_utils.env import is_set
from llmbook_utils.files.datasets import DownloadError
from llmbook_utils.files.gpt2 import CONFIG, TOKENIZER, WEIGHTS

# models that are there without a network: name -> folder
SHIPPED = {"mini": Path(__file__).parents[1] / "assets/mini"}

# models to download: name -> repository on the hub
HUB = {
    name: f"openai-community/{name}"
    for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
}


def find_folder(name_or_path: str | Path, with_tokenizer: bool) -> Path:
    """The folder of a model, downloaded first where it is a name of the hub's.

    A name is a name also as a Path, unless there is such a folder. What is neither a
    name nor a folder raises FileNotFoundError, and a failed download DownloadError.
    """
    folder, name = Path(name_or_path), str(name_or_path)
    if isinstance(name_or_path, Path) and folder.is_dir():
        return folder
    if name in SHIPPED:
        return SHIPPED[name]
    if name in HUB:
        files = (CONFIG, WEIGHTS, *(TOKENIZER if with_tokenizer else ()))
        return download(name, files)
    if not folder.is_dir():
        known = ", ".join(map(repr, SHIPPED | HUB))
        raise FileNotFoundError(
            f"{name!r} is neither a model ({known}) nor a folder: there is no "
            f"folder {folder.absolute()}; check the spelling, or give the full path"
        )
    return folder


def download(name: str, files: tuple[str, ...]) -> Path:
    """The hub's cache folder with `files`, all of one version, or DownloadError."""
    # imported here: it takes a moment, and a folder needs none of it
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    # what the web client raises; another version of the hub has another client
    web_error: type[BaseException] = HfHubHTTPError.__bases__[0]
    offline, version = is_set("LLMBOOK_OFFLINE"), "main"
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    get = partial(hf_hub_download, endpoint=endpoint, local_files_only=offline)
    try:
        for file in files:
            path = get(HUB[name], file, revision=version)
            version = Path(path).parent.name  # the commit that "main" means just now
    except (OSError, web_error) as error:
        why = (
            "LLMBOOK_OFFLINE forbids downloading it; unset LLMBOOK_OFFLINE"
            if offline
            else f"{' '.join(str(error).split())}; check the connection"
        )
        raise DownloadError(
            f"{name!r} was asked for, and {file} of {HUB[name]} ({endpoint}) is not in "
            f"{constants.HF_HUB_CACHE}: {why}, or give a folder with its files; "
            "'mini' needs no network"
        ) from error
    return Path(path).parent
