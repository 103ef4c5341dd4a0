"""Speed and cost beside other queues: ``make bench``, or ``python -m benchmarks --list``."""
