"""Checks of chapter 4's exercises. Not built on a page."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.attention import causal_mask
from llmbook_utils.cache import KVCache
from llmbook_utils.config import GPT2_SMALL, GPT2_XL, MINI, GPTConfig
from llmbook_utils.exercises import Wrong, exercise, fresh, require, varied
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be
from llmbook_utils.model import GPTModel, TransformerBlock, evaluating

TINY = GPTConfig(
    vocab_size=31, context_length=13, emb_dim=16, n_heads=4, n_layers=3, drop_rate=0.5
)


def _model(config: GPTConfig = TINY) -> GPTModel:
    """Build a model whose weights are far from uniform, so that every part counts."""
    with torch.random.fork_rng():
        torch.manual_seed(varied(3))
        model = GPTModel(config)
        for name, parameter in model.named_parameters():
            if name.endswith("scale"):
                nn.init.uniform_(parameter, 0.5, 1.5)
            else:  # a large shift would make one token win everywhere
                small = name.endswith(("shift", "bias"))
                nn.init.normal_(parameter, std=0.1 if small else 0.4)
    return model.eval()


def _ids(batch: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(varied(seed))
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


def _scale_of(norm: Any, emb_dim: int) -> nn.Parameter:
    """The one parameter of a norm, after its faults are named."""
    require(
        isinstance(norm, nn.Module), "RMSNorm is not a module; derive it from nn.Module"
    )
    own = dict(norm.named_parameters())
    require(
        "shift" not in own and "bias" not in own,
        "RMSNorm has no shift; its only parameter is the scale",
    )
    require(
        "scale" not in dict(norm.named_buffers()),
        "scale is a buffer, which training does not change; make it an nn.Parameter",
    )
    held = getattr(norm, "scale", None)
    require(
        "scale" in own or not isinstance(held, Tensor),
        "scale is a plain tensor; training changes it only as an nn.Parameter",
    )
    require(
        list(own) == ["scale"],
        f"the parameters are {list(own)}, expected one that is called scale",
    )
    scale = own["scale"]
    require(
        scale.shape == (emb_dim,),
        f"scale has the shape {tuple(scale.shape)}, expected ({emb_dim},): one number "
        "for each column",
    )
    require(
        torch.equal(scale, torch.ones(emb_dim)),
        f"scale begins as {scale[:3].tolist()}...; it should begin as ones",
    )
    return scale


@exercise(
    "4.1",
    "RMSNorm",
    hints=(
        "It is the page's LayerNorm with two things left out. Which line of normalize "
        "is no longer needed, and what takes the place of the variance?",
        "The mean of the squares is taken along the last axis, and keepdim=True keeps "
        "that axis, so that the division broadcasts. The epsilon stands inside the "
        "root.",
        "In __init__: super().__init__() and a scale made by nn.Parameter(torch.ones("
        "emb_dim)). In forward, size is the square root of the mean of the squared x "
        "along dim=-1, with keepdim=True and 1e-5 added before the root; what is x to "
        "be divided by, and multiplied by?",
    ),
)
def rms_norm(answer: Any) -> str:
    """Compare with the formula, and with what each slip gives."""
    require(inspect.isclass(answer), "expected the class itself: RMSNorm")
    hand = torch.tensor([[1.0, -1.0, 7.0, 7.0]])
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(varied(2))) * 3 + 1
    original = x.clone()
    norm = answer(4)
    scale = _scale_of(norm, 4)
    with torch.no_grad():
        plain = _tensor(norm(x), (2, 5, 4), "RMSNorm(4)(x) for x of shape (2, 5, 4)")
        require(torch.equal(x, original), "x itself was changed; work on new tensors")
        _judge_rms(plain, x)
        by_hand = _tensor(norm(hand), (1, 4), "RMSNorm(4)(x) for x of shape (1, 4)")
        _judge_rms(by_hand, hand)
        scale.copy_(torch.tensor([2.0, 1.0, 0.5, -1.0]))
        scaled = norm(x)
        require(
            not torch.allclose(scaled, plain, atol=1e-5),
            "the result does not depend on scale; multiply by it",
        )
        require(
            not torch.allclose(scaled, plain + scale - 1, atol=1e-4),
            "scale was added; it multiplies",
        )
        wrong = scaled - plain * scale
        require(
            wrong.abs().max() < 1e-4, "scale should multiply each column by its own"
        )
        small = torch.tensor([[1e-3, -1e-3, 2e-3, 0.0]])
        expected = small * (small.pow(2).mean() + 1e-5).rsqrt() * scale
        require(
            torch.allclose(norm(small), expected, atol=1e-3),
            "right for ordinary vectors, but not for a tiny one: the epsilon, 1e-5, "
            "is added to the mean of the squares, inside the root",
        )
    return "Right: no mean, no shift, and the pattern comes out at size 1."


def _judge_rms(given: Tensor, x: Tensor) -> None:
    square = x.pow(2).mean(dim=-1, keepdim=True)
    right = x / (square + 1e-5).sqrt()
    mistakes = {
        "the mean was subtracted; RMSNorm leaves it where it is": F.layer_norm(
            x, x.shape[-1:], eps=1e-5
        ),
        "it was divided by the standard deviation, which is measured from the mean; "
        "take the mean of the squares themselves": x
        / (x.var(dim=-1, keepdim=True, correction=0) + 1e-5).sqrt(),
        "the root is missing: it was divided by the mean of the squares": x / square,
        "the squares were summed; take their mean": x
        / (square * x.shape[-1] + 1e-5).sqrt(),
        "the size was taken over the tokens; take it over each vector, dim=-1": x
        / (x.pow(2).mean(dim=-2, keepdim=True) + 1e-5).sqrt(),
        "one size was taken for the whole tensor; each vector has its own": x
        / (x.pow(2).mean() + 1e-5).sqrt(),
        "it was divided by the mean of the sizes, without squares and root": x
        / x.abs().mean(dim=-1, keepdim=True),
        "it was multiplied by the size instead of divided": x * square.sqrt(),
    }
    if torch.allclose(given, right, atol=1e-3):
        return
    for message, value in mistakes.items():
        require(not torch.allclose(given, value, atol=1e-3), message)
    shown = ", ".join(f"{value:.3g}" for value in given.flatten()[:4].tolist())
    wanted = ", ".join(f"{value:.3g}" for value in right.flatten()[:4].tolist())
    raise Wrong(f"the first vector becomes ({shown}), expected ({wanted})")


def _built_block(answer: Any, config: GPTConfig) -> nn.Module:
    """The reader's block, with the names that the task asks for."""
    require(inspect.isclass(answer), "expected the class itself: MyBlock")
    block = answer(config)
    require(
        isinstance(block, nn.Module),
        "the block is not a module; derive it from nn.Module",
    )
    parts = [name for name, _ in TransformerBlock(config).named_children()]
    have = [name for name in parts if isinstance(getattr(block, name, None), nn.Module)]
    missing = [name for name in parts if name not in have]
    require(
        not missing,
        f"the block has no {' and no '.join(missing)}; of the five parts it has {have}",
    )
    require(
        block.get_submodule("norm_1") is not block.get_submodule("norm_2"),
        "norm_1 and norm_2 are one object; each branch has a norm of its own",
    )
    dropout = block.get_submodule("dropout")
    require(
        getattr(dropout, "p", None) == config.drop_rate,
        f"the dropout rate is {getattr(dropout, 'p', None)}; expected "
        f"config.drop_rate, here {config.drop_rate}",
    )
    return block


def _slips(block: TransformerBlock, x: Tensor) -> dict[str, Tensor]:
    """What the known mistakes give, by the message that names each."""
    n1, n2 = block.norm_1, block.norm_2
    a, f = block.attention, block.feed_forward
    y = x + a(n1(x))
    on_stream = n1(x) + a(n1(x))
    return {
        "the block returns x as it came: nothing is added": x,
        "nothing carries x past attention: add what it gathers to x": a(n1(x))
        + f(n2(a(n1(x)))),
        "there is no shortcut at all: each part should add to the stream": f(
            n2(a(n1(x)))
        ),
        "the second shortcut is missing: add what the feed-forward network makes": f(
            n2(y)
        ),
        "the norms stand on the stream, after each addition; that is post-norm": n2(
            n1(x + a(x)) + f(n1(x + a(x)))
        ),
        "the stream itself was normalized: give attention a normalized copy, and add "
        "to x": on_stream + f(n2(on_stream)),
        "the stream itself was normalized before the feed-forward network; normalize "
        "a copy": n2(y) + f(n2(y)),
        "both streams were normalized before their branch; normalize copies": n2(
            on_stream
        )
        + f(n2(on_stream)),
        "the feed-forward network read the block's input; it should read x after the "
        "first addition": y + f(n2(x)),
        "the second addition begins at the block's input, so what attention added is "
        "lost": x + f(n2(y)),
        "both branches use norm_1; the second has norm_2": y + f(n1(y)),
        "the norms are not used: attention and the feed-forward network read a "
        "normalized copy": (x + a(x)) + f(x + a(x)),
        "the feed-forward network reads the stream as it is; give it norm_2's copy": y
        + f(y),
        "attention reads the stream as it is; give it norm_1's copy": (x + a(x))
        + f(n2(x + a(x))),
        "the feed-forward network comes first; attention should": (x + f(n2(x)))
        + a(n1(x + f(n2(x)))),
        "the feed-forward network comes first, with the first norm; attention should": (
            x + f(n1(x))
        )
        + a(n2(x + f(n1(x)))),
        "the feed-forward network is missing": y,
        "attention is missing": x + f(n2(x)),
        "the stream was added twice": x + y + f(n2(y)),
    }


@exercise(
    "4.2",
    "A transformer block",
    hints=(
        "Two lines of the formula are two lines of forward. What stands in front of "
        "each plus sign?",
        "Each branch is norm, part, dropout, one inside the other, and its result is "
        "added to x. The second branch begins with the new x.",
        "x = x + self.dropout(self.attention(self.norm_1(x))) is the first branch, "
        "and the second has the same form. In __init__: super().__init__(), two norms "
        "LayerNorm(config.emb_dim), the two parts, and nn.Dropout(config.drop_rate).",
    ),
)
def transformer_block(answer: Any) -> str:
    """Load weights, compare with the library's block, then listen to the dropout."""
    whole = _model().blocks[0]
    assert isinstance(whole, TransformerBlock)
    block = _built_block(answer, TINY)
    names = set(block.state_dict()) ^ set(whole.state_dict())
    require(
        not names,
        f"the parameters {sorted(names)} are only in one of your block and the "
        "library's; use LayerNorm, MultiHeadAttention(config) and FeedForward(config)",
    )
    block.load_state_dict(whole.state_dict())
    block.eval()
    x = torch.randn(
        2, 5, TINY.emb_dim, generator=torch.Generator().manual_seed(varied(1))
    )
    original = x.clone()
    with torch.no_grad():
        given, again = block(x), block(x)
        require(not isinstance(given, tuple), "a pair came back; return the new x only")
        given = _tensor(given, tuple(x.shape), "the block")
        require(torch.equal(x, original), "x itself was changed; x += ... does that")
        require(
            torch.equal(given, again),
            "in evaluation mode two calls differ: dropout goes on after eval(); use "
            "the module self.dropout",
        )
        right = whole(x)
        if not torch.allclose(given, right, atol=1e-4):
            for message, value in _slips(whole, x).items():
                require(not torch.allclose(given, value, atol=1e-4), message)
            off = (given - right).abs().max()
            raise Wrong(f"with equal weights the results differ by up to {off:.2g}")
        _judge_dropout(block, x)
    return "Right: with the library's weights, it gives the library's numbers."


def _judge_dropout(block: nn.Module, x: Tensor) -> None:
    """In training mode dropout gets what each branch adds, and nothing else."""
    got: list[Tensor] = []
    hook = block.get_submodule("dropout").register_forward_hook(
        lambda _, given, out: got.append(given[0])
    )
    made: list[Tensor] = []
    parts = [block.get_submodule(name) for name in ("attention", "feed_forward")]
    hooks = [
        part.register_forward_hook(lambda _, given, out: made.append(out))
        for part in parts
    ]
    try:
        block.train()
        with torch.random.fork_rng():
            torch.manual_seed(varied(0))
            block(x)
    finally:
        for one in (hook, *hooks):
            one.remove()
        block.eval()
    require(got, "self.dropout is never used; it acts on what each branch adds")
    times = "once" if len(got) == 1 else f"{len(got)} times"
    require(
        len(got) == 2, f"dropout is applied {times}; each of the two branches needs it"
    )
    require(
        len(made) == 2 and all(map(torch.equal, got, made)),
        "dropout acts on something else than what a part has made; the stream itself "
        "should lose nothing",
    )


@exercise(
    "4.3",
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
    drawn = [
        replace(
            TINY,
            vocab_size=chance.randint(40, 900),
            context_length=chance.randint(5, 90),
            emb_dim=4 * chance.randint(2, 9),
            n_layers=chance.randint(1, 7),
        )
        for chance in fresh(2)
    ]
    for base in (TINY, MINI, GPT2_SMALL, GPT2_XL, *drawn):
        for bias, tied in ((True, True), (False, True), (True, False), (False, False)):
            config = replace(base, qkv_bias=bias, tie_embeddings=tied)
            with torch.device("meta"):
                model = GPTModel(config, init="torch")
            wanted = sum(p.numel() for p in model.parameters())
            with _building() as built:
                given = answer(config)
            require(
                not built,
                f"your function built {built[0] if built else ''}; count by "
                "arithmetic, without building a model or a part of one",
            )
            _judge_count(given, wanted, config)
    return "Right for sixteen configurations, and GPT-2's small one has 124,439,808."


@contextmanager
def _building() -> Iterator[list[str]]:
    """List the kinds of modules that are built meanwhile, models first."""
    built: list[str] = []
    original = nn.Module.__init__

    def note(self: nn.Module, *args: Any, **options: Any) -> None:
        name = type(self).__name__
        built.append(f"{'an' if name[0] in 'AEIOU' else 'a'} {name}")
        original(self, *args, **options)

    nn.Module.__init__ = note  # type: ignore[method-assign]
    try:
        yield built
    finally:
        nn.Module.__init__ = original  # type: ignore[method-assign]


def _judge_count(given: Any, wanted: int, config: GPTConfig) -> None:
    require(
        isinstance(given, Number) and given == int(given),  # type: ignore[call-overload]
        f"{config} gave {given!r}; expected a whole number",
    )
    C, L, V = config.emb_dim, config.n_layers, config.vocab_size
    off = int(given) - wanted
    known = {
        V * C: "a tied table is one parameter; it was counted twice",
        -V * C: "an untied model has a second table, for the head",
        3 * C * L: "without qkv_bias there are no biases for queries, keys and values",
        -3 * C * L: "with qkv_bias, queries, keys and values have biases",
        -2 * C: "the final norm was forgotten",
        -config.context_length * C: "the table of positions was forgotten",
        -4 * C * L: "the two norms of each block were forgotten",
        -2 * C * L: "each block has two norms, and each norm a scale and a shift",
        -C * L: "the output layer of attention has a bias, and so has down_proj",
        -5 * C * L: "both layers of the feed-forward network have biases",
        -4 * C * C * L: "attention has four matrices of C by C: three for queries, "
        "keys and values, and the output layer",
        V: "the head has no bias",
    }
    hint = f": {known[off]}" if off in known else ""
    require(
        off == 0,
        f"{config} has {wanted:,} parameters, you get {int(given):,} ({off:+,}){hint}",
    )


@exercise(
    "4.4",
    "A greedy loop of your own",
    hints=(
        "Three things around the loop: gradients, the mode, the length of the text.",
        "Keep model.training, call model.eval(), and put the mode back at the end. "
        "Inside, pass ids[:, -limit:] and look at the last position only.",
        "Each round has three steps: the logits of the last position, for the last "
        "context_length tokens; their argmax along the last axis, with keepdim=True; "
        "and torch.cat along dim=1. evaluating(model) looks after the mode.",
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
        require(
            not (isinstance(given, Tensor) and given.shape[:1] == (1,)),
            f"{name} has one row for two texts; continue every text of the batch",
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
        for message, slip in _GREEDY_SLIPS.items():
            same = torch.equal(given, _plain_greedy(model, ids, n, slip))
            require(not same or torch.equal(given, wanted), f"{name}: {message}")
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


_GREEDY_SLIPS = {
    "the least likely token was chosen": "least",
    "the model was given the last token alone; it needs all that fit": "last",
    "past the limit the first ones were kept; crop to the last": "first",
    "the first text's choice was given to all; choose for each": "shared",
}


def _plain_greedy(model: GPTModel, ids: Tensor, n: int, slip: str = "") -> Tensor:
    limit = model.config.context_length
    with evaluating(model), torch.no_grad():
        for _ in range(n):
            seen = ids[:, :limit] if slip == "first" else ids[:, -limit:]
            seen = ids[:, -1:] if slip == "last" else seen
            logits = model(seen)
            assert isinstance(logits, Tensor)
            last = -logits[:, -1] if slip == "least" else logits[:, -1]
            last = last[:1].expand_as(last) if slip == "shared" else last
            ids = torch.cat([ids, last.argmax(-1, keepdim=True)], dim=1)
    return ids


_NORMALIZED = (-1.5, 1.5, -0.5, 0.5, 0.0)
_CENTERED = (-3.0, 3.0, -1.0, 1.0, 0.0)
_SCALE, _SHIFT = (2.0, 2.0, 2.0, 2.0, 1.0), (0.0, 0.0, 0.0, 0.0, 10.0)


def _learned(x: Sequence[float]) -> list[float]:
    return [a * b + c for a, b, c in zip(x, _SCALE, _SHIFT, strict=True)]


by_hand(
    "4.5",
    "Normalize by hand",
    hints=(
        "Three steps: mean, variance, and what the learned numbers do at the end.",
        "The mean is 5. The squares of (-3, 3, -1, 1, 0) add up to 20. Divide by the "
        "number of entries, not by one less.",
        "The standard deviation is 2, so the normalized vector is (-1.5, 1.5, -0.5, "
        "0.5, 0). Now multiply by the scale and add the shift, number by number.",
    ),
    fields=tuple(f"number {i}" for i in range(1, 6)),
    expected="five numbers",
    within=0.01,
    rules=[
        *(
            must_not_be(range(5), values, why)
            for values, why in (
                (
                    _NORMALIZED,
                    "that is the normalized vector; scale and shift are still to come",
                ),
                (
                    _CENTERED,
                    "the scale has been applied, the shift has not",
                ),
                (
                    _learned([x / 5**0.5 for x in _CENTERED]),
                    "it looks as if the sum of squares was divided by 4, which is the "
                    "unbiased variance; there are five numbers",
                ),
                (
                    _learned([x / 4 for x in _CENTERED]),
                    "it looks as if you divided by the variance, 4, instead of its "
                    "root",
                ),
            )
        ),
        must_be(
            range(5),
            _learned(_NORMALIZED),
            "({0}, {1}, {2}, {3}, {4}) is not it; which number do you get for the "
            "mean?",
        ),
    ],
    right="Right: (-3, 3, -1, 1, 10).",
)


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
    "4.6",
    "A parallel block",
    hints=(
        "How many times is the norm needed, and on what does it act?",
        "Compute the normalized copy once and give it to both parts.",
        "Call the copy y. Three things are added up: x, what attention makes of y, and "
        "what the feed-forward network makes of y. norm_2 and dropout are not called.",
    ),
)
def parallel_block(answer: Callable[[TransformerBlock, Tensor], Tensor]) -> str:
    """Compare with the formula; zeroed output layers must leave the stream alone."""
    block = _model().blocks[0]
    assert isinstance(block, TransformerBlock)
    x = torch.randn(
        2, 5, TINY.emb_dim, generator=torch.Generator().manual_seed(varied(1))
    )
    original = x.clone()
    with torch.no_grad(), _listening(block) as calls:
        given, again = answer(block, x), answer(block, x)
    require(
        not isinstance(given, tuple), "a pair came back; return the new vectors only"
    )
    given = _tensor(given, tuple(x.shape), "parallel_block(block, x)")
    require(torch.equal(x, original), "x itself was changed; work on new tensors")
    require(
        calls["dropout"] == 0 and torch.equal(given, again),
        "dropout was used; the task says without it",
    )
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
    "4.7",
    "Positions of real tokens",
    hints=(
        "How long is the longest row? How many fill each of the others?",
        "Make a tensor full of pad_id and a mask full of False, and write each row "
        "into the last len(row) columns.",
        "mask.cumsum(dim=1) counts the real tokens up to each place. The first of them "
        "should have position 0, and no position may be below 0: clamp(min=0) helps.",
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
    for chance in fresh(4):
        lengths = chance.choices(range(1, 7), k=4)
        _judge_rows(answer, [chance.choices(range(3, 12), k=n) for n in lengths])
    return "Right: real tokens count from 0, wherever they stand."


def _judge_rows(answer: Callable[..., Any], rows: list[list[int]]) -> None:
    """Compare ids, mask and positions of other rows with the right ones."""
    T = max(map(len, rows))
    ids = torch.tensor([[9] * (T - len(row)) + row for row in rows])
    mask = torch.tensor(
        [[column >= T - len(row) for column in range(T)] for row in rows]
    )
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    given = answer([list(row) for row in rows], 9)
    for name, one, right in zip(
        ("ids", "mask", "positions"), given, (ids, mask, positions), strict=True
    ):
        require(
            torch.equal(one, right),
            f"for the rows {rows} and the filler 9 the {name} are {one.tolist()}, "
            f"expected {right.tolist()}",
        )


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
    table = torch.randn(31, 31, generator=torch.Generator().manual_seed(varied(0)))
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
    "4.8",
    "Find the leak",
    hints=(
        "If you change the last token only, which leaks do you miss?",
        "Change one token at a time, each in turn, to another id, and compare all "
        "logits before it.",
        "For each t from 1 on: clone ids, change column t of the clone (one more, "
        "modulo 10, is another valid id), and compare the logits of both before t by "
        "torch.allclose, which allows for rounding.",
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


Read = Callable[[Tensor], Tensor]


def _with_cache(model: GPTModel, fault: str = "") -> Callable[[], Read]:
    """Begin texts of a model whose cache has a fault, or none."""

    def start() -> Read:
        cache = KVCache(model.config, 2)

        def read(piece: Tensor) -> Tensor:
            T, before = piece.shape[1], cache.length
            first = 0 if fault == "positions" else before
            positions = torch.arange(first, first + T)
            allowed = causal_mask(T, before + T, piece.device)
            if fault == "future":
                allowed = torch.ones_like(allowed)
            if fault == "window":  # sees the last four only
                allowed = allowed & ~allowed.tril(before - 4)
            x = model.token_embedding(piece) + model.position_embedding(positions)
            for block, layer in zip(model.blocks, cache.layers, strict=True):
                x = block(x, allowed=allowed, cache=layer)
                if fault == "batch":
                    layer.keys[1:], layer.values[1:] = layer.keys[:1], layer.values[:1]
                if fault == "overwrite" and before and T == 1:
                    layer.length -= 1
            if fault == "forgets":
                for layer in cache.layers:
                    layer.length = 0
            logits: Tensor = model.head(model.final_norm(x))
            return logits

        return read

    return start


@exercise(
    "4.9",
    "A cache on trial",
    hints=(
        "One way of cutting finds some of the faults. Which ways differ: all at once, "
        "token by token, a long piece after a short one?",
        "Cut the ids in many ways. For each, begin with start(), read one piece after "
        "the other, join the logits along dim=1 and compare them with model(ids) by "
        "torch.allclose. All texts of the batch must agree.",
        "For t from 1 to T - 1, the two pieces ids[:, :t] and ids[:, t:], and also all "
        "pieces of one token and pieces of two: ids.split(1, dim=1) and ids.split(2, "
        "dim=1) make them, and torch.cat([read(piece) for piece in pieces], dim=1) "
        "joins what they give.",
    ),
)
def cache_on_trial(answer: Callable[..., bool]) -> str:
    """Show it two sound caches and six with faults of different kinds."""
    model = _model()
    ids = _ids(2, 9, seed=4)
    original = ids.clone()
    faults = {
        "": "a cache without fault was called unsound; allow for rounding errors, "
        "and begin each text with start()",
        "forgets": "a cache that forgets everything after each piece passed as sound",
        "positions": "a cache whose new pieces begin at position 0 again passed as "
        "sound",
        "future": "in one cache the tokens of a piece see each other's future, and it "
        "passed as sound; read pieces of several tokens, too",
        "window": "one cache keeps the last four tokens only, and it passed as sound; "
        "read on for longer",
        "batch": "in one cache the second text reads the first one's keys, and it "
        "passed as sound; compare all texts",
        "overwrite": "in one cache each new single token takes the place of the one "
        "before it, and it passed as sound; read several single tokens in a row",
    }
    for fault, message in faults.items():
        with torch.no_grad():
            given = answer(_with_cache(model, fault), model, ids)
        require(isinstance(given, bool), f"expected True or False, got {given!r}")
        require(given == (not fault), message)
        require(torch.equal(ids, original), "ids were changed; work on a copy")
    return "Right: the sound cache passes, and six faults are found."


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
    "4.10",
    "Which block can go?",
    hints=(
        "A block that is left out passes its input on as it is.",
        "Go through the blocks yourself, as the logit lens does, and skip one.",
        "Two loops, one inside the other: the outer one says which block is left out, "
        "the inner one goes through all blocks and passes that one by. After the inner "
        "loop come final norm, head, and F.cross_entropy of the flattened logits and "
        "targets.",
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
