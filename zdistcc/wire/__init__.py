"""What is said between the programs: sans-I/O, so that every byte can be tested without a socket."""
