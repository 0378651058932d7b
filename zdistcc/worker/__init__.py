"""The worker, ``zdistccd``: admits jobs, compiles them, returns what they made."""
