"""Answering by generation: a language model is shown a window and answers with intervals in JSON.

``constraints`` says which answers exist, ``vocabulary`` which tokens may come next, ``decoding``
applies that within ``generate``; ``answering`` turns a series into windows, prompts and a result;
``targets`` makes token ids for training from the same prompts.
"""
