"""Keys that a component does not take are refused before anything is built, with the nearest one that it takes."""

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from importlib import import_module
from typing import Any

from mmengine import registry as roots
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from densevlm_mm.models.text.request import ClassEmbeddingsRequest

# What mmengine's Runner, and the OpenMMLab tools, read beside the keys that a config happens to define.
RUNNER_KEYS = frozenset(
    """
    model work_dir train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr
    optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from
    resume launcher env_cfg log_processor log_level visualizer default_scope randomness experiment_name custom_imports
    runner_type tta_model tta_pipeline activation_checkpointing compile
    """.split()  # noqa: SIM905
)
_REGISTRIES = tuple(
    """
    MODELS TASK_UTILS DATASETS DATA_SAMPLERS TRANSFORMS FUNCTIONS METRICS EVALUATOR HOOKS LOOPS LOG_PROCESSORS
    OPTIMIZERS OPTIM_WRAPPERS OPTIM_WRAPPER_CONSTRUCTORS PARAM_SCHEDULERS VISUALIZERS VISBACKENDS WEIGHT_INITIALIZERS
    MODEL_WRAPPERS
    """.split()  # noqa: SIM905
)
# What is taken out of a config before its component is built: by Config and Registry, for hooks, optimizer wrappers and
# schedules, by init_cfg, and from norm_cfg, conv_cfg, upsample_cfg and the loss_cls of DETR's head.
_TAKEN_BEFORE = frozenset(
    """
    type _scope_ _delete_ priority constructor paramwise_cfg convert_to_iter_based override name
    requires_grad fallback_on_stride scale_factor bg_cls_weight
    """.split()  # noqa: SIM905
)
# Parts of a config that have no type, by their key, and who reads them.
_LOADER = {"dataset", "sampler", "batch_sampler", "collate_fn", "worker_init_fn", "num_batch_per_epoch"}
_UNTYPED: dict[str, tuple[Callable, set[str]]] = {
    **dict.fromkeys(("train_dataloader", "val_dataloader", "test_dataloader"), (DataLoader, _LOADER)),
    **dict.fromkeys(("class_embeddings", "test_class_embeddings"), (ClassEmbeddingsRequest, set())),
    "randomness": (Runner.set_randomness, set()),
}


def check_config_keys(cfg: Config) -> None:
    """Refuse keys that no component of their ``type`` takes, anywhere in the config of a run.

    A component takes the parameters of its ``__init__`` and, where that hands ``**kwargs`` on to its base class, those
    of the base class. One that keeps ``**kwargs`` for itself takes everything. A name that is in several registries
    takes what any of them takes; one that is in none is left to whoever builds it.

    Args:
        cfg: The experiment, its ``custom_imports`` imported.

    Raises:
        ValueError: If a component does not take a key; names all of them, each with the nearest key that exists.
    """
    scope = cfg.get("default_scope")
    faults = [
        fault
        for key in cfg
        if key in RUNNER_KEYS and isinstance(cfg[key], dict | list | tuple)
        for fault in _faults(cfg[key], key, scope)
    ]
    if faults:
        raise ValueError("\n  ".join([f"the config has {len(faults)} key(s) that nothing reads:", *faults]))


def _faults(node: Any, where: str, scope: str | None) -> Iterator[str]:
    if isinstance(node, list | tuple):
        for number, item in enumerate(node):
            yield from _faults(item, f"{where}.{number}", scope)
        return
    if not isinstance(node, dict):
        return
    scope = node.get("_scope_", scope)
    name, taken = _reader(node, where.rpartition(".")[2], scope)
    if taken is not None:
        for key in sorted(node.keys() - taken - _TAKEN_BEFORE, key=str):
            yield _fault(f"{where}.{key}", key, name, taken)
    for key, value in node.items():
        yield from _faults(value, f"{where}.{key}", scope)


def _reader(node: dict, key: str, scope: str | None) -> tuple[str, AbstractSet[str] | None]:
    """Who reads a part of a config, and which keys of it; None if any will do, or nobody knows."""
    kind = node.get("type")
    if isinstance(kind, str) or callable(kind):
        return str(kind), _taken_keys(kind, scope)
    if kind is None and key in _UNTYPED:
        reader, others = _UNTYPED[key]
        return reader.__name__, (accepted_parameters(reader) or frozenset()) | others
    return "", None


def _fault(where: str, key: str, kind: str, taken: AbstractSet[str]) -> str:
    close = difflib.get_close_matches(key, taken, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(sorted(taken)) or 'no keys'}."
    return f"{where}: {kind} has no {key!r}; {hint}"


def _taken_keys(kind: Any, scope: str | None) -> AbstractSet[str] | None:
    """The keys of a component's config; None if any will do, or nobody knows."""
    found = [accepted_parameters(built) for built in (_registered(kind, scope) if isinstance(kind, str) else [kind])]
    return None if not found or None in found else frozenset().union(*filter(None, found))


@cache
def _registered(kind: str, scope: str | None) -> list[Callable]:
    """What the registries have under a name."""
    if scope not in (None, "mmengine"):
        import_module(f"{scope}.registry")
    found = []
    for name in _REGISTRIES:
        root: Registry = getattr(roots, name)
        if scope is not None and root._search_child(scope) is None:
            continue  # mmengine would warn that there is no such registry
        with root.switch_scope_and_registry(scope) as registry:
            found.append(registry.get(kind))
    return [built for built in found if built is not None]


def accepted_parameters(kind: Callable) -> frozenset[str] | None:
    """Names of the arguments that a class, or function, can be called with.

    Args:
        kind: The class or function.

    Returns:
        The names, with those of base classes that ``**kwargs`` are handed on to; None if it takes any name.
    """
    if not isinstance(kind, type):
        names, is_open = _signature(kind)
        return None if is_open else frozenset(names)
    taken: set[str] = set()
    is_open = False
    for base in kind.__mro__:
        initializer = vars(base).get("__init__")
        if initializer is None:
            continue
        if base is object:
            break
        names, is_open = _signature(initializer)
        taken.update(names[1:])
        # mmengine's CheckpointHook keeps others for Runner.save_checkpoint, which takes none of them.
        if not is_open or base is CheckpointHook:
            return frozenset(taken)
        if not _hands_on(initializer):
            return None
    return None if is_open else frozenset(taken)


def _signature(function: Callable) -> tuple[list[str], bool]:
    """Names of the parameters, in order, and whether there are others (``**kwargs``)."""
    try:
        # A wrapper may rename arguments (mmcv's deprecated_api_warning): its own signature counts.
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):  # of C
        return [], True
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [parameter.name for parameter in parameters if parameter.kind in by_name]
    return names, any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


@cache
def _hands_on(initializer: Callable) -> bool:
    """Whether an ``__init__`` gives its ``**kwargs`` to the next class's as they are; it may ``get`` from them."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(initializer)))
    except (OSError, SyntaxError, TypeError):
        return False
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef) or function.args.kwarg is None:
        return False
    name = function.args.kwarg.arg
    own = initializer.__qualname__.split(".")[-2]
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and _is_super_init(node, own)]
    handed = [word for call in calls for word in call.keywords if word.arg is None and _is_name(word.value, name)]
    nodes = list(ast.walk(function))
    looked = sum(isinstance(n, ast.Attribute) and n.attr == "get" and _is_name(n.value, name) for n in nodes)
    return len(handed) > 0 and len(handed) + looked == sum(_is_name(node, name) for node in nodes)


def _is_super_init(call: ast.Call, own: str) -> bool:
    """``super().__init__(...)``, which the next class of the MRO answers; some name a later class to skip it."""
    target = call.func
    if not isinstance(target, ast.Attribute) or target.attr != "__init__" or not isinstance(target.value, ast.Call):
        return False
    maker = target.value
    return _is_name(maker.func, "super") and (not maker.args or _is_name(maker.args[0], own))


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
