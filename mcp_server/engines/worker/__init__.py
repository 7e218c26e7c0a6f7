"""The child process of an engine. Imports nothing here: the process gives up its rights first."""
