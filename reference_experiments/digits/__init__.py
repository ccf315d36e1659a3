"""The demo: hand-written digits completed from their bottom quarter."""
