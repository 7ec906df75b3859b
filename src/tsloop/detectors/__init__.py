"""One contract, many detectors."""
