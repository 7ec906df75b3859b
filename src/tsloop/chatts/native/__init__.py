"""The ChatTS architecture, native: official checkpoints by key name, without remote code.

A causal language model (Qwen2, Qwen3, Llama) with a time-series encoder whose features take the
place of the ``<ts>`` tokens of a prompt. Facts: the papers and code of ChatTS (arXiv 2412.03104,
github.com/NetManAIOps/ChatTS); this is an implementation of its own. See ``docs/chatts.md``.

Importing this package imports nothing heavy; take what you need from its modules.
"""
