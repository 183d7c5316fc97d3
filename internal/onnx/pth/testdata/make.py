"""Writes the .pth files beside it; run once with PyTorch (1.13 was used)."""
import argparse
from collections import OrderedDict

import torch

base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8
state = OrderedDict(
    plain=base.clone(),
    transposed=base.clone().transpose(0, 2),
    slice=base.clone()[1, :, 1:3],
    expanded=torch.tensor([[1.5], [2.5]]).expand(2, 3),
    scalar=torch.tensor(-3.25),
    empty=torch.zeros(0, 3),
    parameter=torch.nn.Parameter(torch.tensor([1.0, -2.0])),
    half=torch.tensor([1.5, -65504.0, 6e-8, float("inf"), 0.0], dtype=torch.float16),
    bfloat16=torch.tensor([1.0, -2.5, 3.140625], dtype=torch.bfloat16),
    double=torch.tensor([0.1, -1e10], dtype=torch.float64),
    num_batches_tracked=torch.tensor(7),
    mask=torch.tensor([True, False]),
)
state["shared"] = state["plain"]
state._metadata = OrderedDict([("", {"version": 1})])

for name, zipped in ("zip", True), ("legacy", False):
    torch.save(state, f"{name}.pth", _use_new_zipfile_serialization=zipped)
    wrapped = {"epoch": 3, "args": argparse.Namespace(lr=0.1), "seen": {1, 2},
               "state_dict": OrderedDict(("module." + k, v) for k, v in state.items())}
    torch.save(wrapped, f"checkpoint-{name}.pth", _use_new_zipfile_serialization=zipped)
torch.save(state, "protocol4.pth", pickle_protocol=4)
torch.save(torch.nn.Linear(2, 2), "module.pth")
torch.save({"a": torch.tensor([1 + 2j])}, "complex.pth")
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), "torchscript.pth")
