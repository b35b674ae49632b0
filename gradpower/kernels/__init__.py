"""AdamW, or Adam, on powered gradients in one pass over memory: C for the CPU, Triton for CUDA.

A kernel is a module with three functions.

- `reason()`: why it cannot be used on this machine; empty if it can.
- `supports(params, *others)`: whether it takes these tensors.
- `adamw_power_(params, grads, exp_avgs, exp_avg_sqs, state_steps, **numbers)`: one step in place. It returns True, or
  False where a tensor or number does not fit, and then nothing has changed.

With g' = gradient_scale·g (its negative to `maximize`), t the step, counted up first, and everything between reading
and writing an element in float32 (Section 3 of the paper):

    x = powered_scale·sign(g')·(|g'| + offset)^p, and 0 where g' is; infinities and NaN pass through
    θ ← θ − lr·weight_decay·θ if `decoupled`, else x ← x + weight_decay·θ
    m ← β1·m + (1−β1)·x,  v ← β2·v + (1−β2)·x²
    θ ← θ − lr/(1−β1^t)·m/(√v/√(1−β2^t) + ε)

Gradients are only read. Gradients and moments have the shape and strides of their parameters; a step is one float32
number on the parameter's device.
"""

from typing import TypedDict

from torch import Tensor


class Numbers(TypedDict):
    """The numbers of a step."""

    power: float | Tensor
    offset: float
    lr: float | Tensor
    beta1: float
    beta2: float
    weight_decay: float
    epsilon: float
    gradient_scale: float | Tensor
    powered_scale: float | Tensor
    maximize: bool
    decoupled: bool
