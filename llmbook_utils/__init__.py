"""The library that the book builds, page by page. Import its modules one by one."""

__version__ = "0.1.0"
