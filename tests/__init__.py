"""The tests, a package so that a process that they start finds them before any `tests` of another distribution."""
