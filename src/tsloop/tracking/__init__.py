"""MLflow: runs, lineage, registry, synchronisation.

MLflow is *derived* state: whatever it shows can be rebuilt from files that git and DVC hold. So
nothing in the loop reads from it, and losing its database loses nothing:

- `tsloop.tracking.sync` makes the store match the project's files (and does nothing when it does);
- `tsloop.tracking.promotions` writes the history of champions, which the aliases follow;
- `tsloop.tracking.served_model` is the code of every registered version.

Importing this package does not import MLflow (2.5 s): only `tsloop.tracking.store.open_store` does.
"""

from __future__ import annotations

from tsloop.tracking.config import TrackingConfig, store_uri
from tsloop.tracking.environment import set_offline_defaults

__all__ = ["TrackingConfig", "set_offline_defaults", "store_uri"]
