"""``python -m tsloop.cli``: the same as the ``tsloop`` command."""

from tsloop.cli import main

if __name__ == "__main__":
    main()
