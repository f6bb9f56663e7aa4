"""Looking into a model: every value by its name, and how one number came about.

Not built on a page.
"""
