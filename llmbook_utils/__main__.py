"""`python -m llmbook_utils` is the command `llmbook`, also under `torchrun`."""

from llmbook_utils.cli import main

if __name__ == "__main__":
    main()
