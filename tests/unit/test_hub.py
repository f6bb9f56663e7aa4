"""Models by name: shipped ones need no network, others are fetched once from a hub."""

import threading
from pathlib import Path

import pytest
from hub_server import COMMIT, HubServer
from saved_models import FILES, SMALL, assert_same_weights, folder, tokenizer, varied

from llmbook_utils.files.datasets import DownloadError
from llmbook_utils.files.hub import SHIPPED, find_folder
from llmbook_utils.pretrained import load_pretrained

__all__ = ["folder", "tokenizer"]


@pytest.fixture
def hub(folder, tmp_path_factory, monkeypatch):
    """A hub on this machine that has "gpt2", and an empty cache."""
    server = HubServer({"openai-community/gpt2": folder})
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    cache = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("LLMBOOK_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_download_once_and_use_it_offline(hub, tokenizer, monkeypatch):
    (hub.repositories["openai-community/gpt2"] / "pytorch_model.bin").touch()
    model, encoding = load_pretrained("gpt2")
    assert_same_weights(model, varied(SMALL))
    assert encoding.encode("The sea") == tokenizer.encode("The sea")
    fetched = [path.split("/")[-1] for method, path in hub.seen if method == "GET"]
    assert sorted(fetched) == sorted(FILES)
    hub.seen.clear()
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    assert_same_weights(load_pretrained("gpt2")[0], model)
    assert not hub.seen


def test_all_files_are_of_one_version_also_when_somebody_pushes(hub):
    hub.pushed_after = 2
    assert_same_weights(load_pretrained("gpt2")[0], varied(SMALL))
    versions = [path.split("/")[-2] for _, path in hub.seen]
    first = next(i for i, (_, path) in enumerate(hub.seen) if "config" not in path)
    assert set(versions[:first]) <= {"main", COMMIT}
    assert set(versions[first:]) == {COMMIT}


def test_a_given_tokenizer_is_not_downloaded(hub, tokenizer):
    for file in ("vocab.json", "merges.txt"):
        (hub.repositories["openai-community/gpt2"] / file).unlink()
    assert load_pretrained("gpt2", tokenizer=tokenizer)[1] is tokenizer
    with pytest.raises(DownloadError, match=r"vocab\.json of openai-community/gpt2"):
        load_pretrained("gpt2")


def test_offline_is_refused_without_a_request(hub, monkeypatch):
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    says = (
        r"'gpt2' was asked for.*config\.json.*LLMBOOK_OFFLINE.*'mini' needs no network"
    )
    with pytest.raises(DownloadError, match=says):
        load_pretrained("gpt2")
    assert not hub.seen


def test_what_the_hub_does_not_have(hub):
    says = r"'gpt2-xl' was asked for.*Repository Not Found.*check the connection"
    with pytest.raises(DownloadError, match=says):
        load_pretrained("gpt2-xl")


def test_a_hub_that_is_not_there(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its tries
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9\) is not in"):
        load_pretrained("gpt2")


def test_a_connection_that_breaks(hub, monkeypatch):
    hub.cut = 20
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its tries
    with pytest.raises(DownloadError, match="check the connection"):
        load_pretrained("gpt2")


def test_a_bug_is_not_called_a_connection_problem(hub, monkeypatch):
    def bug(*_, **__):
        raise KeyError("a mistake")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", bug)
    with pytest.raises(KeyError, match="a mistake"):
        load_pretrained("gpt2")


def test_a_name_may_be_a_path_unless_there_is_such_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        find_folder(Path("mini"), True) == find_folder("mini", True) == SHIPPED["mini"]
    )
    (tmp_path / "mini").mkdir()
    assert find_folder(Path("mini"), True) == Path("mini")
    assert find_folder("mini", True) == SHIPPED["mini"]


def test_an_unknown_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"'gpt3' is neither a model \('mini', 'gpt2', 'gpt2-m"
    ):
        load_pretrained("gpt3")
