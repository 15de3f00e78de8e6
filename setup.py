"""Installation: ``pip install -r requirements.txt && pip install -e .``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements() -> list[str]:
    """Requirements without mmcv-lite, which would overwrite a compiled mmcv; ``pip install -e .[lite]`` adds it."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [line for line in lines if line and not line.startswith("mmcv-lite")]


setup(
    name="densevlm_mm",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "densevlm_mm/__init__.py").read_text()).group(1),
    description="DenseVLM (unbiased region-language alignment, ICCV 2025) as an OpenMMLab plugin",
    long_description=(ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["densevlm_mm", "densevlm_mm.*"]),
    package_data={"densevlm_mm": ["assets/*", "tiny_scenes/assets/*", "vocabulary/data/*.json"]},
    install_requires=requirements(),
    extras_require={
        "lite": ["mmcv-lite==2.1.0"],
        "pictures": ["plotly>=6", "supervision>=0.25"],  # interactive confusion matrices; Prediction.to_supervision()
        "web": ["gradio>=6.31,<7"],  # tools/web.py
        "dev": [
            "doit>=0.37",
            "gradio>=6.31,<7",
            "hypothesis>=6.100",
            "mypy>=1.11",
            "playwright>=1.49",
            "plotly>=6",
            "pre-commit>=3.7",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "supervision>=0.25",
        ],
    },
)
