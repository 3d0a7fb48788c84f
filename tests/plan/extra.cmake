# Fake operators, devices and matrix products, and the simulator of plans.
target_sources(test_plan PRIVATE plan/harness.c plan/simulate.c)
