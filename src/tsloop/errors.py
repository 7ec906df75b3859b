"""Every error that tsloop raises on purpose, in one tree.

::

    TsloopError                      what was wrong, the value, and how to mend it
    ├── ConfigError                  a key, a value or a file of the configuration
    │   └── ConfigDriftError         params.yaml and conf/ disagree
    ├── ProjectError                 not a project, or a project that is busy
    ├── SourceError                  a source cannot list or read its series
    ├── SeriesError                  a series or the series store
    │   ├── SeriesNotFoundError
    │   └── SeriesValidationError    bad cell: names row and column
    ├── AnnotationError              a record, a journal, a snapshot
    │   ├── LabelSetError            unknown label id, foreign version, drifted text
    │   └── LeakError                gold found where training reads
    ├── EvaluationError              metrics asked of impossible input
    ├── DetectorError                a detector cannot be built, fitted or loaded
    │   ├── NotFittedError
    │   └── ModelFileError           a model directory that is refused before loading
    ├── IterationError
    │   ├── IterationNotFoundError
    │   └── IllegalTransitionError   a state change that the state machine does not allow
    ├── TrackingError                MLflow store, registry, sync
    ├── PromotionError               the gate or the promotion history refuses
    │   ├── NoWinError               the gate compared, and did not say win
    │   └── AlreadyChampionError     there is nothing to promote
    ├── JobError                     a background job
    ├── ReviewError                  the review page was asked for something impossible
    │   ├── ReviewInvalidError       content that no series could have
    │   ├── ReviewNotFoundError
    │   ├── ReviewConflictError      somebody saved meanwhile; carries both versions
    │   ├── ReviewLockedError        somebody else holds the series
    │   ├── ReviewForbiddenError     the role does not allow it
    │   └── ReviewStorageError       disk full, database away: nothing was saved
    └── MissingExtraError            an optional dependency is not installed

The command line turns each of them into one message and a non-zero exit code, never a traceback.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyChampionError",
    "AnnotationError",
    "ConfigDriftError",
    "ConfigError",
    "DetectorError",
    "EvaluationError",
    "IllegalTransitionError",
    "IterationError",
    "IterationNotFoundError",
    "JobError",
    "LabelSetError",
    "LeakError",
    "MissingExtraError",
    "ModelFileError",
    "NoWinError",
    "NotFittedError",
    "ProjectError",
    "PromotionError",
    "ReviewConflictError",
    "ReviewError",
    "ReviewForbiddenError",
    "ReviewInvalidError",
    "ReviewLockedError",
    "ReviewNotFoundError",
    "ReviewStorageError",
    "SeriesError",
    "SeriesNotFoundError",
    "SeriesValidationError",
    "SourceError",
    "TrackingError",
    "TsloopError",
]


class TsloopError(Exception):
    """Base class: a message that says what was wrong, and a hint that says how to mend it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Whole through a pipe between processes, whatever a subclass is made of."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[TsloopError], args: tuple[Any, ...], state: dict[str, Any]) -> TsloopError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(TsloopError):
    """A key, a value or a file of the configuration is wrong."""


class ConfigDriftError(ConfigError):
    """``params.yaml`` is not what ``conf/`` composes to."""


class ProjectError(TsloopError):
    """The directory is not a tsloop project, or another process holds its lock."""


class SourceError(TsloopError):
    """A source cannot list or read its series."""


class SeriesError(TsloopError):
    """A series, or the store that holds it, is wrong."""


class SeriesNotFoundError(SeriesError):
    """No series of that id."""


class SeriesValidationError(SeriesError):
    """A cell that cannot be repaired as declared; carries its place."""

    def __init__(
        self,
        message: str,
        *,
        row: int | None = None,
        column: str | None = None,
        hint: str = "",
        series_id: str = "",
        reason: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.series_id = series_id
        self.reason = reason
        self.row = row
        self.column = column


class AnnotationError(TsloopError):
    """An annotation record, a journal or a snapshot is wrong."""


class LabelSetError(AnnotationError):
    """A label id that the label set does not know, or a label set of another version."""


class LeakError(AnnotationError):
    """A gold series (by id or by content) was found where training reads."""


class EvaluationError(TsloopError):
    """A metric was asked of input for which it has no meaning."""


class DetectorError(TsloopError):
    """A detector cannot be built, fitted or loaded."""


class NotFittedError(DetectorError):
    """A detector was asked for something that it can only do after ``fit``."""


class ModelFileError(DetectorError):
    """A model directory is refused before anything in it is loaded."""


class IterationError(TsloopError):
    """An iteration cannot be created, changed or deleted."""


class IterationNotFoundError(IterationError):
    """No iteration of that name."""


class IllegalTransitionError(IterationError):
    """A state change that the state machine does not allow."""


class TrackingError(TsloopError):
    """The MLflow store, the registry or their synchronisation failed."""


class PromotionError(TsloopError):
    """The gate or the promotion history refuses a promotion."""


class NoWinError(PromotionError):
    """The gate compared a model with the champion (or the baselines) and did not say win."""


class AlreadyChampionError(PromotionError):
    """The model is the champion, so there is nothing to promote."""


class JobError(TsloopError):
    """A background job cannot be started, found or cancelled."""


class ReviewError(TsloopError):
    """The review page, or its store, was asked for something that cannot be."""

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message, hint=hint)
        self.details = details


class ReviewInvalidError(ReviewError):
    """Content of a decision that does not fit its series or the label set."""


class ReviewNotFoundError(ReviewError):
    """No such item, series, batch or user."""


class ReviewConflictError(ReviewError):
    """A save that starts from an old revision; ``details`` holds yours, theirs and their base."""


class ReviewLockedError(ReviewError):
    """Somebody else holds the item; ``details`` says who, and until when."""


class ReviewForbiddenError(ReviewError):
    """The user's role does not allow it."""


class ReviewStorageError(ReviewError):
    """The database cannot be written or reached; nothing was saved."""


class MissingExtraError(TsloopError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"The package {package!r} is not installed.",
            hint=f"Install it with: pip install 'tsloop[{extra}]'",
        )
