"""The adapters of one model: which is in its weights, and how a page gets them.

A page's own are in `web/engine/adapter.js`. Not built on a page.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from llmbook_utils.files.adapter import SHIPPED, WEIGHTS, find_adapter, read_adapter
from llmbook_utils.lora import load_adapter, merge, remove_lora, unmerge
from llmbook_utils.model import GPTModel
from llmbook_utils.widgets.weights import published


@functools.cache
def adapter_files() -> dict[str, bytes]:
    """The files of the shipped adapters as the site has them, by their names there."""
    folders = sorted(path.parent for path in SHIPPED.glob(f"*/{WEIGHTS}"))
    return {
        f"adapters/{folder.name}.safetensors": (folder / WEIGHTS).read_bytes()
        for folder in folders
    }


@functools.cache
def describe_adapter(name: str) -> dict[str, Any]:
    """What a page needs to load a shipped adapter."""
    file = f"adapters/{name}.safetensors"
    about = published(file, adapter_files()[file])
    return {**about, "alpha": read_adapter(SHIPPED / name).alpha}


class Adapters:
    """Swaps adapters in the weights of a model; taken out, the base is as it was."""

    def __init__(self, model: GPTModel):
        self.model = model
        self.worn: str | None = None
        self.heads: dict[str, nn.Linear] = {}  # those that adapters brought

    def classes(self, name: str) -> int:
        """How many classes the head of an adapter has; 0 for none."""
        head = read_adapter(find_adapter(name)).head
        return len(head["weight"]) if head else 0

    def wear(self, name: str | None) -> None:
        """Put an adapter into the weights, or with None none.

        The model keeps its own head. An unknown one raises FileNotFoundError, and
        nothing is changed.
        """
        if name == self.worn:
            return
        if name is not None:
            find_adapter(name)
        if self.worn is not None:
            unmerge(self.model)
            remove_lora(self.model)
            self.worn = None
        if name is not None:
            own = self.model.head
            load_adapter(self.model, name)
            self.heads[name], self.model.head = self.model.head, own
            merge(self.model)
            self.worn = name

    @contextmanager
    def head(self, name: str) -> Iterator[None]:
        """Put an adapter into the weights, and its head on the model for a while."""
        if not self.classes(name):
            raise ValueError(f"the adapter {name!r} has no head for classes")
        self.wear(name)
        own, self.model.head = self.model.head, self.heads[name]
        try:
            yield
        finally:
            self.model.head = own
