"""Checks of chapter 4's exercises. Not built on a page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.config import GPT2_SMALL, GPT2_XL, MINI, GPTConfig
from llmbook_utils.exercises import Wrong, exercise, require
from llmbook_utils.model import GPTModel, TransformerBlock, evaluating

TINY = GPTConfig(
    vocab_size=31, context_length=13, emb_dim=16, n_heads=4, n_layers=3, drop_rate=0.5
)


def _model(config: GPTConfig = TINY) -> GPTModel:
    """Build a model whose weights are far from uniform, so that every part counts."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = GPTModel(config)
        for name, parameter in model.named_parameters():
            if name.endswith("scale"):
                nn.init.uniform_(parameter, 0.5, 1.5)
            else:  # a large shift would make one token win everywhere
                small = name.endswith(("shift", "bias"))
                nn.init.normal_(parameter, std=0.1 if small else 0.4)
    return model.eval()


def _ids(batch: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(TINY.vocab_size, (batch, length), generator=generator)


def _tensor(answer: Any, shape: tuple[int, ...], call: str) -> Tensor:
    require(
        isinstance(answer, Tensor), f"{call} gives {type(answer).__name__}, no tensor"
    )
    require(
        answer.shape == shape,
        f"{call} has the shape {tuple(answer.shape)}, expected {shape}",
    )
    return answer


@exercise(
    "4.1",
    "Normalize by hand",
    hints=(
        "Three steps: mean, variance, and what the learned numbers do at the end.",
        "The mean is 5. The squares of (-3, 3, -1, 1, 0) add up to 20. Divide by the "
        "number of entries, not by one less.",
        "The standard deviation is 2, so the normalized vector is (-1.5, 1.5, -0.5, "
        "0.5, 0). Now multiply by the scale and add the shift, number by number.",
    ),
)
def normalise_by_hand(answer: Any) -> str:
    """Compare with the result, and with what each forgotten step gives."""
    x = torch.tensor([2.0, 8.0, 4.0, 6.0, 5.0])
    scale = torch.tensor([2.0, 2.0, 2.0, 2.0, 1.0])
    shift = torch.tensor([0.0, 0.0, 0.0, 0.0, 10.0])
    given = torch.tensor([float(value) for value in answer])
    require(given.shape == (5,), f"expected five numbers, got {len(given)}")
    y = (x - 5) / 2
    mistakes = [
        (y, "that is the normalized vector; scale and shift are still to come"),
        (y * scale, "the scale has been applied, the shift has not"),
        (
            (x - 5) / 5**0.5 * scale + shift,
            "it looks as if the sum of squares was divided by 4, which is the unbiased "
            "variance; there are five numbers",
        ),
        (
            (x - 5) / 4 * scale + shift,
            "it looks as if you divided by the variance, 4, instead of its root",
        ),
        ((y + shift) * scale, "the shift comes after the scale, not before it"),
    ]
    right = y * scale + shift
    if torch.allclose(given, right, atol=0.01):
        return "Right: (-3, 3, -1, 1, 10)."
    for value, message in mistakes:
        require(not torch.allclose(given, value, atol=0.01), message)
    raise Wrong(f"{given.tolist()} is not it; which number do you get for the mean?")


@exercise(
    "4.2",
    "Count without building",
    hints=(
        "Write down every parameter of a block with its shape. Which have a bias?",
        "The query, key and value layer has a bias only with qkv_bias; the output "
        "layer of attention and both layers of the feed-forward network always have "
        "one; the head never has.",
        "A block: 4 C*C + C for attention, 3 C more with qkv_bias, 8 C*C + 5 C, and "
        "4 C for two norms. Outside: V*C, context_length*C, 2 C, and V*C again if the "
        "embeddings are not tied.",
    ),
)
def count_without_building(answer: Callable[[GPTConfig], int]) -> str:
    """Compare with models on the meta device, for each choice of the two switches."""
    for base in (TINY, MINI, GPT2_SMALL, GPT2_XL):
        for bias, tied in ((True, True), (False, True), (True, False), (False, False)):
            config = replace(base, qkv_bias=bias, tie_embeddings=tied)
            with torch.device("meta"):
                model = GPTModel(config, init="torch")
            wanted = sum(p.numel() for p in model.parameters())
            _judge_count(answer(config), wanted, config)
    return "Right for sixteen configurations, and GPT-2's small one has 124,439,808."


def _judge_count(given: Any, wanted: int, config: GPTConfig) -> None:
    C, off = config.emb_dim, given - wanted
    known = {
        config.vocab_size * C: "a tied table is one parameter; it was counted twice",
        -config.vocab_size * C: "an untied model has a second table, for the head",
        3 * C * config.n_layers: "without qkv_bias there are no biases for queries, "
        "keys and values",
        -3 * C * config.n_layers: "with qkv_bias, queries, keys and values have biases",
        -2 * C: "the final norm was forgotten",
        -config.context_length * C: "the table of positions was forgotten",
        -4 * C * config.n_layers: "the two norms of each block were forgotten",
        config.vocab_size: "the head has no bias",
    }
    hint = f": {known[off]}" if off in known else ""
    require(
        off == 0,
        f"{config} has {wanted:,} parameters, you get {given:,} ({off:+,}){hint}",
    )


@exercise(
    "4.3",
    "Alike to a norm",
    hints=(
        "Layer norm forgets the mean and the spread. You need to change both.",
        "Start from any vector x and take 2 x + 1, for example. Is it a shift of x? A "
        "stretch of x?",
        "[1, 2, 3, 5] and [3, 5, 7, 11]: the second is twice the first plus 1.",
    ),
)
def alike_to_a_norm(answer: Any) -> str:
    """Normalize both, then rule out the two plain ways."""
    require(len(answer) == 2, f"expected two lists, got {len(answer)}")
    vectors = torch.tensor([[float(v) for v in one] for one in answer]).double()
    require(vectors.shape == (2, 4), "expected two lists of four numbers each")
    require(vectors.abs().max() <= 100, "the numbers must lie between -100 and 100")
    spread = vectors.std(dim=-1, correction=0)
    require(
        spread.min() > 1,
        f"one vector spreads by {spread.min():.2f} only; make it more than 1",
    )
    one, other = vectors
    shift = torch.allclose(other - one, (other - one).mean().expand(4), atol=1e-6)
    require(not torch.equal(one, other), "they are the same vector")
    require(not shift, "the second is the first with one number added to all: a shift")
    ratio = (one @ other) / (one @ one).clamp(min=1e-12)
    require(
        not torch.allclose(other, ratio * one, atol=1e-6),
        "the second is the first times one number: a stretch alone",
    )
    y = F.layer_norm(vectors, (4,), eps=0)
    require(
        not torch.allclose(y[0], -y[1], atol=1e-3),
        "layer norm gives the two opposite signs: a negative factor turns the pattern",
    )
    apart = (y[0] - y[1]).abs().max()
    require(
        apart < 1e-3,
        f"layer norm tells them apart: the results differ by up to {apart:.2f}",
    )
    return "Right: shifted and stretched, and layer norm sees one and the same."


@contextmanager
def _listening(block: TransformerBlock) -> Iterator[dict[str, int]]:
    """Count the calls of a block's parts."""
    calls = {name: 0 for name, _ in block.named_children()}

    def listener(name: str) -> Callable[..., None]:
        def note(*_: Any) -> None:
            calls[name] += 1

        return note

    hooks = [p.register_forward_hook(listener(n)) for n, p in block.named_children()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


@exercise(
    "4.4",
    "A parallel block",
    hints=(
        "How many times is the norm needed, and on what does it act?",
        "Compute the normalized copy once and give it to both parts.",
        "y = block.norm_1(x), then x + block.attention(y) + block.feed_forward(y).",
    ),
)
def parallel_block(answer: Callable[[TransformerBlock, Tensor], Tensor]) -> str:
    """Compare with the formula; zeroed output layers must leave the stream alone."""
    block = _model().blocks[0]
    assert isinstance(block, TransformerBlock)
    x = torch.randn(2, 5, TINY.emb_dim, generator=torch.Generator().manual_seed(1))
    original = x.clone()
    with torch.no_grad(), _listening(block) as calls:
        given = answer(block, x)
    require(
        not isinstance(given, tuple), "a pair came back; return the new vectors only"
    )
    given = _tensor(given, tuple(x.shape), "parallel_block(block, x)")
    require(torch.equal(x, original), "x itself was changed; work on new tensors")
    require(calls["norm_2"] == 0, "norm_2 was used; both parts read the copy of norm_1")
    with torch.no_grad():
        y = block.norm_1(x)
        a, f = block.attention(y), block.feed_forward(y)
        later = x + a
        mistakes = {
            "x is missing: nothing carries the stream past the parts": a + f,
            "x was added twice, once with each part": 2 * x + a + f,
            "the normalized copy took the place of x in the sum": y + a + f,
            "the feed-forward network read what attention had added; both read the "
            "same copy": later + block.feed_forward(block.norm_1(later)),
            "the parts read x itself, not the normalized copy": x
            + block.attention(x)
            + block.feed_forward(x),
            "the feed-forward network is missing": later,
        }
    for message, value in mistakes.items():
        require(not torch.allclose(given, value, atol=1e-5), message)
    require(torch.allclose(given, x + a + f, atol=1e-5), "the numbers are not right")
    return "Right: both read one copy, and both add to the stream."


@exercise(
    "4.5",
    "Positions of real tokens",
    hints=(
        "How long is the longest row? How many fill each of the others?",
        "Make a tensor full of pad_id and a mask full of False, and write each row "
        "into the last len(row) columns.",
        "The positions are (mask.cumsum(dim=1) - 1).clamp(min=0).",
    ),
)
def positions_of_real_tokens(answer: Callable[..., Any]) -> str:
    """Try rows of several lengths, with a filler that occurs as a real token."""
    rows = [[5, 6, 9, 8], [9], [3, 9]]
    given = answer(rows, 9)
    require(
        isinstance(given, tuple | list) and len(given) == 3,
        "expected three tensors: ids, mask, positions",
    )
    ids, mask, positions = (
        _tensor(one, (3, 4), name)
        for one, name in zip(given, ("ids", "mask", "positions"), strict=True)
    )
    right = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]]) == 0
    require(
        not torch.equal(mask.bool(), right.flip(1))
        or torch.equal(right, right.flip(1)),
        "the rows are filled up on the right; the real tokens belong at the end",
    )
    require(
        ids.tolist() == [[5, 6, 9, 8], [9, 9, 9, 9], [9, 9, 3, 9]],
        f"the ids are {ids.tolist()}; fill up on the left, with pad_id",
    )
    require(mask.dtype == torch.bool, f"the mask is {mask.dtype}; it should be bool")
    require(
        torch.equal(mask, right),
        f"the mask is {mask.int().tolist()}; a real token may have the same id as the "
        "filler, so the lengths decide, not the ids",
    )
    _judge_positions(positions, right)
    return "Right: real tokens count from 0, wherever they stand."


def _judge_positions(positions: Tensor, mask: Tensor) -> None:
    right = (mask.cumsum(dim=1) - 1).clamp(min=0)
    require(
        not torch.equal(positions, torch.arange(4).expand(3, 4)),
        "the positions count the columns; they should count real tokens only",
    )
    require(
        positions.min() >= 0,
        "there is a position of -1, and no table has such a row; raise it to 0",
    )
    require(
        not torch.equal(positions, mask.cumsum(dim=1)),
        "the first real token has position 1; counting begins at 0",
    )
    require(
        torch.equal(positions, right),
        f"the positions are {positions.tolist()}, expected {right.tolist()}",
    )


def _honest(ids: Tensor) -> Tensor:
    table = torch.randn(31, 31, generator=torch.Generator().manual_seed(0))
    return table[ids].cumsum(dim=1)


def _one_back(ids: Tensor) -> Tensor:
    logits = _honest(ids)
    return torch.cat([logits[:, 1:], logits[:, -1:]], dim=1)


def _last_only(ids: Tensor) -> Tensor:
    return _honest(ids) + 1e-3 * ids[:, -1:, None]


def _first_pair(ids: Tensor) -> Tensor:
    logits = _honest(ids).clone()
    logits[:, 0] += ids[:, 1:2]
    return logits


@exercise(
    "4.6",
    "Find the leak",
    hints=(
        "If you change the last token only, which leaks do you miss?",
        "Change one token at a time, each in turn, to another id, and compare all "
        "logits before it.",
        "For each t: changed = ids.clone(); changed[:, t] = (changed[:, t] + 1) % 10, "
        "then compare model(changed)[:, :t] with model(ids)[:, :t] by torch.allclose.",
    ),
)
def find_the_leak(answer: Callable[..., bool]) -> str:
    """Show it honest models and three that leak in different ways."""
    ids = torch.tensor([[4, 1, 7, 7, 2, 0], [3, 3, 3, 5, 9, 8]])
    original = ids.clone()
    cases: list[tuple[Callable[[Tensor], Tensor], bool, str]] = [
        (_honest, False, "a model that looks only backwards was called a leak"),
        (_model(), False, "a GPTModel was called a leak; allow for rounding errors"),
        (_one_back, True, "a model whose tokens see the next one passed as honest"),
        (_last_only, True, "a model that shows the last token to all passed as honest"),
        (
            _first_pair,
            True,
            "in one model the first token sees the second, and only "
            "that; it passed as honest. Change every token, not only the last",
        ),
    ]
    for model, wanted, message in cases:
        with torch.no_grad():
            given = answer(model, ids)
        require(isinstance(given, bool), f"expected True or False, got {given!r}")
        require(given == wanted, message)
        require(torch.equal(ids, original), "ids were changed; work on a copy")
    return "Right: honest models pass, and three kinds of leak are found."


@exercise(
    "4.7",
    "A greedy loop of your own",
    hints=(
        "Three things around the loop: gradients, the mode, the length of the text.",
        "Keep model.training, call model.eval(), and put the mode back at the end. "
        "Inside, pass ids[:, -limit:] and look at the last position only.",
        "logits = model(ids[:, -limit:])[:, -1]; best = logits.argmax(-1, "
        "keepdim=True); ids = torch.cat([ids, best], dim=1); and at the end "
        "model.train(training).",
    ),
)
def greedy_loop(answer: Callable[..., Tensor]) -> str:
    """Compare with a plain loop, in training mode, past the context limit."""
    # untied, since a tied model of random weights says the same token for ever
    model = _model(replace(TINY, tie_embeddings=False))
    ids = _ids(2, 5)
    for training, n in ((False, 4), (True, 4), (True, 15)):
        model.train(training)
        given = answer(model, ids, n)
        name = f"for n = {n} the result"
        require(
            not (isinstance(given, Tensor) and given.shape == (2, n)),
            f"{name} holds the new tokens only; the prompt belongs in front",
        )
        given = _tensor(given, (2, 5 + n), name)
        require(torch.equal(given[:, :5], ids), "the prompt has been changed")
        require(
            model.training == training,
            f"the model came in {'training' if training else 'evaluation'} mode and "
            "went out in the other; put it back",
        )
        wanted = _plain_greedy(model, ids, n)
        at = (given != wanted).any(dim=0).int().argmax().item()
        require(
            torch.equal(given, wanted) or not training,
            f"{name} differs when the model comes in training mode: is dropout off?",
        )
        require(
            torch.equal(given, wanted),
            f"{name} is not what the model would choose, from token {at} on",
        )
    require(not given.requires_grad, "the result carries gradients; use no_grad")
    return "Right, also past the limit and in training mode."


def _plain_greedy(model: GPTModel, ids: Tensor, n: int) -> Tensor:
    with evaluating(model), torch.no_grad():
        for _ in range(n):
            logits = model(ids[:, -model.config.context_length :])
            assert isinstance(logits, Tensor)
            ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return ids


@exercise(
    "4.8",
    "What the cache costs",
    hints=(
        "What is kept for one token in one block?",
        "Two vectors, key and value, of emb_dim numbers each: the heads share them.",
        "2 * n_layers * emb_dim * n_tokens * batch_size * bytes_per_number.",
    ),
)
def cache_costs(answer: Callable[..., int]) -> str:
    """Recompute for several shapes and number formats."""
    for config, batch, n, size in ((MINI, 1, 1, 4), (GPT2_XL, 3, 100, 2)):
        given = answer(config, batch, n, size)
        wanted = 2 * config.n_layers * config.emb_dim * n * batch * size
        known = {
            wanted // 2: "keys and values are two vectors, you have counted one",
            wanted // config.n_layers: "each block has its own cache",
            wanted * config.n_heads: "the heads share the emb_dim numbers; each has "
            "emb_dim / n_heads of them",
            wanted // batch: "each text of the batch has its own cache",
            wanted // size: "these are numbers, not bytes",
        }
        hint = f": {known[given]}" if given in known and given != wanted else ""
        call = f"n_layers={config.n_layers}, batch {batch}, {n} tokens, {size} bytes"
        require(given == wanted, f"for {call} you get {given:,}, not {wanted:,}{hint}")
    require(
        answer(MINI, 1, 1) == answer(MINI, 1, 1, 4), "4 bytes should be the default"
    )
    return (
        "Right. GPT-2 XL: 629 MB a text of 1,024 tokens, so 17.8 GB have room for 28."
    )


def _loss(
    model: GPTModel, steps: list[Callable[[Tensor], Any]], ids: Tensor, targets: Tensor
) -> float:
    """The loss with these steps in place of the blocks."""
    positions = torch.arange(ids.shape[1])
    x = model.token_embedding(ids) + model.position_embedding(positions)
    for step in steps:
        out = step(x)
        x = out[0] if isinstance(out, tuple) else out  # blocks return a pair
    logits = model.head(model.final_norm(x))
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()


def _variants(model: GPTModel) -> dict[str, list[list[Callable[[Tensor], Any]]]]:
    """Stand-ins for the blocks, a list for each one left out: right, then wrong."""
    blocks: list[Callable[[Tensor], Any]] = list(model.blocks)
    places = range(len(blocks))
    zeros = [
        [torch.zeros_like if i == at else b for i, b in enumerate(blocks)]
        for at in places
    ]
    return {
        "": [blocks[:at] + blocks[at + 1 :] for at in places],
        "the vectors were replaced by zeros; a block that is left out passes its "
        "input on": zeros,
        "these are the losses with one block ALONE; leave one out": [
            [block] for block in blocks
        ],
        "these are the losses of the logit lens, with all later blocks missing too; "
        "leave one out and keep the others": [blocks[:at] for at in places],
    }


@exercise(
    "4.9",
    "Which block can go?",
    hints=(
        "A block that is left out passes its input on as it is.",
        "Go through the blocks yourself, as the logit lens does, and skip one.",
        "x = token and position embeddings; for i, block in enumerate(model.blocks): "
        "if i != left_out: x = block(x); then final norm, head, and the loss by "
        "F.cross_entropy(logits.flatten(0, 1), targets.flatten()).",
    ),
)
def which_block_can_go(answer: Callable[..., list[float]]) -> str:
    """Recompute, and compare the model before and after."""
    model, both = _model(), _ids(3, 11)
    ids, targets = both[:, :-1], both[:, 1:]
    blocks = list(model.blocks)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        given = [float(loss) for loss in answer(model, ids, targets)]
    same = list(model.blocks) == blocks and all(
        torch.equal(value, state[name]) for name, value in model.state_dict().items()
    )
    require(same, "the model has been changed; others want to use it after you")
    require(len(given) == 3, f"expected a loss for each of 3 blocks, got {len(given)}")
    with torch.no_grad():
        for message, variant in _variants(model).items():
            losses = [_loss(model, steps, ids, targets) for steps in variant]
            close = torch.allclose(torch.tensor(given), torch.tensor(losses), atol=1e-3)
            if close and not message:
                return "Right. On the story, mini misses its first block most by far."
            require(not close, message)
    raise Wrong(f"{[round(loss, 3) for loss in given]} are not the losses asked for")
