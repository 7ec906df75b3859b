"""tsloop: label, fine-tune, detect, review, repeat."""

__all__ = ["__version__"]

__version__ = "0.1.0"
