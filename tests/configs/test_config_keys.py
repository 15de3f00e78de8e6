"""No config of ours has a key that nothing reads."""

from pathlib import Path

import pytest
from mmengine.config import Config

from densevlm_mm.apis.config_keys import check_config_keys

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FOLDERS = sorted(path.name for path in CONFIGS.iterdir() if path.name != "_base_")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_key_is_read(folder: str) -> None:
    for path in sorted((CONFIGS / folder).glob("*.py")):
        check_config_keys(Config.fromfile(str(path)))
