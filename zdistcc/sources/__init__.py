"""What a job reads: from a compile command to the files, links and directories it needs elsewhere.

::

    model          the values in and out: ClosureRequest, Closure, and the answers that are no closure
    scanner        text -> the files it may name (pure)
    search_path    what a compiler prints -> where it searches (pure); search_probe runs it
    resolver       name -> files, and the directories the answer depends on
    world          files and directories as last seen, and when that may be believed
    closure        the include graph, and computed includes
    plan           what to stat to know that a closure holds
    places         spelled path -> real path, links and directories on the way; replica builds closures
    dependencies   the make rule of -M (pure)
    cache          contents known, on disk
    index          the whole: SourceIndex
"""
