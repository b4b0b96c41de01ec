"""`simnet.compute`: charge computation by hand, or name a model that does it."""

from __future__ import annotations

from simnet.ranks.api import charge
from simnet.workload.compute import Device, Fixed, Measured, Roofline, Straggler


class Compute:
    """Charges computation to the calling rank, and holds the models of computation.

    ``simnet.compute("20ms")`` lets the rank's virtual clock go on by so much; outside a rank
    nothing happens, so that a program also runs without simnet's network. The models are for
    ``simnet.run(…, compute=…)``.
    """

    Fixed = Fixed
    Roofline = Roofline
    Measured = Measured
    Device = Device
    Straggler = Straggler

    def __call__(self, duration: float | str) -> None:
        """Charge computation: seconds, or text such as "20ms".

        Raises
        ------
        ValueError, TypeError
            If it is no time, or negative; outside a rank too.
        """
        charge(duration)

    def __repr__(self) -> str:
        """How it is called."""
        return "<simnet.compute: call it with a time, or use .Fixed, .Roofline, .Measured>"


compute = Compute()
