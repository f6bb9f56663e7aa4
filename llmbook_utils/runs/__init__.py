"""What runs for hours: recipes that describe a run, and records of finished ones.

Not built on a page.
"""
