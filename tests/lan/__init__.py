"""Virtual LANs for tests: hosts made of Linux namespaces, cables of veth pairs, real multicast.

``lan.py`` is the entrance; ``machine.py`` what a test does with one host; ``holder.py``, ``relay.py``
and ``ping.py`` are programs that run inside; ``needs.py`` says whether this machine can do it at all.
"""
