"""From token ids to batches: windows that slide over a text, with the next tokens.

Built in chapters/02-working-with-text-data.ipynb. Left out: texts too large for memory,
which Appendix D streams from files.
"""

from collections.abc import Sequence

import tiktoken
import torch
from torch.utils.data import DataLoader, Dataset

from llmbook_utils.tokenizer import END_OF_TEXT, BytePairTokenizer


class SlidingWindowDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Windows of `context_length` ids, one every `stride` ids, each with its targets.

    Item i is a pair (inputs, targets) of int64 tensors (T,), T = `context_length`, and
    targets are the inputs one id later: views, no copies. Fewer than T + 1 ids, or a
    length or stride below 1, raise ValueError.

    >>> dataset = SlidingWindowDataset([10, 11, 12, 13, 14, 15], 3, stride=2)
    >>> [(inputs.tolist(), targets.tolist()) for inputs, targets in dataset]
    [([10, 11, 12], [11, 12, 13]), ([12, 13, 14], [13, 14, 15])]
    """

    def __init__(
        self, ids: Sequence[int] | torch.Tensor, context_length: int, stride: int
    ):
        if context_length < 1 or stride < 1:
            raise ValueError(
                f"context_length is {context_length} and stride is {stride}; "
                "both count tokens and must be 1 or more"
            )
        if len(ids) < context_length + 1:
            raise ValueError(
                f"the text has {len(ids)} tokens, but one window and its targets need "
                f"context_length + 1 = {context_length + 1}; give a longer text or a "
                "shorter context_length"
            )
        ids = torch.as_tensor(ids, dtype=torch.long)
        # views of one tensor: windows that overlap cost no memory
        self.windows = ids.unfold(0, context_length + 1, stride)  # (N, T + 1)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        # (T + 1,) -> two of (T,), one id apart
        window = self.windows[index]  # an index that does not exist raises IndexError
        return window[:-1], window[1:]


def create_dataloader(
    text: str,
    tokenizer: tiktoken.Encoding | BytePairTokenizer,
    *,
    batch_size: int = 4,
    context_length: int = 256,
    stride: int = 256,
    shuffle: bool = True,
    drop_last: bool = True,
    seed: int = 0,
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Tokenize a text and serve its windows in batches (inputs, targets), each (B, T).

    `<|endoftext|>` in the text is the special token here: it separates documents.
    `seed` fixes the order of shuffled windows. A text too short for one batch raises
    ValueError.
    """
    # here the name of the special token is the token; in a reader's text it is text
    ids = tokenizer.encode(text, allowed_special={END_OF_TEXT})
    dataset = SlidingWindowDataset(ids, context_length, stride)
    if drop_last and len(dataset) < batch_size:
        raise ValueError(
            f"the text gives {len(dataset)} windows, fewer than one batch of "
            f"{batch_size}, and drop_last=True would leave nothing; give more text, a "
            "smaller batch_size or stride, or drop_last=False"
        )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        # of its own: whatever else draws numbers does not change the order
        generator=torch.Generator().manual_seed(seed),
    )
