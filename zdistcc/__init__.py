"""zdistcc: a distributed C/C++ compiler for the local network that needs no configuration.

The map of the house (one line a room; * = a table that a contributor adds a row to)::

    errors.py      exception tree, Reason*, exit codes
    config.py      frozen Config; flags > environment > file > defaults; one row per key* with its help
    distcc_variables.py  what distcc's variables mean here, one row each*
    paths.py       runtime, cache and socket locations
    logs.py        the log of programs that stay, a live line below it
    children.py    child processes: spawned in their own group, awaited without threads, killed whole
    launcher/      launcher.c (the compiled `zdistcc`), fallback.py (the same contract in bare Python), build hook
    toolchain/     what compilers are, pure: options*, gcc*, clang*, invocation, rebuild, vetting, families*, identity;
                   and what asks the machine: probe, probecache, inventory, lookup
    sources/       what a job reads: scanner (pure), resolver, closure, world (the disk as last seen), places, replica,
                   search_probe (asks the compiler), cache, index (the whole)
    store/         content on disk: blobs (by digest), trees (epochs), mirror (where paths lead; pure), home (layout)
    wire/          what is said, pure: frames, messages*, connection, control (launcher <-> agent), codecs*;
                   the protocol of stock distcc: distcc, distcc_events, distcc_tokens, lzo
    schedule/      who does what, pure: events, decisions, scheduler, queue, policies*, fleet, health, snapshot
    discovery/     who is there: advert (TXT <-> WorkerAd, pure), hostspec (pure), distcc_advert (pure), browse,
                   advertise, mdns, interfaces, remembered
    net/           moving bytes: drive (pump a connection over a socket), race (the address that answers first), ssh
                   (a child process that leads to another machine)
    agent/         composition root of the client side; job (one job on one page), plan, ship, headers (what is
                   shipped), closures, answers, builds, epochs, canary, parallelism, remote (one worker), roster,
                   reach (TCP or ssh), dispatch, control, outputs, journal, history (the journal on disk), tally,
                   tallies (count jobs), snapshot (what others see of it all)
    worker/        composition root of `zdistccd`; door, postern and stdio (clients through ssh), server, session,
                   inbox, sources (fills trees), execute, depfile (pure), vet (pure), admission (pure), access (pure),
                   manners (how many slots; pure), bulletin (what is told; pure), reports (to whom, and when; pure),
                   machine (reads /proc and /sys), sleep (hears of suspends); clients of stock distcc: stock, stocktree,
                   spelling, names (pure), translate (pure)
    doctor/        what is wrong: machine, network, workers (pure), packages (pure), ask (a worker, as a client would)
    jobserver/     how many jobs a build tool may run: tokens and words (pure), fifo (descriptors)
    cli/           one file per command; app* (commands table); daemon (`zdistccd`)
    ui/            pure rendering of what the agent answers: tables, view, builds (what there is to say of one),
                   timeline, page, trace; controls (keys, pure), live (the terminal)
    sample/        the project that `zdistcc demo` and the tests compile

Imports point one way: cli -> ui, worker, doctor, jobserver, sample; agent -> schedule, sources; worker -> store; agent,
worker -> net, discovery, toolchain, wire; net -> wire; schedule -> toolchain.identity; doctor -> discovery, wire;
discovery, sources, store, toolchain, wire -> errors.  The agent knows no store and the worker no source index: messages
are all they share.  The launcher starts the agent and cli talks to it through ``wire.control``; neither imports it. Of
the launcher, only ``fallback`` (which imports nothing of ours) and ``which`` are there for others.
``tests/test_house.py`` walks them.  This module imports nothing: the agent's start must not pay for a package
that it may not need.
"""

__version__ = "0.1.0"
