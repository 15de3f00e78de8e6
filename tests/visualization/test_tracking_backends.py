import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

# In a process of its own: wandb leaves threads behind that look for its servers.
LOG_ONLINE = """
import sys
from densevlm_mm.visualization.tracking_backends import FiguresWandbVisBackend
backend = FiguresWandbVisBackend(sys.argv[1], init_kwargs=dict(project="tiny", mode="online"))
try:
    backend.add_scalar("loss", 1.0)
except ValueError as error:
    print(error)
"""


def test_wandb_without_a_login_is_one_line_that_says_how_to_do_without(tmp_path) -> None:
    if find_spec("wandb") is None:
        pytest.skip("wandb is not installed")
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_API_KEY"}
    environment |= dict(NETRC=str(tmp_path / "netrc"), WANDB_CONFIG_DIR=str(tmp_path))
    command = [sys.executable, "-c", LOG_ONLINE, str(tmp_path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300).stdout
    assert "API key" in said
    assert "WANDB_MODE=offline" in said
