"""Write the table of a GPT's tensors for the browser: after a change of `llmbook_utils/inside/stages.json`.

python tools/build_stages.py
"""

import json
from pathlib import Path

from llmbook_utils import web
from llmbook_utils.inside import stages

MODULE = web.FOLDER / "engine" / "stages.js"
HEAD = """/**
 * The tensors inside a GPT, in the order in which they are made: llmbook_utils/inside/stages.json,
 * written here by tools/build_stages.py. llmbook_utils/inside/stages.py says what each field means.
 *
 * @typedef {{name: string, part: string, shape: string, operation: string | null, of: string[],
 *   layer: string | null, parameters: string, does: string}} Stage
 */
"""


def written() -> str:
    """The text of the module."""
    table = json.loads(Path(stages.FILE).read_text(encoding="utf-8"))
    rows = "".join(f"  {json.dumps(row, ensure_ascii=False)},\n" for row in table)
    kind = "/** @type {Stage[]} */\n"
    return f"{HEAD}\n{kind}export const STAGES = [\n{rows}];\n"


def main() -> None:
    MODULE.write_text(written(), encoding="utf-8")
    print(f"{len(stages.STAGES)} stages in {MODULE.name}")


if __name__ == "__main__":
    main()
