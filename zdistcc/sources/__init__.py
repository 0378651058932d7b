"""What a job reads: the files that a source includes, found without running the compiler."""
