"""What is read and written, with its checks: models, checkpoints, downloads, shards.

Not built on a page.
"""
