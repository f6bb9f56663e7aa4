"""The engine of the page beside onnxruntime-web, in one run in a headless browser.

    python benchmarks/page.py [--ort FOLDER] [--runs N]

`mini` with the 8-bit weights that the site publishes, as 32-bit numbers on both sides.
The two engines share a worker, with one thread, and read the same ids in turn, after a
warm-up; the table has medians. Before that their logits are held to PyTorch's, and the
tokens that they choose to one another. Without --ort only our side is measured. FOLDER
is `dist` of the npm package, which this repository neither holds nor needs:

    npm pack onnxruntime-web@1.30.0 && tar xzf onnxruntime-web-1.30.0.tgz
    pip install onnx
    python benchmarks/page.py --ort package/dist
"""

import argparse
import gzip
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import rjsmin
import torch
from safetensors.torch import load

from llmbook_utils.config import MINI, GPTConfig
from llmbook_utils.files.datasets import load_text
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.web import in_order
from llmbook_utils.widgets import site_files, write_site_files
from llmbook_utils.widgets.live import Answerer, describe, sizes

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))

from chrome import opened  # noqa: E402
from serve import served  # noqa: E402

ORT_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
OURS, PLAIN, ORT = "WebAssembly", "plain", "onnxruntime-web"  # as in page.mjs
PROMPT, BEFORE, SINGLY = 32, 48, 32  # tokens; the single ones lie around position 64
TOLERANCE = 1e-3  # of logits
TABLE = "token_embedding.weight"
Parameters = dict[str, torch.Tensor]


def dequantized(content: bytes) -> Parameters:
    """The parameters that a page makes of its file."""
    found = load(content)
    return {
        name: value * found[f"{name}.scale"][:, None]
        if value.dtype == torch.int8
        else value
        for name, value in found.items()
        if not name.endswith(".weight.scale")
    }


class Graph:
    """Our GPT with a cache in the ONNX format, built operator by operator."""

    def __init__(self, config: GPTConfig, parameters: Parameters):
        self.config, self.parameters = config, parameters
        self.nodes: list[Any] = []
        self.constants: dict[str, torch.Tensor] = {}

    def add(self, operator: str, *inputs: str, outputs: int = 1, **options: Any) -> Any:
        """One operator; the name of its output, or names."""
        from onnx import helper

        names = [f"{operator}.{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **options))
        return names[0] if outputs == 1 else names

    def constant(self, name: str, value: torch.Tensor) -> str:
        self.constants[name] = value
        return name

    def parameter(self, name: str) -> str:
        return self.constant(name, self.parameters[name])

    def norm(self, x: str, name: str) -> str:
        names = (self.parameter(f"{name}.{part}") for part in ("scale", "shift"))
        return self.add("LayerNormalization", x, *names, axis=-1, epsilon=1e-5)

    def linear(self, x: str, name: str) -> str:
        matrix = self.parameters[f"{name}.weight"].T  # (in, out), as MatMul wants it
        product = self.add("MatMul", x, self.constant(f"{name}.weight", matrix))
        return self.add("Add", product, self.parameter(f"{name}.bias"))

    def attention(self, x: str, i: int) -> str:
        heads = self.config.n_heads
        thirds = self.constant("thirds", torch.tensor([self.config.emb_dim] * 3))
        qkv = self.linear(x, f"blocks.{i}.attention.qkv")
        parts = self.add("Split", qkv, thirds, outputs=3, axis=-1)
        past = f"past_key.{i}", f"past_value.{i}"
        inputs = *parts, "", *past
        options = {"q_num_heads": heads, "kv_num_heads": heads, "is_causal": 1}
        context, *present = self.add("Attention", *inputs, outputs=3, **options)
        for kept, kind in zip(present, ("key", "value"), strict=True):
            self.rename(kept, f"present_{kind}.{i}")
        return self.linear(context, f"blocks.{i}.attention.out")

    def feed_forward(self, x: str, name: str) -> str:
        wide = self.add("Gelu", self.linear(x, f"{name}.up_proj"), approximate="tanh")
        return self.linear(wide, f"{name}.down_proj")

    def rename(self, output: str, name: str) -> None:
        (node,) = (node for node in self.nodes if output in node.output)
        node.output[list(node.output).index(output)] = name

    def body(self) -> None:
        """From ids to the logits of the last one."""
        tokens, positions = (
            self.add("Gather", self.parameter(f"{kind}_embedding.weight"), ids)
            for kind, ids in (("token", "ids"), ("position", "positions"))
        )
        x = self.add("Add", tokens, positions)
        for i in range(self.config.n_layers):
            block = f"blocks.{i}"
            gathered = self.attention(self.norm(x, f"{block}.norm_1"), i)
            x = self.add("Add", x, gathered)
            wide = self.norm(x, f"{block}.norm_2")
            x = self.add("Add", x, self.feed_forward(wide, f"{block}.feed_forward"))
        last = self.add("Gather", x, self.constant("last", torch.tensor([-1])), axis=1)
        table = self.constant("head", self.parameters[TABLE].T)
        logits = self.add("MatMul", self.norm(last, "final_norm"), table)
        self.rename(logits, "logits")

    def serialized(self) -> bytes:
        """The bytes of the model's file."""
        from onnx import TensorProto, checker, helper, numpy_helper

        self.body()
        layers, heads = self.config.n_layers, self.config.n_heads
        cache = [1, heads, None, self.config.head_dim]
        numbers, whole = TensorProto.FLOAT, TensorProto.INT64
        value = helper.make_tensor_value_info
        caches = [f"{kind}.{i}" for i in range(layers) for kind in ("key", "value")]
        inputs = [value(name, whole, [1, None]) for name in ("ids", "positions")]
        graph = helper.make_graph(
            self.nodes,
            "gpt",
            inputs + [value(f"past_{name}", numbers, cache) for name in caches],
            [value("logits", numbers, [1, 1, self.config.vocab_size])]
            + [value(f"present_{name}", numbers, cache) for name in caches],
            [
                numpy_helper.from_array(constant.contiguous().numpy(), name)
                for name, constant in self.constants.items()
            ],
        )
        opset = [helper.make_opsetid("", 23)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=10)
        checker.check_model(model)
        return model.SerializeToString()


def fill(folder: Path, files: dict[str, bytes], ort: Path | None) -> None:
    """What the browser is served: the site's widgets, this benchmark, and the peer."""
    write_site_files(folder / "widgets")
    for name in ("page.html", "page.mjs"):
        (folder / name).write_bytes((HERE / name).read_bytes())
    if ort:
        graph = Graph(MINI, dequantized(files["mini.safetensors"]))
        (folder / "mini.onnx").write_bytes(graph.serialized())
        (folder / "ort").mkdir()
        for name in ORT_FILES:
            (folder / "ort" / name).write_bytes((ort / name).read_bytes())


@contextmanager
def browsing(folder: Path) -> Iterator[Callable[[], "Page"]]:
    """A function that opens the benchmark's page, each time with nothing stored."""
    with served(folder) as url, opened() as browser:
        print(f"Chromium {browser.version}, one thread a side\n", flush=True)

        def new_page() -> "Page":
            for context in browser.contexts:
                context.close()
            page = browser.new_page()
            page.goto(f"{url}page.html")
            page.wait_for_function("window.started")
            return page

        yield new_page


def task(page: "Page", name: str, side: str, **args: Any) -> Any:
    """What a task of page.mjs gives for one side."""
    return page.evaluate(
        "([name, args]) => task(name, args)", [name, {"side": side, **args}]
    )


def load_side(page: "Page", side: str) -> float:
    """Milliseconds until a side is ready."""
    files = "mini.onnx" if side == ORT else "widgets/mini.safetensors"
    return task(page, "load", side, config=sizes(MINI), files=files)


@torch.no_grad()
def check(page: "Page", sides: list[str], ids: list[int], model: GPTModel) -> None:
    """Hold the logits of each side to PyTorch's, and its tokens to the first one's."""
    expected = model(torch.tensor([ids]))[0, -1]
    for side in sides:
        found = torch.tensor(task(page, "logits", side, ids=ids))
        worst = (found - expected).abs().max().item()
        print(f"{side}: logits within {worst:.0e} of PyTorch's")
        if not worst < TOLERANCE:
            sys.exit(f"{side} is not the same model: {worst:.2g} apart")
    tokens = [task(page, "greedy", side, ids=ids, n=40) for side in sides]
    same = all(found == tokens[0] for found in tokens)
    print(f"40 tokens, greedy, same tokens: {same}\n", flush=True)
    if not same:
        sys.exit("the sides chose different tokens")


def loading(new_page: Callable[[], "Page"], sides: list[str], runs: int) -> None:
    """In fresh pages; the engine's code is fetched and compiled, the weights wait."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(runs):
        for side in sides:
            times[side].append(load_side(new_page(), side))
    row("loading, weights in memory, ms", median(times[OURS]), median_of(times, ORT))


def median_of(times: dict[str, list[float]], side: str) -> float | None:
    return median(times[side]) if side in times else None


def timing(page: "Page", sides: list[str], ids: list[int], runs: int) -> None:
    """The two engines in turn, and our plain kernel."""
    given = {
        "prompt": ids[:PROMPT],
        "before": ids[:BEFORE],
        "tokens": ids[BEFORE : BEFORE + SINGLY],
        "runs": runs,
    }
    fast = [side for side in sides if side != PLAIN]
    times = task(page, "time", "", names=fast, **given)
    times |= task(page, "time", "", names=[PLAIN], **given)
    for kind, what in (
        ("prompt", f"prompt of {PROMPT} tokens, ms"),
        ("token", f"one token near position {BEFORE + SINGLY // 2}, ms"),
    ):
        found = {side: kinds[kind] for side, kinds in times.items()}
        row(what, median(found[OURS]), median_of(found, ORT))
        row(f"the same without WebAssembly, {what[-2:]}", median(found[PLAIN]), None)


def downloads(files: dict[str, bytes], ort: Path | None) -> None:
    """kB of code, as the site has it and a server sends it."""

    def size(contents: Iterable[bytes]) -> float:
        return sum(len(gzip.compress(content)) for content in contents) / 1000

    def slim(names: Iterable[str]) -> Iterator[bytes]:
        for name in names:
            yield rjsmin.jsmin(files[name]) if name.endswith(".js") else files[name]

    code = {name for name in files if name.endswith((".js", ".css"))}
    engine = set(in_order("host/live-worker.js"))
    first = code - (engine - set(in_order("host/page-answerer.js")))
    peer = ort and size((ort / name).read_bytes() for name in ORT_FILES)
    row("code of the engine, gzip, kB", size(slim(engine)), peer)
    what = "code of all widgets before a model is asked for, gzip, kB"
    row(what, size(slim(first)), None)


def using(new_page: Callable[[], "Page"], text: str, runs: int) -> None:
    """What a reader waits for, with a page and its worker."""
    given = {"model": describe("mini"), "text": text, "tokens": 60}
    found = [new_page().evaluate("given => widget(given)", given) for _ in range(runs)]
    middle = {key: median([each[key] for each in found]) for key in ("first", "run")}
    row("last byte of the weights to the first reply, ms", middle["first"], None)
    row(f"a reply with all attention weights, {PROMPT} tokens, ms", middle["run"], None)
    row("tokens a second, drawn with top-p", median([e["rate"] for e in found]), None)
    tasks = [duration for each in found for duration in each["longTasks"]]
    row("tasks of the page itself over 50 ms", len(tasks), None)


def answering(text: str, runs: int) -> None:
    """The same reply from Python, in a notebook."""
    answerer = Answerer(*load_pretrained("mini"), normalized=True)
    want = ["blocks.*.attention.weights", "logits.last"]
    message = {"kind": "run", "seq": 0, "text": text, "want": want}
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        next(answerer.run(message))
        times.append(1000 * (time.perf_counter() - start))
    row("the same reply from Python, ms", median(times[1:]), None)


def limits(page: "Page", runs: int) -> str:
    """Where our time goes, and how fast the products are."""
    times = task(page, "parts", OURS, n=PROMPT, runs=runs)
    many, one, gelu = (median(times[name]) for name in ("many", "one", "gelu"))
    table = MINI.vocab_size * MINI.emb_dim
    matrices = 12 * MINI.n_layers * MINI.emb_dim**2
    operations = 2 * (matrices * PROMPT + table) / many / 1e6
    bytes_read = 4 * (matrices + table) / one / 1e6
    return (
        f"products alone, {PROMPT} vectors: {many:.2f} ms, {operations:.0f} GFLOP/s\n"
        f"products alone, one vector: {one:.2f} ms, {bytes_read:.0f} GB of weights/s\n"
        f"GELU alone, {PROMPT} vectors: {gelu:.2f} ms"
    )


def row(what: str, mine: float, other: float | None) -> None:
    peer = f"{other:.2f} | {other / mine:.2f}" if other else "|"
    print(f"| {what} | {mine:.2f} | {peer} |", flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ort", type=Path, help="folder `dist` of onnxruntime-web")
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    for name in ORT_FILES if args.ort else ():
        if not (args.ort / name).exists():
            parser.error(
                f"{args.ort} has no {name}; get it with `npm pack onnxruntime-web`, "
                "unpack it, and give the folder package/dist"
            )
    return args


def main() -> None:
    args = read_arguments()
    files, few = site_files(), max(1, args.runs // 5)
    sides = [OURS, PLAIN, ORT] if args.ort else [OURS, PLAIN]
    parameters = dequantized(files["mini.safetensors"])
    model = GPTModel(MINI).eval()
    model.load_state_dict(parameters | {"head.weight": parameters[TABLE]})
    tokenizer = load_pretrained("mini")[1]
    ids = tokenizer.encode_ordinary(load_text("story"))[: BEFORE + SINGLY]
    text = tokenizer.decode(ids[:PROMPT])
    with TemporaryDirectory() as folder:
        fill(Path(folder), files, args.ort)
        with browsing(Path(folder)) as new_page:
            page = new_page()
            for side in sides:
                load_side(page, side)
            check(page, sides, ids[:PROMPT], model)
            print(f"| what | ours | {ORT} | theirs / ours |\n|---|---|---|---|")
            timing(page, sides, ids, args.runs)
            profile = limits(page, args.runs)
            loading(new_page, [side for side in sides if side != PLAIN], few)
            downloads(files, args.ort)
            using(new_page, text, few)
    answering(text, args.runs)
    print(f"\n{profile}")


if __name__ == "__main__":
    main()
