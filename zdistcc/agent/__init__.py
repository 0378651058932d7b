"""The agent: all client-side state of one user on one machine, in one process that lives between compiles."""
