"""Distributed cron with durable dispatch."""

__version__ = "0.1.0"
