"""A Neo4j of our own: a child process of this machine, made from pip packages and locked jar files.

`artefacts` (which files, and fetching them), `home` (its folder and password), `launch` (its settings and command
line), `class_archive` (a faster start), `server` (start, find again, stop), `relock` (new versions).
"""
