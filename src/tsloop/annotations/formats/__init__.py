"""Annotation formats of other tools: each one read and written, and what it cannot hold said.

`registry` knows them by name, `importing` ties what was read to series and labels, `exporting`
writes, and says what is lost. ``docs/formats.md`` has the table.
"""
