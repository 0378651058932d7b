"""The doctor: what keeps this machine and the others from compiling for each other, and what to do about it.

Each check returns :class:`~zdistcc.doctor.finding.Finding` rows; what is read off many facts at once (hosts) is pure.
The agent is asked through ``wire.control`` by whoever calls this.
"""
