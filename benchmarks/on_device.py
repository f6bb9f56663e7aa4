"""What `benchmarks/model.py --device cuda` measures: training and generating.

A step is forward pass, loss, backward pass, clipping and AdamW (fused) on random
tokens; products in bfloat16, or TF32 where they are in float32. The clock is read after
the GPU has finished. The share of the peak is PaLM's MFU.
"""

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from llmbook_utils.config import GPT2_SMALL, GPTConfig
from llmbook_utils.files.hub import find_folder
from llmbook_utils.generate import generate
from llmbook_utils.loss import cross_entropy
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.speed import Speed, share_of_peak, time_steps
from llmbook_utils.train import Progress, create_optimizer, take_step

Step = Callable[[], object]
Kind = torch.dtype | None  # of the matrix products; None: of the weights


def settled(model: nn.Module, device: str, compiled: bool) -> nn.Module:
    model = model.to(device).train()
    return torch.compile(model) if compiled else model


def our_step(config: GPTConfig, ids: Tensor, compiled: bool, dtype: Kind) -> Step:
    """The library's step: it reads loss and norm, and refuses what is not finite."""
    model = GPTModel(config)
    trained = settled(model, ids.device.type, compiled)
    optimizer, progress = create_optimizer(model, 1e-4), Progress()
    batch = (ids[:, :-1], ids[:, 1:])
    return lambda: take_step(trained, optimizer, [batch], progress, dtype=dtype)


def plain_step(
    model: nn.Module,
    ids: Tensor,
    compiled: bool,
    dtype: Kind,
    loss_of: Callable[..., Tensor],
) -> Step:
    """A step that never waits for the GPU; `loss_of(model, inputs, targets)`."""
    trained = settled(model, ids.device.type, compiled)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step() -> None:
        with torch.autocast(ids.device.type, dtype, enabled=dtype is not None):
            loss = loss_of(trained, inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def our_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return (
        cross_entropy(model(inputs).flatten(0, 1), targets.flatten()) / targets.numel()
    )


def their_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    logits = model(inputs, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def nanogpt_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return model(inputs, targets)[1]


def theirs(config: GPTConfig) -> GPT2LMHeadModel:
    """The same shape in transformers, without dropout."""
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    shape = GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_embd=config.emb_dim,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        **none,
    )
    return GPT2LMHeadModel._from_config(shape, attn_implementation="sdpa")


def nanogpt(config: GPTConfig, folder: Path) -> nn.Module:
    """The same shape in nanoGPT, whose model.py lies in a folder."""
    spec = importlib.util.spec_from_file_location("nanogpt", folder / "model.py")
    if spec is None or spec.loader is None or not (folder / "model.py").is_file():
        raise FileNotFoundError(f"{folder} has no model.py; give a clone of nanoGPT")
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt"] = module  # its dataclass looks for it
    spec.loader.exec_module(module)
    shape = module.GPTConfig(
        block_size=config.context_length,
        vocab_size=config.vocab_size,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        n_embd=config.emb_dim,
        dropout=0.0,
        bias=True,
    )
    return module.GPT(shape)


def show(what: str, config: GPTConfig, speed: Speed) -> None:
    share = share_of_peak(config, speed.tokens_per_second)
    mfu = "" if share is None else f"{share:.1%}"
    cells = [what, f"{speed.milliseconds:.1f}", f"{speed.tokens_per_second:,.0f}", mfu]
    print(f"| {' | '.join(cells)} |", flush=True)


def train_rows(
    config: GPTConfig,
    device: str,
    batch: int,
    runs: int,
    folder: Path | None,
    dtype: Kind,
) -> None:
    """Steps of all sides, each with and without torch.compile."""
    padded = replace(config, vocab_size=-(-config.vocab_size // 64) * 64)
    length = config.context_length
    ids = torch.randint(config.vocab_size, (batch, length + 1), device=device)
    print("| step | ms | tokens/s | MFU |\n|---|---|---|---|")
    sides: dict[str, Callable[[bool], Step]] = {
        "ours": lambda compiled: our_step(config, ids, compiled, dtype),
        "ours, vocabulary padded": lambda compiled: our_step(
            padded, ids, compiled, dtype
        ),
        "ours, loss and norm never read": lambda compiled: plain_step(
            GPTModel(config), ids, compiled, dtype, our_loss
        ),
        "transformers": lambda compiled: plain_step(
            theirs(config), ids, compiled, dtype, their_loss
        ),
    }
    if folder is not None:
        sides["nanoGPT"] = lambda compiled: plain_step(
            nanogpt(config, folder), ids, compiled, dtype, nanogpt_loss
        )
    for compiled in (False, True):
        for name, make in sides.items():
            what = f"{name}{', compiled' if compiled else ''}"
            show(what, config, time_steps(make(compiled), batch * length, runs, 3))


def generate_rows(path: str, device: str, runs: int, new: int = 128) -> None:
    """Greedy generation of one text and of sixteen; both sides' tokens are compared."""
    ours, _ = load_pretrained(path, device=device)
    their = (
        GPT2LMHeadModel.from_pretrained(find_folder(path, with_tokenizer=False))
        .to(device)
        .eval()
    )
    their.generation_config.eos_token_id = None
    print("| greedy, cached | ours, s | transformers, s | ratio | same tokens |")
    print("|---|---|---|---|---|")
    for texts in (1, 16):
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(ours.config.vocab_size, (texts, 16), generator=generator)
        ids = ids.to(device)

        def reference(ids: Tensor = ids) -> Tensor:
            mask = torch.ones_like(ids)
            options = {"max_new_tokens": new, "do_sample": False, "pad_token_id": 0}
            return their.generate(ids, attention_mask=mask, **options)

        def mine(ids: Tensor = ids) -> Tensor:
            return generate(ours, ids, new)

        same = torch.equal(mine(), reference())
        a, b = (time_steps(f, texts * new, runs, 1) for f in (mine, reference))
        print(
            f"| {texts} × {new} tokens | {a.milliseconds / 1000:.3f} | "
            f"{b.milliseconds / 1000:.3f} | {b.milliseconds / a.milliseconds:.2f} | "
            f"{same} |",
            flush=True,
        )


def measure(
    device: str,
    config: GPTConfig,
    batch: int,
    runs: int,
    folder: Path | None,
    dtype: Kind,
) -> None:
    """All rows, training first."""
    torch.backends.cuda.matmul.allow_tf32 = True
    start = time.perf_counter()
    train_rows(config, device, batch, runs, folder, dtype)
    print()
    generate_rows("mini", device, runs)
    print(f"\n{time.perf_counter() - start:.0f} s in all")


def shape(length: int, layers: int) -> GPTConfig:
    """GPT-2's smallest model, with other windows or fewer blocks."""
    return replace(GPT2_SMALL, drop_rate=0.0, context_length=length, n_layers=layers)
