"""Moving bytes: everything between the pure protocol and the sockets."""
