"""Write the bytes that `kernel.wat` compiles to into `kernel-wasm.js`: after a change of the text.

python tools/build_kernel.py
"""

import base64
import re
import textwrap
from pathlib import Path

import wasmtime

ENGINE = Path(__file__).resolve().parents[1] / "llmbook_utils/web/engine"
SOURCE, MODULE = ENGINE / "kernel.wat", ENGINE / "kernel-wasm.js"
CODE = re.compile(r"(const CODE = \[\n).*?(\]\.join)", re.DOTALL)


def compiled(text: str) -> bytes:
    """The bytes of a WebAssembly module without the section of its names."""
    code = bytes(wasmtime.wat2wasm(text))
    at = code.find(b"\x04name")  # the last section: its id 0, its length, its name
    return code if at < 0 else code[: code.rindex(b"\0", 0, at)]


def written(module: str, code: bytes) -> str:
    """The text of the module with other bytes."""
    lines = textwrap.wrap(base64.b64encode(code).decode(), 110)
    body = "".join(f'  "{line}",\n' for line in lines)
    return CODE.sub(lambda found: found[1] + body + found[2], module)


def main() -> None:
    code = compiled(SOURCE.read_text(encoding="utf-8"))
    module = MODULE.read_text(encoding="utf-8")
    MODULE.write_text(written(module, code), encoding="utf-8")
    print(f"{len(code)} bytes in {MODULE.name}")


if __name__ == "__main__":
    main()
