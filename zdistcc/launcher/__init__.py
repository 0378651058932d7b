"""What runs once per compile: the native launcher, its Python twin, and how the build makes one of them."""
