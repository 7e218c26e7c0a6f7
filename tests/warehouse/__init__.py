"""A SQL warehouse on loopback for tests: the connector's own protocol, and a real Spark with Delta behind it."""
