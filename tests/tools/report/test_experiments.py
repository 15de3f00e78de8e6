from pathlib import Path

import pytest

from report import beyond
from report.experiments import EXPERIMENTS, NAMES, TABLES, select_experiments

ROOT = Path(__file__).resolve().parents[3]


def test_every_experiment_has_a_config_and_a_table() -> None:
    in_tables = {name for table in (*TABLES, *beyond.TABLES) for name in table.rows}
    assert in_tables == set(NAMES)
    for experiment in EXPERIMENTS:
        assert (ROOT / f"configs/tiny/{experiment.config}.py").is_file()


def test_experiments_are_selected_in_the_order_of_the_report() -> None:
    assert [experiment.name for experiment in select_experiments(["row4", "before"])] == ["before", "row4"]
    assert select_experiments(None) == EXPERIMENTS


def test_an_unknown_experiment_is_named() -> None:
    with pytest.raises(KeyError, match="no experiment 'row5'"):
        select_experiments(["row5"])
