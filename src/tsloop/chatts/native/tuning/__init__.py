"""Fine-tuning of the native model: `tune`, and a tuned model on disk. See ``docs/chatts.md``."""

from tsloop.chatts.native.tuning.batches import score_inputs
from tsloop.chatts.native.tuning.data import PromptOf, ScoreWindow, TuneData, score_window
from tsloop.chatts.native.tuning.files import check_base, load_tuned, save_tuned
from tsloop.chatts.native.tuning.identity import BaseIdentity, base_identity
from tsloop.chatts.native.tuning.loop import ANSWERS, TuneResult, tune
from tsloop.chatts.native.tuning.trainable import untuned

__all__ = [
    "ANSWERS",
    "BaseIdentity",
    "PromptOf",
    "ScoreWindow",
    "TuneData",
    "TuneResult",
    "base_identity",
    "check_base",
    "load_tuned",
    "save_tuned",
    "score_inputs",
    "score_window",
    "tune",
    "untuned",
]
