"""DenseVLM as an OpenMMLab plugin: unbiased region-language alignment for dense prediction."""

from typing import TYPE_CHECKING

from densevlm_mm.compat import install as _install_compat

_install_compat()  # before any mmdet or mmseg import: they import mmcv.ops at module level

from densevlm_mm import registry as registry  # noqa: E402
from densevlm_mm.lazy_exports import lazy_exports  # noqa: E402

if TYPE_CHECKING:
    from densevlm_mm.apis import load_experiment, use_vocabulary
    from densevlm_mm.inference import OpenVocabularyInferencer, Prediction
    from densevlm_mm.models.backbones import DenseVLMBackbone
    from densevlm_mm.models.encoders import DenseImageEncoder
    from densevlm_mm.models.losses import DecoupledAlignmentLoss
    from densevlm_mm.models.text import ClassEmbeddings, build_class_embeddings
    from densevlm_mm.vocabulary import Vocabulary

__version__ = "0.1.0"

# What people need, imported when it is used: the package itself takes no second.
_HOMES = {
    "ClassEmbeddings": "models.text",
    "DecoupledAlignmentLoss": "models.losses",
    "DenseImageEncoder": "models.encoders",
    "DenseVLMBackbone": "models.backbones",
    "OpenVocabularyInferencer": "inference",
    "Prediction": "inference",
    "Vocabulary": "vocabulary",
    "build_class_embeddings": "models.text",
    "load_experiment": "apis",
    "use_vocabulary": "apis",
}

__all__ = [
    "ClassEmbeddings",
    "DecoupledAlignmentLoss",
    "DenseImageEncoder",
    "DenseVLMBackbone",
    "OpenVocabularyInferencer",
    "Prediction",
    "Vocabulary",
    "build_class_embeddings",
    "load_experiment",
    "use_vocabulary",
]

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
