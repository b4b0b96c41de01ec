"""Scripts that know nothing of simnet; imports no torch until one has failed."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from dataclasses import dataclass

from simnet.ranks.where import user_traceback


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A Python program, as its command line names it.

    Attributes
    ----------
    name : str
        A file; a module's name where `is_module`.
    arguments : tuple of str
        What the program finds behind it in ``sys.argv``.
    is_module : bool
        Whether it is run as by ``python -m``.
    """

    name: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    def execute(self) -> None:
        """Run it as ``__main__``, as Python itself would.

        Raises
        ------
        NoCudaError
            If it asks for CUDA where there is none; says what to write.
        BaseException
            Whatever it raises.
        """
        sys.argv[:] = [self.name, *self.arguments]
        try:
            if self.is_module:
                sys.path[0] = os.getcwd()
                runpy.run_module(self.name, run_name="__main__", alter_sys=True)
            else:
                sys.path[0] = os.path.dirname(os.path.realpath(self.name))
                runpy.run_path(os.path.abspath(self.name), run_name="__main__")
        except Exception as error:
            from simnet.distributed.no_cuda import explained

            told = explained(error)
            if told is error:
                raise
            raise told from None


def said_of_error(error: BaseException) -> str:
    """An error with the user's part of its traceback, as Python would print it."""
    lines = traceback.format_exception(type(error), error, user_traceback(error))
    return "".join(lines)
