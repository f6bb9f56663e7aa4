"""Wrong answers to chapter 4's exercises, and words that their verdicts must hold."""

import torch
from torch import nn
from torch.nn import functional as F

from llmbook_utils.attention import MultiHeadAttention
from llmbook_utils.model import FeedForward, GPTModel, LayerNorm, evaluating


def norm(forward, make=None):
    """A class called RMSNorm with another forward pass, or another scale."""

    class RMSNorm(nn.Module):
        def __init__(self, emb_dim):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(emb_dim))
            if make:
                make(self, emb_dim)

    RMSNorm.forward = forward
    return RMSNorm


def rms(self, x, dim=-1, eps=1e-5):
    return x / torch.sqrt(x.pow(2).mean(dim=dim, keepdim=True) + eps) * self.scale


def no_mean(self, x):
    return rms(self, x - x.mean(dim=-1, keepdim=True))


def by_deviation(self, x):
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return x / torch.sqrt(variance + 1e-5) * self.scale


def no_root(self, x):
    return x / (x.pow(2).mean(dim=-1, keepdim=True) + 1e-5) * self.scale


def summed(self, x):
    return x / torch.sqrt(x.pow(2).sum(dim=-1, keepdim=True) + 1e-5) * self.scale


def for_all(self, x):
    return x / torch.sqrt(x.pow(2).mean() + 1e-5) * self.scale


def sizes(self, x):
    return x / x.abs().mean(dim=-1, keepdim=True) * self.scale


def eps_outside(self, x):
    root = x.pow(2).mean(dim=-1, keepdim=True).sqrt()
    return x / (root + 1e-5) * self.scale


def unscaled(self, x):
    return x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-5)


def scale_added(self, x):
    return unscaled(self, x) + self.scale - 1


def in_place(self, x):
    x /= torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-5)
    return x * self.scale


def flat(self, x):
    return (x * self.scale).mean(dim=-1)


def plain_scale(self, emb_dim):
    del self.scale
    self.scale = torch.ones(emb_dim)


def buffered_scale(self, emb_dim):
    del self.scale
    self.register_buffer("scale", torch.ones(emb_dim))


def with_shift(self, emb_dim):
    self.shift = nn.Parameter(torch.zeros(emb_dim))


def zero_scale(self, emb_dim):
    self.scale = nn.Parameter(torch.zeros(emb_dim))


def one_scale(self, emb_dim):
    self.scale = nn.Parameter(torch.ones(1))


def other_name(self, emb_dim):
    del self.scale
    self.weight = nn.Parameter(torch.ones(emb_dim))


def block(forward, make=None):
    """A class called MyBlock with another forward pass, or other parts."""

    class MyBlock(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.norm_1 = LayerNorm(config.emb_dim)
            self.attention = MultiHeadAttention(config)
            self.norm_2 = LayerNorm(config.emb_dim)
            self.feed_forward = FeedForward(config)
            self.dropout = nn.Dropout(config.drop_rate)
            if make:
                make(self, config)

    MyBlock.forward = forward
    return MyBlock


def right_block(self, x):
    x = x + self.dropout(self.attention(self.norm_1(x)))
    return x + self.dropout(self.feed_forward(self.norm_2(x)))


def post_norm(self, x):
    x = self.norm_1(x + self.dropout(self.attention(x)))
    return self.norm_2(x + self.dropout(self.feed_forward(x)))


def no_shortcut(self, x):
    x = self.dropout(self.attention(self.norm_1(x)))
    return self.dropout(self.feed_forward(self.norm_2(x)))


def first_shortcut_missing(self, x):
    x = self.dropout(self.attention(self.norm_1(x)))
    return x + self.dropout(self.feed_forward(self.norm_2(x)))


def second_shortcut_missing(self, x):
    x = x + self.dropout(self.attention(self.norm_1(x)))
    return self.dropout(self.feed_forward(self.norm_2(x)))


def stream_normalized(self, x):
    x = self.norm_1(x)
    x = x + self.dropout(self.attention(x))
    return x + self.dropout(self.feed_forward(self.norm_2(x)))


def both_normalized(self, x):
    x = self.norm_1(x)
    x = x + self.dropout(self.attention(x))
    x = self.norm_2(x)
    return x + self.dropout(self.feed_forward(x))


def old_input(self, x):
    gathered = self.dropout(self.attention(self.norm_1(x)))
    return x + gathered + self.dropout(self.feed_forward(self.norm_2(x)))


def attention_lost(self, x):
    y = x + self.dropout(self.attention(self.norm_1(x)))
    return x + self.dropout(self.feed_forward(self.norm_2(y)))


def one_norm(self, x):
    x = x + self.dropout(self.attention(self.norm_1(x)))
    return x + self.dropout(self.feed_forward(self.norm_1(x)))


def no_norms(self, x):
    x = x + self.dropout(self.attention(x))
    return x + self.dropout(self.feed_forward(x))


def other_order(self, x):
    x = x + self.dropout(self.feed_forward(self.norm_2(x)))
    return x + self.dropout(self.attention(self.norm_1(x)))


def no_dropout(self, x):
    x = x + self.attention(self.norm_1(x))
    return x + self.feed_forward(self.norm_2(x))


def drops_stream(self, x):
    x = self.dropout(x + self.attention(self.norm_1(x)))
    return self.dropout(x + self.feed_forward(self.norm_2(x)))


def drops_once(self, x):
    x = x + self.attention(self.norm_1(x))
    return x + self.dropout(self.feed_forward(self.norm_2(x)))


def always_drops(self, x):
    x = x + F.dropout(self.attention(self.norm_1(x)), 0.5)
    return x + F.dropout(self.feed_forward(self.norm_2(x)), 0.5)


def adds_in_place(self, x):
    x += self.dropout(self.attention(self.norm_1(x)))
    x += self.dropout(self.feed_forward(self.norm_2(x)))
    return x


def no_second_norm(self, config):
    del self.norm_2


def shared_norm(self, config):
    self.norm_2 = self.norm_1


def fixed_rate(self, config):
    self.dropout = nn.Dropout(0.1)


def torch_norms(self, config):
    self.norm_1, self.norm_2 = (
        nn.LayerNorm(config.emb_dim),
        nn.LayerNorm(config.emb_dim),
    )


def counted(config, *, attention=4, out=1, up=5, norms=4, **wrong):
    C, V, N = config.emb_dim, config.vocab_size, config.n_layers
    per_block = attention * C * C + out * C + 8 * C * C + up * C + norms * C
    per_block += 3 * C * (0 if wrong.get("no_bias") else config.qkv_bias)
    if wrong.get("bias_always"):
        per_block += 3 * C * (not config.qkv_bias)
    tables = 2 if wrong.get("double") or not config.tie_embeddings else 1
    tables = 1 if wrong.get("single") else tables
    places = 0 if wrong.get("no_positions") else config.context_length * C
    final = 0 if wrong.get("no_final") else 2 * C
    head = V if wrong.get("head_bias") else 0
    return V * C * tables + places + N * per_block + final + head


def builds(config):
    with torch.device("meta"):
        return sum(p.numel() for p in GPTModel(config, init="torch").parameters())


def builds_a_part(config):
    with torch.device("meta"):
        table = nn.Embedding(config.vocab_size, config.emb_dim)
    return counted(config) - config.vocab_size * config.emb_dim + table.weight.numel()


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


def with_dropout(block, x):
    y = block.norm_1(x)
    return x + block.dropout(block.attention(y)) + block.dropout(block.feed_forward(y))


def drops_always(block, x):
    y = block.norm_1(x)
    return x + F.dropout(block.attention(y) + block.feed_forward(y), 0.5)


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


def least_likely(model, ids, n):
    with evaluating(model), torch.no_grad():
        for _ in range(n):
            best = model(ids[:, -model.config.context_length :])[:, -1]
            ids = torch.cat([ids, best.argmin(-1, keepdim=True)], dim=1)
    return ids


def crops_too_soon(model, ids, n):
    with evaluating(model), torch.no_grad():
        for _ in range(n):
            best = model(ids[:, -1:])[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, best], dim=1)
    return ids


def keeps_the_first(model, ids, n):
    with evaluating(model), torch.no_grad():
        for _ in range(n):
            best = model(ids[:, : model.config.context_length])[:, -1]
            ids = torch.cat([ids, best.argmax(-1, keepdim=True)], dim=1)
    return ids


def one_too_few(model, ids, n):
    return loop()(model, ids, n - 1)


def first_text_only(model, ids, n):
    return loop()(model, ids[:1], n)


def one_choice_for_all(model, ids, n):
    with evaluating(model), torch.no_grad():
        for _ in range(n):
            best = model(ids[:, -model.config.context_length :])[:, -1].argmax(-1)
            ids = torch.cat([ids, best[:1].expand(len(ids))[:, None]], dim=1)
    return ids


def with_gradients(model, ids, n):
    with evaluating(model):
        for _ in range(n):
            logits = model(ids[:, -model.config.context_length :])[:, -1]
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
    return ids + 0 * logits.sum()


def strings(model, ids, n):
    return loop()(model, ids, n).tolist()


def trained_after(model, ids, n):
    result = loop()(model, ids, n)
    model.train()
    return result


def cut(*sizes, texts=slice(None), fresh=True, exact=False):
    """Try these ways of cutting only."""

    def answer(start, model, ids):
        wanted, read = model(ids), start()
        for size in sizes:
            read = start() if fresh else read
            found = torch.cat([read(piece) for piece in ids.split(size, 1)], 1)
            same = (
                torch.equal(found, wanted)
                if exact
                else torch.allclose(found[texts], wanted[texts], atol=1e-3)
            )
            if not same:
                return False
        return True

    return answer


def short_text(start, model, ids):
    return cut(1, 2)(start, model, ids[:, :4])


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


PLANTED = {
    "4.1": [
        ("mean subtracted", "the mean was subtracted", norm(no_mean)),
        ("standard deviation", "measured from the mean", norm(by_deviation)),
        ("no root", "the root is missing", norm(no_root)),
        ("sum", "the squares were summed", norm(summed)),
        ("over tokens", "over the tokens", norm(lambda s, x: rms(s, x, dim=1))),
        ("all at once", "for the whole tensor", norm(for_all)),
        ("mean of sizes", "without squares and root", norm(sizes)),
        ("epsilon outside", "is added to the mean of the squares", norm(eps_outside)),
        ("scale unused", "does not depend on scale", norm(unscaled)),
        ("scale added", "scale was added", norm(scale_added)),
        ("in place", "x itself was changed", norm(in_place)),
        ("one axis lost", "has the shape (2, 5)", norm(flat)),
        ("plain tensor", "a plain tensor", norm(rms, plain_scale)),
        ("buffer", "is a buffer", norm(rms, buffered_scale)),
        ("a shift", "has no shift", norm(rms, with_shift)),
        ("zeros", "should begin as ones", norm(rms, zero_scale)),
        ("one number", "one number for each column", norm(rms, one_scale)),
        ("another name", "['weight']", norm(rms, other_name)),
        ("a function", "expected the class itself", lambda x: x),
    ],
    "4.2": [
        ("post-norm", "that is post-norm", block(post_norm)),
        ("no shortcut", "no shortcut at all", block(no_shortcut)),
        ("first shortcut", "carries x past attention", block(first_shortcut_missing)),
        (
            "second shortcut",
            "second shortcut is missing",
            block(second_shortcut_missing),
        ),
        ("norm on the stream", "give attention a normalized", block(stream_normalized)),
        ("norms on the stream", "both streams were normalized", block(both_normalized)),
        ("old input", "read the block's input", block(old_input)),
        ("attention lost", "what attention added is lost", block(attention_lost)),
        ("one norm", "both branches use norm_1", block(one_norm)),
        ("no norms", "the norms are not used", block(no_norms)),
        ("order", "the feed-forward network comes first", block(other_order)),
        ("empty", "returns x as it came", block(lambda self, x: 1.0 * x)),
        ("no dropout", "self.dropout is never used", block(no_dropout)),
        ("drops the stream", "should lose nothing", block(drops_stream)),
        ("drops once", "dropout is applied once", block(drops_once)),
        ("always drops", "dropout goes on after eval()", block(always_drops)),
        ("in place", "x += ... does that", block(adds_in_place)),
        ("a pair", "a pair came back", block(lambda s, x: (right_block(s, x), None))),
        ("norm_2 missing", "has no norm_2", block(right_block, no_second_norm)),
        ("one object", "are one object", block(right_block, shared_norm)),
        ("fixed rate", "the dropout rate is 0.1", block(right_block, fixed_rate)),
        ("other norms", "only in one of your block", block(right_block, torch_norms)),
        ("a function", "expected the class itself", right_block),
    ],
    "4.3": [
        ("tied twice", "counted twice", lambda c: counted(c, double=True)),
        ("one table", "has a second table", lambda c: counted(c, single=True)),
        ("bias always", "there are no biases", lambda c: counted(c, bias_always=True)),
        ("bias never", "values have biases", lambda c: counted(c, no_bias=True)),
        ("no final norm", "final norm was", lambda c: counted(c, no_final=True)),
        ("no positions", "table of positions", lambda c: counted(c, no_positions=True)),
        ("no norms", "two norms of each block were", lambda c: counted(c, norms=0)),
        ("one norm", "a scale and a shift", lambda c: counted(c, norms=2)),
        ("no output bias", "has a bias, and so", lambda c: counted(c, out=0)),
        ("no biases in between", "network have biases", lambda c: counted(c, up=0)),
        ("no attention", "four matrices of C by C", lambda c: counted(c, attention=0)),
        (
            "head with bias",
            "the head has no bias",
            lambda c: counted(c, head_bias=True),
        ),
        ("builds the model", "your function built a GPTModel", builds),
        ("builds a part", "your function built an Embedding", builds_a_part),
        ("text", "expected a whole number", lambda c: f"{counted(c):,}"),
    ],
    "4.4": [
        ("no crop", "13 at most", loop(crop=False)),
        ("dropout on", "is dropout off", loop(off=False)),
        ("mode lost", "came in training mode", loop(restore=False)),
        ("trains", "came in evaluation mode", trained_after),
        ("new only", "the prompt belongs in front", loop(whole=False)),
        ("first position", "from token 5 on", first_position),
        ("least likely", "least likely", least_likely),
        ("last token only", "the last token alone", crops_too_soon),
        ("keeps the first", "the first ones were kept", keeps_the_first),
        ("one too few", "expected (2, 9)", one_too_few),
        ("first text only", "every text of the batch", first_text_only),
        ("one choice", "the first text's choice", one_choice_for_all),
        ("gradients", "carries gradients", with_gradients),
        ("a list", "gives list, no tensor", strings),
    ],
    "4.5": [
        ("no scale, no shift", "still to come", [-1.5, 1.5, -0.5, 0.5, 0]),
        ("no shift", "the shift has not", [-3, 3, -1, 1, 0]),
        ("unbiased", "unbiased", [-2.683, 2.683, -0.894, 0.894, 10]),
        ("no root", "instead of its root", [-1.5, 1.5, -0.5, 0.5, 10]),
        ("four numbers", "expected five", [-3, 3, -1, 1]),
        ("other numbers", "(-1.2, 3, -1, 1, 10) is not it", [-1.2, 3, -1, 1, 10]),
    ],
    "4.6": [
        ("both add x", "added twice", add_both),
        ("one after the other", "read what attention had added", one_after_the_other),
        ("the usual block", "norm_2 was used", sequential),
        ("on the norm", "took the place of x", on_the_norm),
        ("a pair", "a pair came back", lambda block, x: (block(x), None)),
        ("dropout", "without it", with_dropout),
    ],
    "4.7": [
        ("right", "real tokens belong at the end", filled(left=False)),
        ("by id", "the lengths decide", filled(by_id=True)),
        ("columns", "count the columns", filled(columns=True)),
        ("negative", "a position of -1", filled(negative=True)),
    ],
    "4.8": [
        ("last token only", "the first token sees the second", last_token_only),
        ("all logits", "looks only backwards was called", all_logits),
        (
            "never",
            "whose tokens see the next one passed",
            lambda model, ids: False,
        ),
        ("exact", "allow for rounding", no_tolerance),
    ],
    "4.9": [
        ("always", "forgets everything", lambda start, model, ids: True),
        ("never", "was called unsound", lambda start, model, ids: False),
        ("one by one", "each other's future", cut(1)),
        ("short text", "keeps the last four", short_text),
        ("long pieces", "takes the place", cut(2, 5)),
        ("first text", "reads the first one's keys", cut(1, 2, 3, texts=slice(1))),
        ("no answer", "expected True or False", lambda start, model, ids: ids),
    ],
    "4.10": [
        ("zeros", "replaced by zeros", losses("zeros")),
        ("alone", "one block ALONE", losses("alone")),
        ("lens", "the losses of the logit lens", losses("lens")),
        ("for good", "others want to use it", for_good),
    ],
}
