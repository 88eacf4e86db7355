from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from augment.errors import ConfigError, NonFiniteLossError, ResumeError
from augment.phases import Losses, Phase, Stage
from augment.training import PlainContext, TrainingConfig, derive_seed, train

CONFIG = TrainingConfig(batch_size=4, checkpoint_every=5, log_every=5, precision="fp32")


class Points(NamedTuple):
    values: Tensor


class TwoPlayers(nn.Module):
    """Two layers; the first chases targets, the second chases the first."""

    def __init__(self, steps: int = 10, poison_at: int | None = None, moves_if=None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.steps, self.poison_at, self.turns = steps, poison_at, []
        self.moves_if = moves_if

    def players(self):
        return {"first": [self.first], "second": [self.second]}

    def stages(self):
        alternate = (
            Phase("chase", "first", "distance to noise", self._chase),
            Phase("follow", "second", "distance to the first", self._follow, self.moves_if),
        )
        return [Stage("warm-up", 3, alternate[:1]), Stage("both", self.steps - 3, alternate)]

    def _chase(self, batch, draws):
        self.turns.append(("first", self.first.weight.requires_grad, self._second_moves()))
        if self.poison_at == len(self.turns):
            batch = Points(batch.values * torch.nan)
        noise = torch.randn(batch.values.shape, generator=draws)
        distance = (self.first(batch.values) - noise).square().mean(dim=1)
        return Losses(distance.mean(), {"distance": distance})

    def _follow(self, batch, draws):
        self.turns.append(("second", self._second_moves(), self.first.weight.requires_grad))
        distance = (self.second(batch.values) - self.first(batch.values)).square().mean(dim=1)
        return Losses(distance.mean(), {"distance": distance})

    def _second_moves(self):
        return self.second[0].weight.requires_grad


def points(step: int, rank: int, world_size: int) -> Points:
    draws = torch.Generator().manual_seed(derive_seed(step, rank))
    return Points(torch.randn(4 // world_size, 3, generator=draws))


def run(model, tmp_path, context=None, config=CONFIG, **settings):
    context = context or PlainContext(tmp_path / "run")
    return train(model, points, config, context, scratch=tmp_path / "scratch", **settings)


def test_gradients_are_on_for_one_player_at_a_time(tmp_path):
    model = TwoPlayers()
    run(model, tmp_path)
    assert all(moves and not other_moves for _, moves, other_moves in model.turns)
    assert [name for name, _, _ in model.turns[:5]] == ["first"] * 4 + ["second"]


def test_a_resumed_run_ends_with_exactly_the_same_weights(tmp_path):
    whole = run(TwoPlayers(), tmp_path / "whole")
    stopped = TwoPlayers(poison_at=12)
    with pytest.raises(NonFiniteLossError):
        run(stopped, tmp_path)
    resumed = run(TwoPlayers(), tmp_path, PlainContext(tmp_path / "run", resume=True))
    for ours, theirs in zip(
        resumed.state_dict().values(), whole.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_resuming_makes_only_the_missing_steps(tmp_path):
    with pytest.raises(NonFiniteLossError):
        run(TwoPlayers(poison_at=12), tmp_path)
    model = TwoPlayers()
    run(model, tmp_path, PlainContext(tmp_path / "run", resume=True))
    assert sum(name == "second" for name, *_ in model.turns) == 5


def test_resuming_a_finished_run_reports_its_last_metrics_again(tmp_path):
    seen, again = [], []
    run(TwoPlayers(), tmp_path, PlainContext(tmp_path / "run", on_report=seen.append))
    model = TwoPlayers()
    context = PlainContext(tmp_path / "run", resume=True, on_report=again.append)
    run(model, tmp_path, context, validate=lambda model: pytest.fail("nothing was trained"))
    assert again == seen[-1:]
    assert not model.turns


@pytest.mark.parametrize(
    ("config", "identity", "named"),
    [
        (
            TrainingConfig(batch_size=2, checkpoint_every=5, log_every=5, precision="fp32"),
            "a",
            "batch_size: was 4, now 2",
        ),
        (CONFIG, "b", "digest differs"),
    ],
)
def test_resuming_with_other_settings_is_refused_and_keeps_the_checkpoint(
    tmp_path, config, identity, named
):
    run(TwoPlayers(), tmp_path, identity="a")
    kept = (tmp_path / "run/last/checkpoint.pt").read_bytes()
    context = PlainContext(tmp_path / "run", resume=True)
    with pytest.raises(ResumeError, match=named):
        run(TwoPlayers(), tmp_path, context, config, identity=identity)
    assert (tmp_path / "run/last/checkpoint.pt").read_bytes() == kept


def test_a_player_that_may_not_move_keeps_its_weights_and_others_move(tmp_path):
    model = TwoPlayers(moves_if=lambda terms: terms["distance"] < 0)
    first, second = model.first.weight.detach().clone(), model.second[0].weight.detach().clone()
    run(model, tmp_path)
    assert torch.equal(model.second[0].weight, second)
    assert not torch.equal(model.first.weight, first)


def test_workers_decide_alike_on_terms_averaged_over_all_of_them(tmp_path):
    class Far(PlainContext):
        def average(self, tensors):
            for tensor in tensors:
                tensor.fill_(7.0)

    seen = []
    model = TwoPlayers(moves_if=lambda terms: seen.append(dict(terms)) or False)
    run(model, tmp_path, Far())
    assert seen == [{"distance": 7.0}] * 7


def test_a_loss_that_is_not_finite_names_stage_step_phase_and_term(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"'chase'.*step 6 of stage 'both'.*distance"):
        run(TwoPlayers(poison_at=10), tmp_path)


def test_the_last_checkpoint_is_kept_and_no_other(tmp_path):
    scores, seen = iter([1.0, 3.0]), []
    context = PlainContext(tmp_path / "run", on_report=seen.append)
    run(TwoPlayers(), tmp_path, context, validate=lambda model: next(scores))
    assert [metrics["validation"] for metrics in seen] == [1.0, 3.0]
    (kept,) = (tmp_path / "run").rglob("*.pt")
    assert kept == tmp_path / "run/last/checkpoint.pt"
    assert torch.load(kept, weights_only=True)["step"] == 10


def test_reports_count_images_and_name_every_term(tmp_path):
    seen = []
    run(TwoPlayers(), tmp_path, PlainContext(on_report=seen.append))
    assert [m["images"] for m in seen] == [20, 40]
    assert {"loss/chase/distance", "loss/follow/distance"} <= set(seen[-1])


def test_averaged_weights_lag_behind_the_current_ones(tmp_path):
    model = TwoPlayers()
    before = model.first.weight.detach().clone()
    averaged = run(model, tmp_path)
    moved = (model.first.weight - before).norm()
    assert 0 < (averaged.first.weight - before).norm() < moved


def test_without_averaging_the_model_itself_comes_back(tmp_path):
    model = TwoPlayers()
    config = TrainingConfig(batch_size=4, ema_decay=0.0, precision="fp32")
    assert run(model, tmp_path, config=config) is model


def test_seeds_of_neighbouring_steps_and_workers_differ():
    assert len({derive_seed(0, step, rank) for step in range(50) for rank in range(4)}) == 200


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"ema_decay": 1.0}, {"learning_rate": 0.0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError):
        TrainingConfig(**setting)
