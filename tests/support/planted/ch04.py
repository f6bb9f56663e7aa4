"""Wrong answers to chapter 4's exercises, and words that their verdicts must hold."""

import torch
from torch.nn import functional as F

from llmbook_utils.model import evaluating


def counted(config, *, double=False, bias=True, final=True, positions=True):
    C, V, N = config.emb_dim, config.vocab_size, config.n_layers
    block = 12 * C * C + 10 * C + 3 * C * (config.qkv_bias if bias else 1)
    table = V * C * (2 if double or not config.tie_embeddings else 1)
    places = config.context_length * C * positions
    return table + places + N * block + 2 * C * final


def add_both(block, x):
    y = block.norm_1(x)
    return (x + block.attention(y)) + (x + block.feed_forward(y))


def one_after_the_other(block, x):
    x = x + block.attention(block.norm_1(x))
    return x + block.feed_forward(block.norm_1(x))


def sequential(block, x):
    x = x + block.attention(block.norm_1(x))
    return x + block.feed_forward(block.norm_2(x))


def on_the_norm(block, x):
    y = block.norm_1(x)
    return y + block.attention(y) + block.feed_forward(y)


def filled(left=True, by_id=False, columns=False, negative=False):
    def answer(rows, pad_id):
        T = max(map(len, rows))
        fill = [[pad_id] * (T - len(row)) for row in rows]
        ids = [f + r if left else r + f for f, r in zip(fill, rows, strict=True)]
        ids = torch.tensor(ids)
        n = torch.tensor([[len(row)] for row in rows])
        mask = torch.arange(T) >= T - n if left else torch.arange(T) < n
        mask = ids != pad_id if by_id else mask
        positions = mask.cumsum(1) - 1
        positions = positions if negative else positions.clamp(min=0)
        return ids, mask, torch.arange(T).expand(len(rows), T) if columns else positions

    return answer


def last_token_only(model, ids):
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 10
    return not torch.allclose(model(ids)[:, :-1], model(changed)[:, :-1], atol=1e-5)


def no_tolerance(model, ids):
    for t in range(1, ids.shape[1]):
        before = model(ids[:, :t])
        if not torch.equal(before, model(ids)[:, :t]):
            return True
    return False


def all_logits(model, ids):
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 10
    return not torch.allclose(model(ids), model(changed))


def loop(crop=True, off=True, restore=True, whole=True):
    def answer(model, ids, n):
        training, start = model.training, ids.shape[1]
        if off:
            model.eval()
        for _ in range(n):
            seen = ids[:, -model.config.context_length :] if crop else ids
            with torch.no_grad():
                best = model(seen)[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, best], dim=1)
        if restore:
            model.train(training)
        return ids if whole else ids[:, start:]

    return answer


def first_position(model, ids, n):
    with evaluating(model), torch.no_grad():
        for _ in range(n):
            best = model(ids[:, -model.config.context_length :])[:, 0]
            ids = torch.cat([ids, best.argmax(-1, keepdim=True)], dim=1)
    return ids


def losses(kind):
    def answer(model, ids, targets):
        result = []
        for skip in range(len(model.blocks)):
            x = model.token_embedding(ids)
            x = x + model.position_embedding(torch.arange(ids.shape[1]))
            for i, block in enumerate(model.blocks):
                if kind == "lens" and i >= skip:
                    break
                if kind == "alone" and i != skip:
                    continue
                if kind == "zeros" and i == skip:
                    x = torch.zeros_like(x)
                    continue
                x = block(x)
            logits = model.head(model.final_norm(x))
            result.append(F.cross_entropy(logits.flatten(0, 1), targets.flatten()))
        return result

    return answer


def for_good(model, ids, targets):
    result = []
    while len(model.blocks):
        del model.blocks[0]
        logits = model(ids)
        result.append(F.cross_entropy(logits.flatten(0, 1), targets.flatten()))
    return result


def cost(config, batch, n, size=4, *, both=2, layers=True, heads=False):
    numbers = both * config.emb_dim * n * batch * size
    return (
        numbers * (config.n_layers if layers else 1) * (config.n_heads if heads else 1)
    )


PLANTED = {
    "4.1": [
        ("no scale, no shift", "still to come", [-1.5, 1.5, -0.5, 0.5, 0]),
        ("no shift", "the shift has not", [-3, 3, -1, 1, 0]),
        ("unbiased", "unbiased", [-2.683, 2.683, -0.894, 0.894, 10]),
        ("no root", "instead of its root", [-1.5, 1.5, -0.5, 0.5, 10]),
        ("four numbers", "expected five", [-3, 3, -1, 1]),
    ],
    "4.2": [
        ("tied twice", "counted twice", lambda c: counted(c, double=True)),
        (
            "bias always",
            "there are no biases for queries",
            lambda c: counted(c, bias=False),
        ),
        (
            "no final norm",
            "the final norm was forgotten",
            lambda c: counted(c, final=False),
        ),
        (
            "no positions",
            "the table of positions",
            lambda c: counted(c, positions=False),
        ),
    ],
    "4.3": [
        ("shift", "added to all: a shift", [[1, 2, 3, 7], [2, 3, 4, 8]]),
        ("stretch", "a stretch alone", [[1, 2, 3, 7], [2, 4, 6, 14]]),
        ("signs", "opposite signs", [[1, 2, 3, 7], [0, -2, -4, -12]]),
        ("order", "tells them apart", [[1, 2, 3, 7], [7, 2, 3, 1]]),
        ("flat", "make it more than 1", [[1, 1, 1, 1], [2, 2, 2, 2]]),
    ],
    "4.4": [
        ("both add x", "added twice", add_both),
        ("one after the other", "read what attention had added", one_after_the_other),
        ("the usual block", "norm_2 was used", sequential),
        ("on the norm", "took the place of x", on_the_norm),
        ("a pair", "a pair came back", lambda block, x: (block(x), None)),
    ],
    "4.5": [
        ("right", "real tokens belong at the end", filled(left=False)),
        ("by id", "the lengths decide", filled(by_id=True)),
        ("columns", "count the columns", filled(columns=True)),
        ("negative", "a position of -1", filled(negative=True)),
    ],
    "4.6": [
        ("last token only", "the first token sees the second", last_token_only),
        ("all logits", "looks only backwards was called", all_logits),
        (
            "never",
            "whose tokens see the next one passed",
            lambda model, ids: False,
        ),
    ],
    "4.7": [
        ("no crop", "13 at most", loop(crop=False)),
        ("dropout on", "is dropout off", loop(off=False)),
        ("mode lost", "put it back", loop(restore=False)),
        ("new only", "the prompt belongs in front", loop(whole=False)),
        ("first position", "what the model would choose", first_position),
    ],
    "4.8": [
        ("keys only", "you have counted one", lambda *a: cost(*a, both=1)),
        ("one block", "each block has its own", lambda *a: cost(*a, layers=False)),
        ("heads", "the heads share", lambda *a: cost(*a, heads=True)),
    ],
    "4.9": [
        ("zeros", "replaced by zeros", losses("zeros")),
        ("alone", "one block ALONE", losses("alone")),
        ("lens", "the losses of the logit lens", losses("lens")),
        ("for good", "others want to use it", for_good),
    ],
}
