"""Notebooks on the Hugging Face hub, for papermill: addresses that begin with hf://.

Not built on a page. pyproject.toml tells papermill of the handler; for other places,
such as s3:// and gs://, papermill has its own.
"""

from typing import Any


class HubHandler:
    """Reads and writes text at hf://datasets/OWNER/NAME/FILE or hf://buckets/...."""

    @property
    def files(self) -> Any:
        from huggingface_hub import HfFileSystem

        return HfFileSystem()

    def read(self, path: str) -> str:
        with self.files.open(path, "r", encoding="utf-8") as file:
            return str(file.read())

    def listdir(self, path: str) -> list[str]:
        return list(self.files.ls(path, detail=False))

    def write(self, text: str, path: str) -> None:
        with self.files.open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def pretty_path(self, path: str) -> str:
        return path


HANDLER = HubHandler()
