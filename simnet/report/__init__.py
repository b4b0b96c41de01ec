"""Results as data, tables and pictures; drawing never simulates."""

from __future__ import annotations

from simnet.report.result import Result, WorkResult

__all__ = ["Result", "WorkResult"]
