"""The world and the CLIPs that demo and report start from, and their small size for --quick."""

STUDENT_ASSET, TEACHER_ASSET = (
    f"densevlm_mm/tiny_scenes/assets/tiny_scenes_{who}.safetensors" for who in ("student", "teacher")
)
# The small world of --quick, and options that make a training on it take four steps.
QUICK_WORLD = ("--num-train", "240", "--num-val", "12")
QUICK_STEPS = 4
QUICK_OPTIONS = (
    f"train_dataloader.dataset.dataset.indices={8 * QUICK_STEPS}",
    "train_dataloader.batch_size=8",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "val_dataloader.num_workers=0",
    "param_scheduler.0.end=2",
)
