"""DTensors of every placement."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from gradpower import AdamWPower, SNRMeter, UpdateMeter, sign_power
from tests.gradpower.workers.process import Result


def images() -> Result:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    generator = torch.Generator().manual_seed(5)
    results: Result = {}
    for shape in ((6, 4), (3, 5), (1, 2)):
        g = torch.randn(shape, generator=generator)
        for placement in (Shard(0), Shard(1), Replicate()):
            for power in (0.5, 1.0, 1.2):
                image = sign_power(distribute_tensor(g, mesh, [placement]), power, offset=1e-8)
                key = (tuple(shape), str(placement), power)
                results[str(key)] = {
                    "image": image.full_tensor(),
                    "expected": sign_power(g, power, offset=1e-8),
                    "kept": image.placements == (placement,),
                }
    term = torch.randn(4, 2, generator=torch.Generator().manual_seed(dist.get_rank()))
    partial = DTensor.from_local(term, mesh, [Partial()], run_check=False)
    weight = nn.Parameter(distribute_tensor(torch.zeros(4, 2), mesh, [Replicate()]))
    weight.grad = partial
    optimizer = AdamWPower([weight], lr=0.1, power=1.2)
    try:
        sign_power(partial, 1.2)
    except ValueError as error:
        results["refusal"] = str(error)
    optimizer.step()
    results["gradient_kept"] = weight.grad is partial
    measured = []
    for meter in (lambda: SNRMeter({"m": [weight]}), lambda: UpdateMeter(optimizer)):
        try:
            meter()
        except ValueError as error:
            measured.append(str(error))
    results["meters"] = measured
    total = term.clone()
    dist.all_reduce(total)
    results["moment"] = optimizer.state[weight]["exp_avg"].full_tensor()
    results["expected_moment"] = torch.zeros(4, 2).lerp(sign_power(total, 1.2), 0.1)
    return results
