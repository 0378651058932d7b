"""Chaos: whole builds of a real project while machines, cables and disks fail at random moments.

``python -m tests.chaos --builds 50 --seed 1`` is the long campaign, by hand; ``test_chaos.py`` a short one for every
day.  ``world.py`` is the LAN and what is running there, ``faults.py`` the table of what may happen, ``campaign.py``
draws a schedule from a seed and carries it out, ``verdict.py`` says what is wrong afterwards.

Not among the faults: jumps of the clock.  CLOCK_REALTIME is one for all namespaces of a kernel, so a test would change the
machine's own; nothing here reads it but for the times that are shown and remembered.
"""
