"""The whole at a glance, by few questions that cost the same however many tasks there are.

Reads only, for whoever shows it. Counts stop at a bound and then say so.
"""
