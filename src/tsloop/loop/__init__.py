"""The loop itself: iterations, samplers, simulated annotators, gate."""
