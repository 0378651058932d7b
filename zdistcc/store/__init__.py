"""What is kept on disk: contents by their digest, and the trees made of them."""
