"""Configuration: dataclass schemas, composition, params.yaml."""
