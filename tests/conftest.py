"""What holds for all tests: random inputs are drawn the same way each time, and a slow machine fails nothing."""

from hypothesis import HealthCheck, settings

# A failing example must be found again by whoever reads the message, on a machine that may be ten times as slow.
settings.register_profile(
    "cocomine",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("cocomine")
