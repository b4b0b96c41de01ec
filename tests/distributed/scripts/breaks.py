"""A script that fails as its argument says."""

import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

how = sys.argv[1]
dist.init_process_group("nccl")
rank = dist.get_rank()
if how == "raise" and rank == 1:
    dist.all_reduce(torch.ones(1), group=dist.new_group([1]))
    raise KeyError("on purpose")
if how == "exit" and rank == 1:
    sys.exit(3)
if how == "well":
    sys.exit(0)
if how == "kill" and rank == 1:
    os._exit(7)
if how == "cuda":
    torch.zeros(1, device="cuda")
if how == "mismatch":
    dist.all_reduce(torch.ones(rank + 1))
if how == "deadlock" and rank == 1:
    sys.exit(0)
if how == "sleep":
    Path(sys.argv[2]).with_suffix(f".{rank}").write_text(str(os.getpid()))
    time.sleep(600)
dist.barrier()
