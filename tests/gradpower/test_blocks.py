import math
import pickle

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from gradpower.groups import parameter_names
from gradpower.learning_rates.blockwise import BLOCKS, Block, blockwise_groups, blockwise_warmup
from gradpower.tools.errors import InputError
from tests.gradpower.models import llama, qwen

RATIOS = {"norm": 1.0, "vo": 4.0, "ffn": 6.0, "qk": 8.0, "embedding": 10.0, "head": 1.0}


class Named(nn.Module):
    """A module whose parameters have the given dotted names."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            *path, leaf = name.split(".")
            module: nn.Module = self
            for part in path:
                if part not in dict(module.named_children()):
                    module.add_module(part, nn.Module())
                module = module.get_submodule(part)
            module.register_parameter(leaf, nn.Parameter(torch.ones(2, 2)))


def owner(groups: list[dict], model: nn.Module) -> dict[str, list[str]]:
    blocks = {id(p): group["name"] for group in groups for p in group["params"]}
    return {name: blocks.get(id(p), "none") for name, p in model.named_parameters()}


def counts(groups: list[dict]) -> dict[str, int]:
    return {group["name"]: len(group["params"]) for group in groups}


def test_ratios_times_base_rate():
    groups = blockwise_groups(llama(), 1e-3)
    assert {group["name"]: group["ratio"] for group in groups} == RATIOS
    assert all(group["lr"] == 1e-3 * RATIOS[group["name"]] for group in groups)
    assert not any("weight_decay" in group for group in groups)


@pytest.mark.parametrize(
    ("build", "vo", "ffn", "qk"),
    [
        (llama, 4, 6, 4),
        # Per layer: V with bias and O; router, 2 expert stacks, 3 of the shared expert, its gate; Q and K with biases.
        (qwen, 6, 14, 8),
    ],
)
def test_counts(build, vo, ffn, qk):
    # Two layers: two norms and the last.
    assert counts(blockwise_groups(build(), 1e-3)) == {
        "norm": 5, "vo": vo, "ffn": ffn, "qk": qk, "embedding": 1, "head": 1,
    }  # fmt: skip


@pytest.mark.parametrize("build", [llama, qwen])
def test_every_parameter_is_owned_once(build):
    model = build()
    owned = [id(p) for group in blockwise_groups(model, 1e-3) for p in group["params"]]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in model.parameters()}


def test_names_of_transformers_4_and_norms_of_queries():
    expected = {
        "model.layers.0.mlp.experts.0.gate_proj.weight": "ffn",
        "model.layers.0.mlp.experts.10.down_proj.weight": "ffn",
        "model.layers.0.mlp.gate.weight": "ffn",
        "model.layers.0.mlp.shared_expert_gate.weight": "ffn",
        "model.layers.0.self_attn.q_norm.weight": "norm",
        "model.layers.0.self_attn.k_norm.weight": "norm",
        "model.layers.0.input_layernorm.weight": "norm",
        "model.layers.0.post_attention_layernorm.weight": "norm",
        "model.norm.weight": "norm",
        "model.layers.0.self_attn.q_proj.weight": "qk",
        "model.layers.0.self_attn.k_proj.bias": "qk",
        "model.layers.0.self_attn.v_proj.bias": "vo",
        "model.layers.0.self_attn.o_proj.weight": "vo",
        "model.embed_tokens.weight": "embedding",
        "lm_head.weight": "head",
    }
    model = Named(*expected)
    assert owner(blockwise_groups(model, 1.0), model) == expected


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers(prefix):
    # A pattern that is tied to the front sees the model's own names.
    blocks = [Block("first", r"^model\.", 1), Block("head", r"^lm_head\.", 1)]
    model = Named(f"{prefix}model.embed_tokens.weight", f"{prefix}lm_head.weight")
    assert counts(blockwise_groups(model, 1.0, blocks=blocks)) == {"first": 1, "head": 1}


def test_wrappers_inside():
    inside = (
        "_fsdp_wrapped_module.model.layers.0._checkpoint_wrapped_module.mlp._fsdp_wrapped_module.gate.weight"
    )
    model = Named(inside, "model.module.weight")
    assert list(parameter_names(model).values()) == [
        ["model.layers.0.mlp.gate.weight"],
        ["model.module.weight"],
    ]


def test_tied_embedding_belongs_to_the_first_block():
    model = llama()
    model.lm_head.weight = model.model.embed_tokens.weight
    groups = blockwise_groups(model, 1e-3)
    assert "head" not in counts(groups)
    assert groups[-1]["name"] == "embedding"
    assert groups[-1]["params"] == [model.lm_head.weight]
    head_first = blockwise_groups(model, 1e-3, blocks=[BLOCKS[-1], *BLOCKS[:-1]])
    assert counts(head_first)["head"] == 1
    assert "embedding" not in counts(head_first)


def test_frozen_parameters_are_left_out_and_count_as_matches():
    model = llama()
    model.model.embed_tokens.weight.requires_grad_(False)
    model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    groups = blockwise_groups(model, 1e-3)
    assert "embedding" not in counts(groups)
    assert counts(groups)["ffn"] == 5
    model.requires_grad_(False)
    with pytest.raises(InputError, match=r"model: LlamaForCausalLM .*trainable"):
        blockwise_groups(model, 1e-3)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block("router", "no_such", 1), r"pattern of block 'router': no_such is not allowed"),
        (Block("gate", r"mlp\.gate\.", 1), r"pattern of block 'gate'.* no earlier pattern takes"),
    ],
)
def test_a_pattern_that_gets_no_parameter(block, message):
    with pytest.raises(InputError, match=message):
        blockwise_groups(qwen(), 1e-3, blocks=[*BLOCKS, block])


def test_the_router_as_a_block_of_its_own():
    groups = blockwise_groups(qwen(), 1e-3, blocks=[Block("router", r"mlp\.gate\.", 2), *BLOCKS])
    assert (groups[0]["name"], len(groups[0]["params"]), groups[0]["lr"]) == ("router", 2, 2e-3)
    assert counts(groups)["ffn"] == 12


def test_a_model_with_other_names_is_told_how_to_pass_its_own_blocks():
    model = Named("transformer.wte.weight", "transformer.h.0.ln_1.weight", "transformer.h.0.mlp.c_fc.weight")
    with pytest.raises(InputError, match=r"transformer\.wte\.weight.*blocks=\[Block\("):
        blockwise_groups(model, 1e-3)
    own = (Block("norm", r"ln_", 1), Block("embedding", r"wte", 10), Block("ffn", r"mlp", 6))
    groups = blockwise_groups(model, 1e-3, blocks=own)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_parameters_without_pattern_are_named():
    with pytest.raises(InputError, match=r"no pattern for 5 parameters.*layers\.0\.input_layernorm\.weight"):
        blockwise_groups(llama(), 1e-3, blocks=BLOCKS[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "x", 1), "name"),
        (("a", "(", 1), "pattern of block 'a': \\("),
        (("a", 3, 1), "pattern of block 'a': 3"),
        (("a", "x", 0), "ratio of block 'a': 0"),
        (("a", "x", math.inf), "ratio of block 'a': inf"),
        (("a", "x", "4"), "ratio of block 'a': '4'"),
    ],
)
def test_refused_blocks(arguments, message):
    with pytest.raises(InputError, match=message):
        Block(*arguments)


def test_refused_arguments():
    model = llama()
    with pytest.raises(InputError, match="lr: -1"):
        blockwise_groups(model, -1)
    with pytest.raises(InputError, match="weight_decay: nan"):
        blockwise_groups(model, 1, weight_decay=math.nan)
    with pytest.raises(InputError, match=r"no_decay: norms is not allowed; expected names of blocks \(norm"):
        blockwise_groups(model, 1, no_decay=["norms"])
    with pytest.raises(InputError, match="no_decay: norm"):
        blockwise_groups(model, 1, no_decay="norm")
    with pytest.raises(InputError, match="two blocks named 'norm'"):
        blockwise_groups(model, 1, blocks=[*BLOCKS, BLOCKS[0]])


def test_weight_decay_of_blocks():
    groups = blockwise_groups(llama(), 1e-3, weight_decay=0.1, no_decay=("norm", "embedding"))
    decays = {group["name"]: group["weight_decay"] for group in groups}
    assert decays == {"norm": 0.0, "vo": 0.1, "ffn": 0.1, "qk": 0.1, "embedding": 0.0, "head": 0.1}


def rates(optimizer: torch.optim.Optimizer, schedule: LambdaLR, steps: int) -> list[list[float]]:
    """The learning rates that steps 0, 1, … are taken with."""
    series = []
    for _ in range(steps):
        series.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return series


def adamw(*ratios: float, lr: float = 1.0) -> torch.optim.AdamW:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr * r, "ratio": r} for r in ratios]
    return torch.optim.AdamW(groups)


def test_warmup_by_hand():
    optimizer = adamw(1, 2)
    series = rates(optimizer, blockwise_warmup(optimizer, 2), 6)
    assert series == [[0, 0], [0.5, 0.5], [1, 1], [1, 1.5], [1, 2], [1, 2]]
    optimizer = adamw(1, 2)
    series = rates(optimizer, blockwise_warmup(optimizer, 2, stretch=False), 4)
    assert series == [[0, 0], [0.5, 1], [1, 2], [1, 2]]


def test_decay_and_shared_floor_by_hand():
    # D falls from 1 to 0 between steps 4 and 8; W = 2 and 4; 0.2 is the floor of both.
    def decay(t: int) -> float:
        return min(1.0, max(0.0, (8 - t) / 4))

    optimizer = adamw(1, 2)
    series = rates(optimizer, blockwise_warmup(optimizer, 2, decay=decay, min_lr=0.2), 10)
    warming, falling = [[0, 0], [0.5, 0.5], [1, 1], [1, 1.5], [1, 2]], [[0.8, 1.55], [0.6, 1.1], [0.4, 0.65]]
    expected = [*warming, *falling, [0.2, 0.2], [0.2, 0.2]]
    assert torch.allclose(torch.tensor(series), torch.tensor(expected))


def test_cosine_of_the_authors_with_one_decay_for_each_group():
    lr, min_lr, warmup, total, ratios = 1e-3, 1e-4, 3, 40, (1, 4, 10)

    def cosine(start: float):
        return lambda t: 0.5 * (1 + math.cos(math.pi * (t - start) / (total - start)))

    optimizer = adamw(*ratios, lr=lr)
    decays = [cosine(warmup * r) for r in ratios]
    series = rates(optimizer, blockwise_warmup(optimizer, warmup, decay=decays, min_lr=min_lr), total + 1)

    def expected(t: int, r: float) -> float:
        if t <= warmup * r:
            return lr * r * t / (warmup * r)
        share = (t - warmup * r) / (total - warmup * r)
        return min_lr + 0.5 * (1 + math.cos(math.pi * share)) * (lr * r - min_lr)

    for t, row in enumerate(series):
        assert row == pytest.approx([expected(t, r) for r in ratios], rel=1e-12)


def test_no_warmup():
    optimizer = adamw(1, 3)
    assert rates(optimizer, blockwise_warmup(optimizer, 0, decay=lambda t: 1 / (1 + t)), 2) == [
        [1, 3],
        [0.5, 1.5],
    ]


class Halving:
    """A decay that can be pickled."""

    def __call__(self, step: int) -> float:
        return 0.5 ** (step // 3)


@pytest.mark.parametrize("decay", [Halving(), lambda t: 1 / (1 + t), None], ids=["object", "lambda", "none"])
def test_resuming_goes_on_as_if_never_stopped(decay, tmp_path):
    def made() -> tuple[torch.optim.AdamW, LambdaLR]:
        optimizer = adamw(1, 2.5, 8, lr=1e-2)
        return optimizer, blockwise_warmup(optimizer, 1.5, decay=decay, min_lr=1e-3)

    whole = rates(*made(), 20)
    optimizer, schedule = made()
    first = rates(optimizer, schedule, 8)
    torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, tmp_path / "state")
    saved = torch.load(tmp_path / "state", weights_only=True)
    optimizer, schedule = made()
    schedule.load_state_dict(saved["schedule"])
    optimizer.load_state_dict(saved["optimizer"])
    assert schedule.last_epoch == 8
    assert first + rates(optimizer, schedule, 12) == whole


def test_schedule_can_be_pickled():
    optimizer = adamw(1, 2)
    schedule = blockwise_warmup(optimizer, 2, decay=Halving(), min_lr=0.1)
    rates(optimizer, schedule, 1)  # torch warns if an unpickled schedule is stepped first
    copy = pickle.loads(pickle.dumps(schedule))
    assert rates(copy.optimizer, copy, 12) == rates(optimizer, schedule, 12)


def test_a_second_schedule_starts_from_the_initial_rate():
    optimizer = adamw(1, 2)
    rates(optimizer, blockwise_warmup(optimizer, 4), 2)
    again = blockwise_warmup(optimizer, 0, min_lr=1.0, decay=lambda _: 0.0)
    assert again.get_last_lr() == [1.0, 1.0]


def test_refused_schedules():
    optimizer = adamw(1, 2)
    with pytest.raises(InputError, match="warmup_steps: -1"):
        blockwise_warmup(optimizer, -1)
    with pytest.raises(InputError, match=r"min_lr: 1.5 is not allowed; expected at most 1.0"):
        blockwise_warmup(optimizer, 1, min_lr=1.5)
    with pytest.raises(InputError, match="decay: a sequence of 1"):
        blockwise_warmup(optimizer, 1, decay=[Halving()])
    with pytest.raises(InputError, match="decay: 3"):
        blockwise_warmup(optimizer, 1, decay=3)
    with pytest.raises(InputError, match=r"decay\(step\): nan"):
        blockwise_warmup(optimizer, 0, decay=lambda _: math.nan)
    plain = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(InputError, match="ratio of a parameter group: missing"):
        blockwise_warmup(plain, 1)
    assert blockwise_warmup(plain, 1, stretch=False).get_last_lr() == [0.0]
