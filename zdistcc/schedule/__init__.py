"""Who does what: facts in, orders out.  Pure: runs unchanged in the agent and under a simulated clock."""
