"""A GNU make jobserver of our own: the number of jobs that a build tool may run, changed while it runs.

``tokens`` counts, ``words`` reads and writes command lines and ``MAKEFLAGS`` (both pure), ``fifo`` has the
descriptors.  The protocol is that of the GNU make manual, "POSIX Jobserver Interaction".
"""
