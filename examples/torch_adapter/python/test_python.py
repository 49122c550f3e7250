# SPDX-License-Identifier: Apache-2.0
"""test_python.py <libbuddy_torch.so> <models/reference>: the operators from Python, on the bundled model."""
import pathlib
import sys

import torch
from torch.fx.experimental.proxy_tensor import make_fx

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import buddy_moe
import qwen3_moe
import safetensors_file


def golden_of(folder):
    golden = safetensors_file.load(pathlib.Path(folder) / "golden.safetensors")
    return golden["tokens"].long(), golden


def residents(n_experts, n_residents, seed=1):
    order = torch.randperm(n_experts, generator=torch.Generator().manual_seed(seed))
    return lambda layer: order.roll(layer)[:n_residents].tolist()


@torch.no_grad()
def run(folder, n_residents, **rules):
    tokens, golden = golden_of(folder)
    model = qwen3_moe.load(folder)
    blocks = buddy_moe.patch(model, residents(64, n_residents), **rules)
    return model(tokens), golden, sum(b.counts for b in blocks)


def test_unpatched_model_gives_the_golden_logits(folder):
    tokens, golden = golden_of(folder)
    with torch.no_grad():
        difference = (qwen3_moe.load(folder)(tokens) - golden["logits"]).abs().max()
    assert difference < 1e-4, difference


def test_all_resident_changes_nothing(folder):
    logits, golden, counts = run(folder, 64)
    assert (logits - golden["logits"]).abs().max() < 1e-4
    assert counts[buddy_moe.OWN] == counts.sum() == 70 * 4 * 6


def test_exact_with_half_resident_changes_nothing(folder):
    logits, golden, counts = run(folder, 32, exact=True)
    assert (logits - golden["logits"]).abs().max() < 1e-4
    assert counts[buddy_moe.FETCH] > 0 and counts[buddy_moe.BUDDY] == 0


def test_stand_ins_change_a_little_and_fetch_less(folder):
    exact, _, all_fetched = run(folder, 32, exact=True)
    logits, _, counts = run(folder, 32, protect_share=0.12)
    assert 0 < counts[buddy_moe.FETCH] < all_fetched[buddy_moe.FETCH] and counts[buddy_moe.BUDDY] > 0
    loss = torch.nn.functional.kl_div(logits.log_softmax(-1), exact.log_softmax(-1), log_target=True, reduction="none")
    assert 0 < loss.sum(-1).mean() < 0.1, loss.sum(-1).mean()


def test_drop_leaves_out(folder):
    _, _, counts = run(folder, 32, protect_share=0.0, on_refused="drop")
    assert counts[buddy_moe.DROP] > 0 and counts[buddy_moe.BUDDY] == counts[buddy_moe.FETCH] == 0


def example():
    scores = torch.rand(5, 16, generator=torch.Generator().manual_seed(2)).softmax(-1)
    weights, ids = scores.topk(4, -1)
    return ids, weights, scores, torch.arange(16, dtype=torch.int32).where(torch.arange(16) % 2 == 0, torch.tensor(-1, dtype=torch.int32))


def test_fake_tensors_trace_the_operators(_):
    def layer(ids, weights, scores, slot_of):
        slots, kept, _ = torch.ops.buddy.resolve(ids, weights, scores, slot_of, protect_share=0.3, gate_weight="own")
        return slots + 1, kept * 2, torch.ops.buddy.stand_in(ids, scores, slot_of)

    arguments = example()
    with torch.no_grad():
        traced = make_fx(layer, tracing_mode="fake")(*arguments)
    targets = [str(node.target) for node in traced.graph.nodes]
    assert any("buddy.resolve" in t for t in targets) and any("buddy.stand_in" in t for t in targets), targets
    for a, b in zip(traced(*arguments), layer(*arguments)):
        assert torch.equal(a, b)


def test_errors_name_the_argument(_):
    ids, weights, scores, slot_of = example()
    wrong = {
        "ids must have dtype": (ids.int(), weights, scores, slot_of),
        "weights requires grad": (ids, weights.clone().requires_grad_(), scores, slot_of),
        "scores has 15": (ids, weights, scores[:, :15], slot_of),
        "slot_of must have dtype": (ids, weights, scores, slot_of.long()),
        "ids of token 0 hold 16": (torch.full_like(ids, 16), weights, scores, slot_of),
    }
    for words, arguments in wrong.items():
        try:
            torch.ops.buddy.resolve(*arguments)
        except (RuntimeError, IndexError, ValueError) as error:
            assert words in str(error), str(error)
        else:
            raise AssertionError(f"no error: {words}")


def main(library, folder):
    buddy_moe.load_operators(library)
    tests = [(name, f) for name, f in globals().items() if name.startswith("test_")]
    for name, f in tests:
        f(folder)
        print("passed", name)
    print(f"{len(tests)} tests passed, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
