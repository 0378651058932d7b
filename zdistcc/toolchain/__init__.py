"""What compilers are: their options, their command lines, their names and what they say of themselves."""
