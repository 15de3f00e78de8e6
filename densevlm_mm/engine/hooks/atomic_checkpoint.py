"""Checkpoints that are whole or absent, and of which one always loads."""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

import densevlm_mm.engine.atomic_backend  # noqa: F401  (registers it)
from densevlm_mm.engine.not_finite import NotFiniteError, buffers_not_finite, states_not_finite
from densevlm_mm.engine.optim_wrappers.accumulation import is_between_steps
from densevlm_mm.engine.resumable_checkpoints import checkpoint_folder, find_resumable
from densevlm_mm.engine.run_lock import lock_work_dir
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.engine.zero_adamw import gathered_state
from densevlm_mm.files import write_text
from densevlm_mm.registry import HOOKS
from densevlm_mm.shareable import shareable

_KEPT = "kept_checkpoints"


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """``CheckpointHook`` that cannot lose what it has saved.

    A checkpoint is written beside its place, flushed to the disk and renamed; then ``last_checkpoint`` is written the
    same way; then what ``max_keep_ckpts`` no longer keeps is deleted. (mmengine deletes first and writes in place. The
    price is room for one checkpoint more.) A state that is not finite is not saved. Only files that lie in the folder
    of the checkpoints and that this run has written are ever deleted, whatever path a checkpoint names as its best one.
    With another backend than the local disk it does as mmengine's.

    The arguments are those of ``CheckpointHook``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        elsewhere = kwargs.get("backend_args") or kwargs.get("file_client_args") or "://" in str(self.out_dir)
        self.is_atomic = not elsewhere
        if self.is_atomic:
            self.backend_args = dict(backend="atomic")
        self.save_error: Exception | None = None
        self._kept: list[str] = []
        self._saved_iter = 0
        self._is_due = False
        self._allowed: set[str] = set()

    def before_run(self, runner: Runner) -> None:
        """Find the checkpoint to go on from, where a run is to resume and none is named.

        Raises:
            ValueError: If there are checkpoints and none is whole.
        """
        super().before_run(runner)
        if self.is_atomic and runner._resume and runner._load_from is None:
            work_dir = Path(runner.work_dir)
            found, sentence = find_resumable(work_dir, checkpoint_folder(work_dir, self.out_dir), self.filename_tmpl)
            runner.logger.info(sentence)
            runner._load_from, runner._resume = (None, False) if found is None else (str(found), True)

    def before_train(self, runner: Runner) -> None:
        """Find out which checkpoints in the folder are this run's, namely when it was resumed from one of them."""
        if not self.is_atomic:
            super().before_train(runner)
            return
        if is_main_process():
            lock_work_dir(Path(runner.work_dir))
        steps = runner.message_hub.pop_info("keep_ckpt_ids") or []  # mmengine's own list, by which it would delete
        kept = runner.message_hub.pop_info(_KEPT) or [self.filename_tmpl.format(step) for step in steps]
        super().before_train(runner)
        self._allowed = buffers_not_finite(unwrap_model(runner.model))
        source = runner._load_from if runner._resume else None
        goes_on_here = source is not None and Path(source).resolve().parent == Path(self.out_dir).resolve()
        self._saved_iter = runner.iter if goes_on_here else 0
        self._kept = [name for name in kept if goes_on_here and self._is_checkpoint(name)]
        self._delete_outdated()
        self._best = {key: self._found_here(path) if goes_on_here else None for key, path in self._best.items()}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Save every ``interval`` iterations and at the end; if gradients are accumulated then, after their step."""
        if self.by_epoch:
            return
        self._is_due = self._is_due or self.every_n_train_iters(runner, self.interval, self.save_begin)
        is_last = self.save_last and self.is_last_train_iter(runner)
        if is_last or (self._is_due and is_between_steps(runner.optim_wrapper)):
            self._is_due = False
            runner.logger.info(f"Saving checkpoint at {runner.iter + 1} iterations")
            self._save_checkpoint(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a state that is not finite; take home directory and secrets out of the config's text.

        Raises:
            NotFiniteError: If it is not; names the first tensors.
        """
        names = states_not_finite(checkpoint, self._allowed)
        if names:
            raise NotFiniteError(
                f"iteration {checkpoint['meta']['iter']} is not saved: {len(names)} of its tensors are nan or infinite "
                f"({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}). {self._what_is_left()}"
            )
        for place in (checkpoint["meta"], checkpoint.get("message_hub", {}).get("runtime_info", {})):
            if isinstance(place.get("cfg"), str):
                place["cfg"] = shareable(place["cfg"])

    def save_place(self, runner: Runner) -> Path | None:
        """Save where the run is between two iterations, as the newest of the kept checkpoints.

        In the main process, or in all if an optimizer's state is divided among them.

        Returns:
            The checkpoint; ``None`` if there is nothing that is not saved already.

        Raises:
            OSError: If the disk does not take it.
            NotFiniteError: If the state is not finite.
        """
        if runner.iter == self._saved_iter:
            return None
        name = ("iter_{}.pth" if self.by_epoch else self.filename_tmpl).format(runner.iter)
        self._save(runner, name, dict(epoch=runner.epoch, iter=runner.iter))
        return self._path(name)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if self.is_atomic:
            self._save(runner, self.filename_tmpl.format(step), meta)
        else:
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save(self, runner: Runner, name: str, meta: dict) -> None:
        """Write a checkpoint, then ``last_checkpoint``, then delete what is kept no longer."""
        kept = [*(other for other in self._kept if other != name), name]
        # What is in the file: if the run is killed before it has deleted, it knows after a resume what to delete.
        runner.message_hub.update_info(_KEPT, kept)
        runner.message_hub.update_info("last_ckpt", str(self._path(name)))
        try:
            with gathered_state(runner.optim_wrapper) if self.save_optimizer else nullcontext():
                runner.save_checkpoint(
                    str(self.out_dir),
                    name,
                    save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler,
                    meta=meta,
                    by_epoch=self.by_epoch,
                    backend_args=self.backend_args,
                    **self.args,
                )
            self.last_ckpt = str(self._path(name))
            if is_main_process():
                write_text(Path(runner.work_dir) / "last_checkpoint", self.last_ckpt)
        except OSError as error:
            self.save_error = OSError(error.errno, f"{error.strerror} {self._what_is_left()}")
            raise self.save_error from error
        except NotFiniteError as error:
            self.save_error = error
            raise
        self._kept, self._saved_iter = kept, meta["iter"]
        self._delete_outdated()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save a new best checkpoint before the old one is deleted.

        Raises:
            KeyError: If ``save_best`` names no metric of the evaluation.
        """
        if not self.save_best or not self.is_atomic:
            super()._save_best_checkpoint(runner, metrics)
            return
        unknown = [key for key in self.key_indicators if key != "auto" and key not in metrics]
        if unknown:
            raise KeyError(f"save_best={unknown[0]!r} is none of the metrics: {', '.join(metrics)}.")
        before, self._best = self._best, dict.fromkeys(self._best)  # what mmengine does not know it cannot delete
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self._best = {key: path or before.get(key) for key, path in self._best.items()}
        for path in set(before.values()) - set(self._best.values()):
            if path and is_main_process():
                Path(path).unlink(missing_ok=True)

    @property
    def _best(self) -> dict[str, str | None]:
        """Path of the best checkpoint by metric; under '' where mmengine keeps a single one."""
        if not self.save_best:
            return {}
        return {"": self.best_ckpt_path} if len(self.key_indicators) == 1 else dict(self.best_ckpt_path_dict)

    @_best.setter
    def _best(self, paths: dict[str, str | None]) -> None:
        if not self.save_best:
            return
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths[""]
        else:
            self.best_ckpt_path_dict = paths

    def _path(self, name: str) -> Path:
        return Path(self.out_dir) / name

    def _is_checkpoint(self, name: str) -> bool:
        """Whether a name that a checkpoint brought is that of a checkpoint in the folder, and no other file's."""
        templates = (self.filename_tmpl, "iter_{}.pth")
        if not isinstance(name, str):
            return False
        known = any(re.fullmatch(re.escape(t).replace(r"\{\}", r"\d+"), name) for t in templates)
        return known and self._path(name).is_file()

    def _found_here(self, best: str | None) -> str | None:
        """The best checkpoint in this folder, whatever the folder was called when its path was stored."""
        path = self._path(Path(str(best or "")).name)
        return str(path) if path.name.startswith("best_") and path.is_file() else None

    def _delete_outdated(self) -> None:
        if self.max_keep_ckpts > 0:
            outdated, self._kept = self._kept[: -self.max_keep_ckpts], self._kept[-self.max_keep_ckpts :]
            for name in outdated if is_main_process() else ():
                self._path(name).unlink(missing_ok=True)

    def _what_is_left(self) -> str:
        left = self._kept[-1] if self._kept else None
        return (
            f"The newest checkpoint is {self._path(left)}; --resume goes on there."
            if left
            else "None was saved before."
        )
