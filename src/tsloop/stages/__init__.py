"""One short module per DVC stage."""

from tsloop.offline import limit_threads

# Before numpy and torch are imported: their thread pools read it only then.
limit_threads()
