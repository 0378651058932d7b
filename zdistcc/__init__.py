"""zdistcc: a distributed C/C++ compiler for the local network that needs no configuration.

The map of the house (one line a room; * = a table that a contributor adds a row to)::

    errors.py      exception tree, Reason*, exit codes
    config.py      frozen Config; environment > file > defaults; one row per key* with its help
    paths.py       runtime, cache and socket locations
    children.py    child processes: spawned in their own group, awaited without threads, killed whole
    launcher/      launcher.c (the compiled `zdistcc`), fallback.py (the same contract in bare Python)
    toolchain/     what compilers are, pure but for probe.py: options*, invocation, families*, identity
    sources/       what a job reads: scanner, resolver, closure, index
    store/         content on disk: blobs (by digest), trees (epochs)
    wire/          what is said, pure: frames, messages*, connection, control (launcher <-> agent), codecs*
    schedule/      who does what, pure: events, decisions, scheduler, policies*, health, snapshot
    discovery/     who is there: advert (TXT <-> WorkerAd), browse, advertise, interfaces, peers
    net/           moving bytes: drive (pump a connection over a stream), pool
    agent/         composition root of the client side; job (one job on one page), control server, outputs
    worker/        composition root of `zdistccd`; session, admission (pure), vet (pure), execute
    cli/           one file per command; app* (commands table)
    ui/            view (pure render of a snapshot), live

Imports point one way: cli -> ui, agent, worker; agent, worker -> net, discovery, schedule, sources,
store, toolchain, wire; net -> wire; schedule, discovery -> toolchain.identity; wire, toolchain ->
errors.  ``tests/test_house.py`` walks them.  This module imports nothing: the launcher's fallback and
the agent's start must not pay for a package they may not need.
"""

__version__ = "0.1.0"
