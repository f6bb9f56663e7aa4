"""Classifying: what is read, where, how it is learned, counted and kept."""

import json
from dataclasses import replace

import pytest
import torch
from models import TINY, build
from sklearn import metrics
from transformers import GPT2ForSequenceClassification

from llmbook_utils.classify import (
    Classifier,
    Confusion,
    balance,
    classify,
    collate,
    confusion,
    create_message_loader,
    drop_near_duplicates,
    encode,
    explain_by_deletion,
    fine_tune,
    fit_temperature,
    last_position,
    load_classifier,
    log_odds,
    logit,
    logits_of,
    pad,
    pieces,
    replace_head,
    save_classifier,
    split,
    train_only,
    wilson,
)
from llmbook_utils.files.datasets import fetch
from llmbook_utils.files.labeled import read_challenge, read_labeled
from llmbook_utils.loss import IGNORED
from llmbook_utils.model import evaluating
from llmbook_utils.pretrained import load_pretrained

TEXTS = [
    "ok",
    "see you at five, same place as last time",
    "You have WON! Text CLAIM to 80086 now, cost 150p per message, over 18s only",
    "did you feed the cat? she is on my keyboard again",
    "😀😀😀",
]


@pytest.fixture(scope="module")
def messages():
    return read_labeled(fetch("sms-spam"))


@pytest.fixture(scope="module")
def mini():
    """The book's model with a new head; nobody trains it here."""
    model, tokenizer = load_pretrained("mini")
    replace_head(model)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.head.weight)  # verdicts that differ
    return Classifier(model, tokenizer, temperature=1.5, shift=-0.75, threshold=0.25)


# data


def test_the_collection_is_read_unquoted(messages):
    assert len(messages) == 5574
    assert sum(label for _, label in messages) == 747
    assert any('"' in text for text, _ in messages)


def test_the_parts_of_the_collection(messages):
    kept = drop_near_duplicates(messages)
    parts = split(kept)
    assert [len(part) for part in (kept, *parts)] == [4960, 3492, 463, 1005]
    assert [sum(y for _, y in part) for part in (kept, *parts)] == [484, 345, 39, 100]
    assert sorted([*parts[0], *parts[1], *parts[2]]) == sorted(kept)


def test_near_duplicates_share_pieces():
    texts = [
        "Call 0800 123 NOW!!",
        "call 0900 777 now",
        "Call me now",
        "ok",
        "OK.",
        "7",
    ]
    kept = drop_near_duplicates([(text, 0) for text in texts])
    assert [text for text, _ in kept] == [
        "Call 0800 123 NOW!!",
        "Call me now",
        "ok",
        "7",
    ]
    assert pieces("12") == {"12"}


def test_near_duplicates_agree_with_all_pairs():
    """Equal to comparing each message with all that were kept."""
    texts = [text for text, _ in read_labeled(fetch("sms-spam"))[:300]]
    texts += [text[: len(text) * 3 // 4] for text in texts[::3]]
    kept = []
    for text in texts:
        mine = pieces(text)
        alike = [len(mine & pieces(t)) / len(mine | pieces(t)) for t in kept]
        if max(alike, default=0) < 0.7:
            kept.append(text)
    found = drop_near_duplicates([(text, 0) for text in texts])
    assert [text for text, _ in found] == kept
    assert len(kept) < len(texts)


def test_the_split_depends_on_each_text_alone(messages):
    some = messages[:400]
    parts = split(some)
    again = split(some[::-1] + messages[400:])
    for part, larger in zip(parts, again, strict=True):
        assert set(part) <= set(larger)
    shares = [len(part) / len(messages) for part in split(messages)]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


def test_balance_takes_as_many_of_each(messages):
    even = balance(messages, seed=1)
    assert len(even) == 2 * 747 and sum(y for _, y in even) == 747
    assert balance(messages, seed=1) == even != balance(messages, seed=2)


def test_the_challenge_set():
    rows = read_challenge()
    texts = [row["text"] for row in rows]
    assert len(rows) == len(set(texts)) == 200
    assert sum(row["label"] == "spam" for row in rows) == 100
    assert all(row.keys() == {"label", "text", "reason"} for row in rows)
    # no two from one template
    assert len(drop_near_duplicates([(text, 0) for text in texts], 0.4)) == 200


# reading


def test_encode_cuts_at_the_end_and_strips(mini):
    ids = encode(mini.tokenizer, "  see you at five \n", 100)
    assert ids == mini.tokenizer.encode_ordinary("see you at five")
    assert encode(mini.tokenizer, "see you at five", 2) == ids[:2]
    with pytest.raises(ValueError, match="the text is empty"):
        encode(mini.tokenizer, " \t", 10)
    with pytest.raises(ValueError, match="max_length is 0"):
        encode(mini.tokenizer, "ok", 0)


def test_pad_refuses_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="expected 1 to 2"):
        pad([[1, 2, 3]], length=2)
    with pytest.raises(ValueError, match="expected 1 to 2"):
        pad([[1, 2], []])


@pytest.mark.parametrize("length", [60, 120, 256])
def test_padding_changes_nothing_at_the_last_real_token(mini, length):
    given = mini.model, mini.tokenizer, TEXTS
    alone = torch.cat([logits_of(*given[:2], [text]) for text in TEXTS])
    padded = logits_of(*given, length=length)
    torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-4)
    # the faulty rule reads at padding, and its answer depends on how much there is
    faulty = logits_of(*given, length=length, read_at=last_position)
    assert (faulty - alone).abs().max() > 0.1


def test_the_mask_makes_no_difference_at_the_last_real_token(mini):
    ids, mask = pad([encode(mini.tokenizer, text, 128) for text in TEXTS])
    with torch.no_grad(), evaluating(mini.model):
        ends = torch.arange(len(ids)), mask.sum(1) - 1
        with_mask = mini.model(ids, mask=mask)[ends]
        torch.testing.assert_close(
            mini.model(ids)[ends], with_mask, rtol=1e-4, atol=1e-4
        )


def test_a_batch_has_one_target_per_message():
    ids, targets = collate([([5, 6, 7], 1), ([8], 0)], length=5)
    assert ids.tolist() == [[5, 6, 7, 0, 0], [8, 0, 0, 0, 0]]
    assert (targets != IGNORED).nonzero().tolist() == [[0, 2], [1, 0]]
    _, faulty = collate([([5, 6, 7], 1), ([8], 0)], last_position, 5)
    assert (faulty != IGNORED).nonzero().tolist() == [[0, 4], [1, 4]]


def test_a_loader_serves_each_message_once_a_pass(mini, messages):
    some = messages[:100]
    loader = create_message_loader(some, mini.tokenizer, batch_size=16, seed=3)
    passes = [list(loader) for _ in range(2)]
    assert len(loader) == len(passes[0]) == 7
    for batches in passes:
        rows = [tuple(x[x != 0].tolist()) for ids, _ in batches for x in ids]
        expected = [encode(mini.tokenizer, text, 128) for text, _ in some]
        assert sorted(rows) == sorted(tuple(i for i in row if i) for row in expected)
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(*passes, strict=True))
    again = create_message_loader(some, mini.tokenizer, batch_size=16, seed=3)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(passes[0], again, strict=True))
    with pytest.raises(ValueError, match="there are no messages"):
        create_message_loader([], mini.tokenizer)


# head and training


def test_the_new_head_unties_and_leaves_the_embeddings():
    model = build(TINY)
    table = model.token_embedding.weight.clone()
    assert model.head.weight is model.token_embedding.weight
    assert replace_head(model, 2, seed=4) is model
    assert model(torch.tensor([[1, 2, 3]])).shape == (1, 3, 2)
    assert not model.config.tie_embeddings
    assert torch.equal(model.token_embedding.weight, table)
    other = replace_head(build(TINY), 2, seed=4)
    assert torch.equal(model.head.weight, other.head.weight)
    with pytest.raises(ValueError, match="n_classes is 1"):
        replace_head(build(TINY), 1)


@pytest.mark.parametrize("last_blocks", [0, 1, 2])
def test_what_is_frozen_stays(last_blocks, mini, messages):
    model = replace_head(build(TINY))
    n = train_only(model, last_blocks)
    before = {name: p.clone() for name, p in model.named_parameters()}
    trained = ("head", "final_norm", *(f"blocks.{1 - i}" for i in range(last_blocks)))
    rows = create_message_loader(messages[:8], mini.tokenizer)
    small = [(ids[:, :20] % 61, targets[:, :20]) for ids, targets in rows]
    from llmbook_utils.train import create_optimizer, train

    train(model, small, optimizer=create_optimizer(model, 0.01), epochs=1)
    changed = {k for k, p in model.named_parameters() if not torch.equal(p, before[k])}
    assert changed == {name for name in before if name.startswith(trained)}
    assert n == sum(before[name].numel() for name in changed)


def test_train_only_refuses_blocks_that_are_not_there():
    with pytest.raises(ValueError, match=r"last_blocks is 3; this model has 0 to 2"):
        train_only(replace_head(build(TINY)), 3)
    assert train_only(replace_head(build(TINY))) == sum(
        p.numel() for p in replace_head(build(TINY)).parameters()
    )


@pytest.mark.slow
def test_training_learns_and_repeats(messages):
    even = balance(messages)[::40]  # 38 messages
    found = []
    for _ in range(2):
        model, tokenizer = load_pretrained("mini")
        replace_head(model)
        history = fine_tune(
            model, tokenizer, even, epochs=6, lr=5e-4, max_length=32, validation=even
        )
        found.append(logits_of(model, tokenizer, [t for t, _ in even], max_length=32))
    assert torch.equal(*found)
    assert history.records[-1]["val_loss"] < 0.2 < history.records[0]["loss"]
    assert [r["lr"] for r in history.records] == pytest.approx(
        [5e-4 * (1 - i / 18) for i in range(18)]
    )


# scores


def test_scores_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(200, generator=generator) < 0.2).long().tolist()
    verdicts = (torch.rand(200, generator=generator) < 0.3).long().tolist()
    c = confusion(labels, verdicts)
    tn, fp, fn, tp = metrics.confusion_matrix(labels, verdicts).ravel()
    assert c == Confusion(tp, fp, fn, tn)
    assert c.accuracy == pytest.approx(metrics.accuracy_score(labels, verdicts))
    assert c.precision == pytest.approx(metrics.precision_score(labels, verdicts))
    assert c.recall == pytest.approx(metrics.recall_score(labels, verdicts))
    assert c.f1 == pytest.approx(metrics.f1_score(labels, verdicts))


def test_scores_without_positives_are_0():
    c = confusion([1, 0], [0, 0])
    assert (c.precision, c.recall, c.f1, c.accuracy) == (0, 0, 0, 0.5)
    assert confusion([0], [0]).f1 == 0
    with pytest.raises(ValueError, match="2 labels and 1 verdicts"):
        confusion([0, 1], [1])


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    for right, total in [(0, 5), (5, 5), (1, 3), (995, 1005)]:
        expected = binomtest(right, total).proportion_ci(0.95, method="wilson")
        assert wilson(right, total, 1.959964) == pytest.approx(
            tuple(expected), abs=1e-6
        )
    with pytest.raises(ValueError, match="6 right of 5"):
        wilson(6, 5)


def test_log_odds_and_shift():
    logits = torch.tensor([[1.0, 3.5], [0.0, -1.0]])
    expected = torch.softmax(logits, 1)[:, 1]
    assert log_odds(logits).sigmoid() == pytest.approx(expected)
    assert logit(0.2) == pytest.approx(torch.tensor(0.2).logit().item())
    with pytest.raises(ValueError, match="between 0 and 1"):
        logit(1.0)


def test_temperature_finds_what_odds_were_multiplied_by():
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(4000, generator=generator) * 2
    labels = (torch.rand(4000, generator=generator) < true.sigmoid()).long().tolist()
    assert fit_temperature(true * 3, labels) == pytest.approx(3, rel=0.1)
    assert fit_temperature(true, labels) == pytest.approx(1, rel=0.1)


# verdicts


def test_a_verdict_is_the_same_alone_and_in_company(mini):
    together = classify(mini, TEXTS)
    for text, verdict in zip(TEXTS, together, strict=True):
        (alone,) = classify(mini, [text])
        assert alone.log_odds == pytest.approx(verdict.log_odds, abs=1e-3)
    raw = log_odds(logits_of(mini.model, mini.tokenizer, TEXTS))
    assert [v.log_odds for v in together] == pytest.approx((raw / 1.5 - 0.75).tolist())
    middle = sorted(verdict.probability for verdict in together)[2]
    again = classify(replace(mini, threshold=middle), TEXTS)
    assert sum(verdict.label == "spam" for verdict in again) == 3
    for verdict in again:
        assert verdict.label == ("spam" if verdict.probability >= middle else "ham")
    assert classify(mini, []) == []


@pytest.mark.parametrize("text", ["😀", "x" * 10_000, "\u0000", "نص", "a\tb"])
def test_any_text_gets_a_verdict(mini, text):
    (verdict,) = classify(mini, [text])
    assert 0 <= verdict.probability <= 1


def test_deletion_measures_each_word(mini):
    found = explain_by_deletion(mini, "see  you at five")
    assert [word for word, _ in found] == ["see", "you", "at", "five"]
    whole, less = classify(mini, ["see you at five", "see at five"])
    assert found[1][1] == pytest.approx(whole.log_odds - less.log_odds, abs=1e-3)
    with pytest.raises(ValueError, match="fewer than two words"):
        explain_by_deletion(mini, "hello")


# files


def test_saved_and_loaded_the_verdicts_are_the_same(mini, tmp_path):
    save_classifier(mini, tmp_path / "spam")
    loaded = load_classifier(tmp_path / "spam")
    assert classify(loaded, TEXTS) == classify(mini, TEXTS)
    names = ("labels", "max_length", "temperature", "shift", "threshold")
    assert all(getattr(loaded, n) == getattr(mini, n) for n in names)


def test_transformers_opens_it_and_agrees(mini, tmp_path):
    save_classifier(mini, tmp_path)
    theirs = GPT2ForSequenceClassification.from_pretrained(tmp_path).eval()
    assert theirs.config.id2label == {0: "ham", 1: "spam"}
    ids, mask = pad([encode(mini.tokenizer, text, 128) for text in TEXTS])
    # it finds the last real token by this id
    ids[~mask] = theirs.config.pad_token_id
    with torch.no_grad():
        expected = theirs(ids, attention_mask=mask.long()).logits
    ours = logits_of(mini.model, mini.tokenizer, TEXTS)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def change(path, **changes):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def test_bad_folders_are_refused(mini, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*config\.json"):
        load_classifier(tmp_path / "none")
    from llmbook_utils.pretrained import save_pretrained

    save_pretrained(*load_pretrained("mini"), tmp_path / "language")
    with pytest.raises(ValueError, match="is a language model's: it has no labels"):
        load_classifier(tmp_path / "language")
    save_classifier(mini, tmp_path / "spam")
    config = tmp_path / "spam" / "config.json"
    good = json.loads(config.read_text())["classifier"]
    for name, value in (("threshold", 2), ("temperature", 0), ("max_length", 257)):
        change(config, classifier=good | {name: value})
        with pytest.raises(ValueError, match=f"{name} is {value}"):
            load_classifier(tmp_path / "spam")
    change(config, classifier=good, id2label={"0": "a", "1": "a"})
    with pytest.raises(ValueError, match="two different names"):
        load_classifier(tmp_path / "spam")
