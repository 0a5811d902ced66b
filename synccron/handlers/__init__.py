"""The ways to run things: shell commands and Python entry points."""
