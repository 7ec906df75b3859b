"""Read every series from the source into ``data/raw``, as it is."""

from __future__ import annotations

from tsloop.config.schema import source_config
from tsloop.stages.runner import Figures, StageContext, run_stage

__all__ = ["acquire"]


def acquire(context: StageContext) -> Figures:
    """Stage ``acquire``."""
    from tsloop import sources

    kind, config = source_config(context.params["source"])
    source = sources.build(kind, config)
    return sources.acquire(source, context.project.raw, context.progress)


if __name__ == "__main__":
    raise SystemExit(run_stage("acquire", acquire))
