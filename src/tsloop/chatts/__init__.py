"""The time-series language model: encoder, backbone, heads, adapters."""
