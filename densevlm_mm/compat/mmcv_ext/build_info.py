"""What ``mmcv.ops.info`` reports of the build, for environment listings."""


def get_compiler_version() -> str:
    """Return what stands in the place of the compiler that built ``mmcv._ext``."""
    return "none (densevlm_mm stand-in on torchvision)"


def get_compiling_cuda_version() -> str:
    """Return what stands in the place of the CUDA version that ``mmcv._ext`` was built with."""
    return "not available"
