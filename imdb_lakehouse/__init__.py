"""The programs around the server and the load: chat, demonstration, evaluation.

They lie in one package, because packages at the top share their names with all that is installed, and others are called
`web` or `demo` as well.
"""
