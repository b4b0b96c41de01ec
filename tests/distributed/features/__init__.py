"""Small programs, one for each thing that torch.distributed offers."""

import warnings

with warnings.catch_warnings():
    # torch.distributed.optim compiles functions when it is imported.
    warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated")
    # isort: off
    from features import eager, p2p, work, groups, functional  # noqa: F401
    from features import ddp, fsdp, dtensors, pipeline, optim, checkpoint, compiled  # noqa: F401

from features.registry import FEATURES, WORLD_SIZE, Feature

__all__ = ["FEATURES", "WORLD_SIZE", "Feature"]
