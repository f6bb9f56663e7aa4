"""Wrong answers to chapter 3's exercises, and words that their verdicts must hold."""

import torch
from torch.nn import functional as F

from llmbook_utils.attention import causal_mask, fused_attention


def plain_softmax(scores):
    return scores.exp() / scores.exp().sum(dim=-1, keepdim=True)


def shifted(scores, largest):
    powers = (scores - largest).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def one_largest(scores):
    return shifted(scores, scores.max())


def wrong_axis(scores):
    return torch.softmax(scores, dim=1)


def nan_row(scores):
    return shifted(scores, scores.amax(dim=-1, keepdim=True))


def change_last_only(attend, x):
    changed = x.clone()
    changed[-1] += 1
    return torch.allclose(attend(x)[0], attend(changed)[0], atol=1e-5)


def every_output(attend, x):
    changed = x.clone()
    changed[-1] += 1
    return torch.allclose(attend(x), attend(changed), atol=1e-5)


def exact(attend, x):
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t] += 1
        if not torch.equal(attend(x)[:t], attend(changed)[:t]):
            return False
    return True


def in_place(attend, x):
    for t in range(1, len(x)):
        before = attend(x)
        x[t] += 1
        if not torch.allclose(before[:t], attend(x)[:t], atol=1e-5):
            return False
    return True


def first_output_only(attend, x):
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t] += 1
        if not torch.allclose(attend(x)[0], attend(changed)[0], atol=1e-5):
            return False
    return True


def next_allowed(attend, x):
    for t in range(2, len(x)):
        changed = x.clone()
        changed[t] += 1
        if not torch.allclose(attend(x)[: t - 1], attend(changed)[: t - 1], atol=1e-5):
            return False
    return True


def reach(window, lower=0):
    def answer(T, size):
        ones = torch.ones(T, T, dtype=torch.bool)
        return ones.tril(lower) & ~ones.tril(-size - window)

    return answer


def padding(mask):
    def answer(q, k, v, real):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask(real))

    return answer


def causal(real):
    return causal_mask(real.shape[1], real.shape[1], real.device)


def keys(real):
    return real[:, None, None, :]


def grouped(spread, is_causal=True):
    def answer(q, k, v):
        share = q.shape[1] // k.shape[1]
        return F.scaled_dot_product_attention(
            q, spread(k, share), spread(v, share), is_causal=is_causal
        )

    return answer


def spread(x, share):
    return x.repeat_interleave(share, dim=1)


def one_for_all(q, k, v):
    return fused_attention(q[:, : k.shape[1]], k, v, None, 0.0)


PLANTED = {
    "3.1": [
        ("not scaled", "have not been divided", [0.12, 0.02, 0.87, 1.51]),
        ("divided by D", "not by its root", [0.31, 0.19, 0.51, 6.84]),
        ("no softmax", "powers of e first", [0.33, 0.0, 0.67, 3.33]),
        ("context missing", "three weights and the context", [0.24, 0.09, 0.67]),
        ("context wrong", "the context is not", [0.24, 0.09, 0.67, 10.0]),
    ],
    "3.2": [
        ("nothing taken away", "overflow", plain_softmax),
        ("one largest for all", "its own largest", one_largest),
        ("another axis", "another axis", wrong_axis),
        ("hidden row", "nothing but -inf", nan_row),
    ],
    "3.3": [
        ("the same", "the same query matrix", lambda q, k: (q, k)),
        ("exchanged", "exchanged", lambda q, k: (k, q)),
        ("not undone", "must be undone", lambda q, k: (2 * q, 2 * k)),
    ],
    "3.4": [
        ("later outputs compared", "over a token and those before", every_output),
        ("no tolerance", "are rounding", exact),
        ("works on x itself", "has changed", in_place),
        ("first output only", "from the last token to one in", first_output_only),
        ("next token forgiven", "tril(1)", next_allowed),
    ],
    "3.5": [
        ("one too far", "one token too far", reach(1)),
        ("one too few", "not look at itself", reach(-1)),
        ("future", "see the future", reach(0, lower=1)),
        ("no window", "whole causal triangle", lambda T, _: reach(0)(T, T)),
        ("numbers", "should be Boolean", lambda T, w: reach(0)(T, w).float()),
    ],
    "3.6": [
        ("projection forgotten", "projection has not", lambda C, H, b: 3 * C * C),
        ("its bias forgotten", "lacks the bias", lambda C, H, b: 4 * C * C + 3 * C * b),
        ("times heads", "every head has only", lambda C, H, b: (3 * H + 1) * C * C + C),
    ],
    "3.7": [
        ("real only", "the future is not hidden", padding(keys)),
        ("upside down", "True means may look", padding(lambda r: ~causal(r) & keys(r))),
        ("empty rows", "has nobody to look at", padding(lambda r: causal(r) & keys(r))),
        ("padding ignored", "has no effect", padding(causal)),
    ],
    "3.8": [
        ("taking turns", "take turns", grouped(lambda x, n: x.repeat(1, n, 1, 1))),
        ("no mask", "the future is not hidden", grouped(spread, is_causal=False)),
        ("fewer query heads", "has the shape", one_for_all),
    ],
    "3.9": [
        ("too few", "at least 16", [(0, 0), (0, 1)]),
        ("twice", "twice", [(0, 0)] * 16),
        ("no such head", "there is no head", [(6, 0)]),
        ("two blocks", "to the loss", [(b, h) for b in (0, 1) for h in range(8)]),
    ],
}
