"""Grade a folder of notebooks: each runs in a process of its own, and the judges speak.

What students hand in is code that nobody has read. It runs in a temporary folder,
within limits of time, memory, output and size of files, and on Linux with a file system
that it cannot write to and without a network. Against someone who sets out to break the
grader this is no protection; against loops, floods and mistakes it is. Not built on a
page.

`folder.grade` is where it begins; `judge` is loaded in every student's kernel, so
nothing is imported here.
"""
