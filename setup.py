"""Installation: ``pip install -r requirements.txt && pip install -e .``."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def requirements() -> list[str]:
    """Requirements without mmcv-lite, which would overwrite a compiled mmcv; ``pip install -e .[lite]`` adds it."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [line for line in lines if line and not line.startswith("mmcv-lite")]


class BuildWithProjectFiles(build_py):
    """Put configs, tools and the index of models into the package, as ``.mim``, where OpenMMLab's mim looks for them.

    An editable installation leaves them where they are.
    """

    def run(self) -> None:
        """Build the package, then copy."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "densevlm_mm" / ".mim"
        shutil.rmtree(target, ignore_errors=True)  # what an earlier build has left
        for name in ("configs", "tools"):
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "model-index.yml", target)


ONNX = ["onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.5"]
REPORT = ["doit>=0.37"]
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1.0", "nbconvert>=7.16"]  # `make docs`
PICTURES = ["plotly>=6", "supervision>=0.25"]  # interactive confusion matrices; Prediction.to_supervision()
WEB = ["gradio>=6.31,<7"]  # tools/web.py

setup(
    name="densevlm_mm",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "densevlm_mm/__init__.py").read_text()).group(1),
    description="DenseVLM (unbiased region-language alignment, ICCV 2025) as an OpenMMLab plugin",
    long_description=(ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["densevlm_mm", "densevlm_mm.*"]),
    package_data={
        "densevlm_mm": [
            "assets/*",
            "tiny_scenes/assets/*",
            "vocabulary/data/*.json",
            "vocabulary/synonym_tables/*.json",
        ]
    },
    cmdclass={"build_py": BuildWithProjectFiles},
    entry_points={"console_scripts": ["densevlm = densevlm_mm.cli:main"]},
    install_requires=requirements(),
    extras_require={
        "docs": DOCS,
        "lite": ["mmcv-lite==2.1.0"],
        "onnx": ONNX,
        "report": REPORT,
        "loggers": ["mlflow>=3.0", "wandb>=0.18"],
        "pictures": PICTURES,
        "web": WEB,
        "dev": [
            *DOCS,
            *ONNX,
            *REPORT,
            *WEB,
            "alembic",  # alembic and sqlalchemy: MLflow's database, without the rest of the full package
            "hypothesis>=6.100",
            "ipykernel>=6.29",  # the notebooks are run by their test
            "mlflow-skinny>=3.0",
            "mypy>=1.11",
            "nbclient>=0.10",
            "pip>=23.1",
            *PICTURES,
            "playwright>=1.49",
            "pre-commit>=3.7",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "sqlalchemy",
            "wandb>=0.18",
        ],
    },
)
