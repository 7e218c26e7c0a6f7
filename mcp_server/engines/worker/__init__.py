"""The child process of an engine. Nothing is imported here: the process gives up its rights first."""
