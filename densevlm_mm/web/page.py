"""How the page looks: `build_page`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from densevlm_mm.compat.gradio_interfaces import write_no_interfaces
from densevlm_mm.web import texts
from densevlm_mm.web.answers import BOX, POINT, Answers
from densevlm_mm.web.comparison import EncoderComparison
from densevlm_mm.web.photos import PhotoReader

T = TypeVar("T")

THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
# gradio shows an image at most as large as it is; and on phones, two of four tabs, and maps of 90 pixels.
CSS = """
#photo img { object-fit: contain; width: 100%; height: 100% }
.caption-label { max-width: 100% !important; padding: 2px 6px !important }
@media (max-width: 480px) {
  .tab-container button { padding: 0 8px !important }
  .grid-container { grid-template-columns: repeat(2, 1fr) !important }
}
"""


write_no_interfaces()


class UploadedImage(gr.Image):
    """An image whose file is passed on as it was uploaded.

    gradio would open it first; its errors name temporary files and no remedy.
    """

    is_template = True  # looks like its base class

    def preprocess(self, payload: Any) -> str | None:
        """The path of the file, which gradio has checked to be an upload."""
        return None if payload is None else payload.path


def build_page(comparison: EncoderComparison, reader: PhotoReader, folder: str | Path) -> gr.Blocks:
    """Lay the page out.

    Args:
        comparison: The encoders.
        reader: Reads photographs.
        folder: Where results are written, inside of gradio's own.
    """
    answers = Answers(comparison, reader, folder)
    words = reader.example_words
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(600, 86400)) as blocks:
        gr.Markdown(f"# {texts.TITLE}\n{texts.INTRODUCTION}\n\n{texts.heading(comparison.names)}")
        with gr.Row():
            with gr.Column(min_width=300):
                photo = UploadedImage(
                    str(reader.examples[0]),
                    label="Photograph",
                    sources=["upload", "clipboard"],
                    height=300,
                    buttons=[],
                    elem_id="photo",
                )
                gr.Examples([[str(path)] for path in reader.examples], photo, label="Synthetic examples (TinyScenes)")
            with gr.Column(min_width=300):
                things = gr.Textbox(", ".join(words.things), label="Things", info=texts.THINGS_HELP, lines=2)
                stuff = gr.Textbox(", ".join(words.stuff), label="Stuff", info=texts.STUFF_HELP, lines=2)
                look = gr.Button("Look", variant="primary")
                collect = gr.Button("Collect all results in a ZIP file")
                download = gr.DownloadButton(visible=False)
        asked = [photo, things, stuff]
        names = comparison.names
        with gr.Tabs():
            with gr.Tab("Similarity"):
                gr.Markdown(texts.SIMILARITY)
                maps = _beside(names, _gallery)
            with gr.Tab("Segments"):
                gr.Markdown(texts.SEGMENTS)
                segments = _beside(names, lambda name: gr.AnnotatedImage(label=name, height=380))
            with gr.Tab("Region"):
                region = _region(answers, asked)
            with gr.Tab("Bias"):
                gr.Markdown(texts.CELLS)
                cells = gr.Slider(2, 8, 6, step=1, label="Rows and columns")
                grids = _beside(names, lambda name: (_picture(name), gr.Markdown()))
        views = [part for each in zip(maps, segments, grids, strict=True) for part in (*each[:2], *each[2])]
        gr.on(
            [blocks.load, photo.change, look.click, things.submit, stuff.submit, cells.release],
            answers.look,
            [*asked, cells],
            [*views, *region, download],
            trigger_mode="always_last",
            api_name="look",
        )
        collect.click(answers.collect, [*asked, cells], download, api_name="collect")
    return blocks


def _beside(names: Sequence[str], build: Callable[[str], T]) -> list[T]:
    """Build something for each encoder, side by side where there is room."""
    built = []
    with gr.Row():
        for name in names:
            with gr.Column(min_width=300):
                built.append(build(name))
    return built


def _gallery(name: str) -> gr.Gallery:
    return gr.Gallery(label=name, columns=3, height=480, object_fit="contain", buttons=["download", "fullscreen"])


def _picture(name: str) -> gr.Image:
    return gr.Image(label=name, show_label=False, buttons=["download", "fullscreen"])  # the picture has its title


def _region(answers: Answers, asked: list[Any]) -> list[Any]:
    """Fields of the region, in the order of :meth:`Answers.name_region`, and what they do."""
    gr.Markdown(texts.REGION)
    with gr.Row():
        with gr.Column(min_width=300):
            kind = gr.Radio([POINT, BOX], value=POINT, label="A click marks")
            numbers = gr.Textbox(label="x, y or x1, y1, x2, y2 in pixels", placeholder="120, 80", submit_btn="Name it")
            photo = gr.Image(label="Click here", interactive=False, buttons=[], height=480, elem_id="region")
        with gr.Column(min_width=300):
            sentence = gr.Markdown()
            probabilities = _beside(
                answers.comparison.names, lambda name: gr.Label(label=name, num_top_classes=8, show_heading=False)
            )
    corner = gr.State()
    fields = [photo, numbers, corner, sentence, *probabilities]
    numbers.submit(answers.name_region, [*asked, numbers], fields, api_name="name_region")
    photo.select(answers.click, [*asked, kind, corner], fields, api_visibility="private", show_progress="minimal")
    kind.change(lambda: None, None, corner, api_visibility="private")
    return fields
