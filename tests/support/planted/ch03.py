"""Wrong answers to chapter 3's exercises, and words that their verdicts must hold."""

import math

import torch
from torch import nn
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
    powers = scores.exp()
    return powers / powers.sum(dim=1, keepdim=True)


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


def soft(scores, dim=-1):
    return torch.softmax(scores, dim=dim)


def formula(weigh):
    """Attention with the weights that `weigh` makes of the raw scores and D."""

    def answer(Q, K, V):
        return weigh(Q @ K.transpose(-2, -1), math.sqrt(Q.shape[-1])) @ V

    return answer


def flat_transpose(Q, K, V):
    return soft(Q @ K.t() / math.sqrt(Q.shape[-1])) @ V


def summed(s, _):
    return s / s.sum(dim=-1, keepdim=True)


def token_root(s, _):
    return soft(s / math.sqrt(s.shape[-1]))


def future_hidden(s, root):
    past = torch.ones_like(s, dtype=torch.bool).tril()
    return soft(s.masked_fill(~past, -torch.inf) / root)


def triangle(s, edge=0):
    return torch.ones_like(s, dtype=torch.bool).tril(edge)


def hide(s, edge=0, value=-torch.inf):
    return s.masked_fill(~triangle(s, edge), value)


def renormalized(s):
    kept = soft(s) * triangle(s)
    return kept / kept.sum(dim=-1, keepdim=True)


def changes_its_input(s):
    return soft(s.masked_fill_(~triangle(s), -torch.inf))


def one_table_only(s):
    T = len(s)
    return soft(s.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -torch.inf))


def triangle_of_ones(s):
    return triangle(s) / triangle(s).sum(dim=-1, keepdim=True)


def heads_class(**how):
    """A MultiHead class that does one thing in another way."""

    class Planted(nn.Module):
        def __init__(self, emb_dim, n_heads):
            super().__init__()
            self.n_heads = how.get("n_heads", n_heads)
            for name in how.get("names", ("W_q", "W_k", "W_v")):
                bias = how.get("bias", False)
                width = how.get("width", lambda C, H: C)(emb_dim, n_heads)
                self.add_module(name, nn.Linear(emb_dim, width, bias=bias))
            self.out = nn.Linear(emb_dim, emb_dim)

        def split(self, x):
            B, T, C = x.shape
            H = self.n_heads
            if how.get("split") == "view":
                return x.view(B, H, T, C // H)
            if how.get("split") == "turns":
                return x.view(B, T, C // H, H).permute(0, 3, 1, 2)
            return x.view(B, T, H, C // H).transpose(1, 2)

        def forward(self, x):
            B, T, C = x.shape
            q, k, v = (self.split(W(x)) for W in (self.W_q, self.W_k, self.W_v))
            if how.get("swap"):
                q, k = k, q
            s = q @ k.transpose(-2, -1) / how.get("root", math.sqrt(C // self.n_heads))
            weigh = how.get("weigh", lambda s: soft(hide(s)))
            gathered = weigh(s) @ v
            if how.get("join", True):
                gathered = gathered.transpose(1, 2)
            joined = gathered.reshape(B, T, C)
            return self.out(joined) if how.get("project", True) else joined

    return Planted


def whole_class(s):
    """Five tokens and no others."""
    return soft(s.masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -torch.inf))


def change_last_all_before(attend, x):
    changed = x.clone()
    changed[-1] += 1
    return torch.allclose(attend(x)[:-1], attend(changed)[:-1], atol=1e-5)


def pytorchs(scores):
    return torch.softmax(scores, dim=-1).nan_to_num(0)


def one_bias_short(C, H, b):
    return 4 * C * C + C


PLANTED = {
    "3.1": [
        ("not divided", "have not been divided", formula(lambda s, r: soft(s))),
        ("divided by D", "by D, which is 4", formula(lambda s, r: soft(s / r**2))),
        ("root of 2", "by the root of 2", formula(lambda s, r: soft(s / 2**0.5))),
        ("root of T", "root of the number of tokens", formula(token_root)),
        ("columns", "goes along the columns", formula(lambda s, r: soft(s / r, -2))),
        (
            "first axis",
            "count the axes from the end",
            formula(lambda s, r: soft(s / r, 1)),
        ),
        ("no softmax", "there is no softmax", formula(lambda s, r: s / r)),
        ("sums", "divided by their sum", formula(summed)),
        ("late", "comes after the softmax", formula(lambda s, r: soft(s) / r)),
        ("exchanged", "are exchanged", lambda Q, K, V: soft(K @ Q.mT / 2) @ V),
        ("keys mixed", "mix are the keys", lambda Q, K, V: soft(Q @ K.mT / 2) @ K),
        ("queries mixed", "are the queries", lambda Q, K, V: soft(Q @ K.mT / 2) @ Q),
        ("weights", "these are the weights", lambda Q, K, V: soft(Q @ K.mT / 2)),
        ("transposed", "is transposed", formula(lambda s, r: soft(s / r).mT)),
        ("causal", "the future is hidden", formula(future_hidden)),
        ("one table", "transpose(-2, -1)", flat_transpose),
        ("two results", "return a tuple", lambda Q, K, V: (V, Q @ K.mT)),
        ("other", "is not softmax", lambda Q, K, V: V),
    ],
    "3.2": [
        ("colleague", "still your colleague's", lambda s: soft(s) * triangle(s)),
        ("no mask", "nothing is hidden", soft),
        ("one ahead", "sees the next one", lambda s: soft(hide(s, 1))),
        ("itself hidden", "no token looks at itself", lambda s: soft(hide(s, -1))),
        (
            "upside down",
            "upside down",
            lambda s: soft(s.masked_fill(triangle(s), -torch.inf)),
        ),
        ("columns", "goes along the columns", lambda s: soft(hide(s), -2)),
        ("zero scores", "has the score 0", lambda s: soft(s * triangle(s))),
        ("no softmax", "softmax is missing", hide),
        ("too late", "after the softmax", lambda s: hide(soft(s))),
        ("even", "these are even weights", triangle_of_ones),
        ("divided again", "are scaled already", lambda s: soft(hide(s) / 5**0.5)),
        ("nearly", "a weight of the future is", lambda s: soft(hide(s, value=-5.0))),
        ("renormalized", "a score of 200", renormalized),
        ("in place", "work on a copy", changes_its_input),
        ("one table", "it stops", one_table_only),
        ("last row", "the weights have the shape", lambda s: soft(hide(s))[-1]),
        ("rows to 2", "the rows add up to", lambda s: 2 * soft(hide(s))),
    ],
    "3.3": [
        ("no mask", "the future is not hidden", heads_class(weigh=soft)),
        (
            "one ahead",
            "sees the next one",
            heads_class(weigh=lambda s: soft(hide(s, 1))),
        ),
        (
            "zeroed",
            "the sums of the rows leak",
            heads_class(weigh=lambda s: soft(s) * triangle(s)),
        ),
        ("not divided", "have not been divided", heads_class(root=1.0)),
        ("root of C", "by the root of C", heads_class(root=12**0.5)),
        ("by D", "by D, not by its root", heads_class(root=4.0)),
        ("pieces", "pieces of the text", heads_class(split="view", join=False)),
        ("split", "takes whole tokens", heads_class(split="view")),
        ("join", "has to become", heads_class(join=False)),
        ("turns", "yours take turns", heads_class(split="turns")),
        ("one head", "only one head", heads_class(n_heads=1)),
        ("no projection", "has not been applied", heads_class(project=False)),
        (
            "columns",
            "along the queries",
            heads_class(weigh=lambda s: soft(hide(s), -2)),
        ),
        ("swapped", "keys are exchanged", heads_class(swap=True)),
        ("bias", "should have no bias", heads_class(bias=True)),
        ("names", "called W_q", heads_class(names=("query", "key", "value"))),
        ("narrow", "for all heads together", heads_class(width=lambda C, H: C // H)),
        ("length", "The size of tensor", heads_class(weigh=whole_class)),
        ("a function", "which inherits from", lambda x: x),
    ],
    "3.4": [
        ("not scaled", "have not been divided", [0.12, 0.02, 0.87, 1.51]),
        ("divided by D", "not by its root", [0.31, 0.19, 0.51, 6.84]),
        ("no softmax", "powers of e first", [0.33, 0.0, 0.67, 3.33]),
        ("context missing", "three weights and the context", [0.24, 0.09, 0.67]),
        ("context wrong", "the context is not", [0.24, 0.09, 0.67, 10.0]),
        ("sum", "and yours to 1.3", [0.5, 0.3, 0.5, 4.25]),
        ("other weights", "as weights should", [0.6, 0.3, 0.1, 4.25]),
    ],
    "3.5": [
        ("nothing taken away", "overflow", plain_softmax),
        ("one largest for all", "its own largest", one_largest),
        ("another axis", "another axis", wrong_axis),
        ("hidden row", "nothing but -inf", nan_row),
        ("PyTorch's", "you call PyTorch's softmax", pytorchs),
    ],
    "3.6": [
        ("the same", "the same query matrix", lambda q, k: (q, k)),
        ("exchanged", "exchanged", lambda q, k: (k, q)),
        ("not undone", "must be undone", lambda q, k: (2 * q, 2 * k)),
        ("another shape", "expected two matrices", lambda q, k: (q.T, k.T)),
    ],
    "3.7": [
        ("later outputs compared", "over a token and those before", every_output),
        ("no tolerance", "are rounding", exact),
        ("works on x itself", "has changed", in_place),
        ("first output only", "not only the first", first_output_only),
        ("last token only", "between two neighbors", change_last_all_before),
        ("next token forgiven", "tril(1)", next_allowed),
    ],
    "3.8": [
        ("one too far", "one token too far", reach(1)),
        ("one too few", "not look at itself", reach(-1)),
        ("future", "see the future", reach(0, lower=1)),
        ("no window", "whole causal triangle", lambda T, _: reach(0)(T, T)),
        ("numbers", "should be Boolean", lambda T, w: reach(0)(T, w).float()),
    ],
    "3.9": [
        ("projection forgotten", "projection has not", lambda C, H, b: 3 * C * C),
        ("its bias forgotten", "lacks the bias", lambda C, H, b: 4 * C * C + 3 * C * b),
        ("qkv_bias forgotten", "biases of queries, keys and", one_bias_short),
        ("times heads", "every head has only", lambda C, H, b: (3 * H + 1) * C * C + C),
    ],
    "3.10": [
        ("real only", "the future is not hidden", padding(keys)),
        ("upside down", "True means may look", padding(lambda r: ~causal(r) & keys(r))),
        ("empty rows", "has nobody to look at", padding(lambda r: causal(r) & keys(r))),
        ("padding ignored", "has no effect", padding(causal)),
    ],
    "3.11": [
        ("taking turns", "take turns", grouped(lambda x, n: x.repeat(1, n, 1, 1))),
        ("no mask", "the future is not hidden", grouped(spread, is_causal=False)),
        ("fewer query heads", "has the shape", one_for_all),
        (
            "values only",
            "the numbers are not",
            lambda q, k, v: spread(v, q.shape[1] // v.shape[1]),
        ),
    ],
    "3.12": [
        ("too few", "at least 16", [(0, 0), (0, 1)]),
        ("twice", "twice", [(0, 0)] * 16),
        ("no such head", "there is no head", [(6, 0)]),
        ("two blocks", "to the loss", [(b, h) for b in (0, 1) for h in range(8)]),
    ],
}
