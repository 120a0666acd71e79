"""How long the generated tests here take: a moment in the suite, as long as is wished by `make fuzz`."""

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("fuzz", max_examples=3000, deadline=None, suppress_health_check=_SLOW)
