"""The time-series language model: encoder, backbone, heads, adapters."""

import logging

# bitsandbytes (imported by peft) warns about an optional package that only a hub could provide.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
