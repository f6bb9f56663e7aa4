"""The book's widgets: shown by being the last line of a cell.

They work in a notebook, where Python answers, and on a page without a kernel. Not built
on a page.
"""

from pathlib import Path

from llmbook_utils import web
from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.widgets.adapters import adapter_files
from llmbook_utils.widgets.ask_mini import AskMini
from llmbook_utils.widgets.attention_explorer import AttentionExplorer
from llmbook_utils.widgets.base import BookWidget
from llmbook_utils.widgets.continuation import Continuation
from llmbook_utils.widgets.embedding_map import EmbeddingMap
from llmbook_utils.widgets.explorer import TokenizerExplorer
from llmbook_utils.widgets.live import shipped_files
from llmbook_utils.widgets.loss_mask import LossMaskViewer
from llmbook_utils.widgets.model_map import ModelMap
from llmbook_utils.widgets.ngram_writer import NgramWriter
from llmbook_utils.widgets.question import QuickQuestion
from llmbook_utils.widgets.rank_explorer import RankExplorer
from llmbook_utils.widgets.sampling_lab import SamplingLab
from llmbook_utils.widgets.schedule_designer import ScheduleDesigner
from llmbook_utils.widgets.spam_classifier import SpamClassifier
from llmbook_utils.widgets.time_machine import TrainingTimeMachine
from llmbook_utils.widgets.tokens import pack_ranks
from llmbook_utils.widgets.window import SlidingWindow

__all__ = [
    "AskMini",
    "AttentionExplorer",
    "Continuation",
    "EmbeddingMap",
    "LossMaskViewer",
    "ModelMap",
    "NgramWriter",
    "QuickQuestion",
    "RankExplorer",
    "SamplingLab",
    "ScheduleDesigner",
    "SlidingWindow",
    "SpamClassifier",
    "TokenizerExplorer",
    "TrainingTimeMachine",
    "site_files",
    "write_site_files",
]

WIDGETS: tuple[type[BookWidget], ...] = (
    TokenizerExplorer,
    SlidingWindow,
    QuickQuestion,
    Continuation,
    EmbeddingMap,
    SamplingLab,
    AttentionExplorer,
    ModelMap,
    NgramWriter,
    TrainingTimeMachine,
    ScheduleDesigner,
    RankExplorer,
    SpamClassifier,
    LossMaskViewer,
    AskMini,
)


def site_files() -> dict[str, bytes]:
    """Each file that the pages need for the widgets, by its path in one folder."""
    files = {name: web.read(name).encode() for name in web.served()}
    ranks = {"gpt2.bin": pack_ranks(get_encoding("gpt2"))}
    return files | ranks | shipped_files("mini") | adapter_files()


def write_site_files(folder: Path) -> None:
    """Write what the pages need for the widgets into a folder."""
    for name, content in site_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
