"""What all tests share: examples of properties are the same in every run, and never timed."""

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=SLOW, print_blob=True
)
# Another draw every time, and more of them: pytest --hypothesis-profile=explore
settings.register_profile(
    "explore", deadline=None, max_examples=1000, suppress_health_check=SLOW, print_blob=True
)
settings.load_profile("same")
