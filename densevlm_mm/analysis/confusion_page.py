"""A confusion matrix to point at: one HTML file that needs no network."""

from html import escape
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from densevlm_mm.analysis.confusion_matrix import row_shares
from densevlm_mm.analysis.style import MATRIX
from densevlm_mm.files import write_text
from densevlm_mm.visualization.fonts import label_texts
from densevlm_mm.vocabulary import Vocabulary

_HOVER = "annotated <b>%{y}</b><br>predicted <b>%{x}</b><br>%{z:.1f} %, %{customdata} regions<extra></extra>"


def can_write_pages() -> bool:
    """Whether the optional package plotly is installed."""
    return find_spec("plotly") is not None


def write_confusion_page(counts: np.ndarray, vocabulary: Vocabulary, path: str | Path, title: str = "") -> None:
    """Write row-normalised confusions, things before stuff; a cell under the pointer says its classes and numbers.

    Args:
        counts: (K, K + 1), see :func:`~densevlm_mm.analysis.confusion_matrix.confusion_counts`.
        vocabulary: The K classes, with thing flags.
        path: ``.html`` to write; with plotly's script in it, of about 5 MB.
        title: Heading.

    Raises:
        ImportError: If plotly is not installed.
    """
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise ImportError("an interactive confusion matrix needs the package plotly: pip install plotly") from error
    order = np.argsort(~vocabulary.thing_mask, kind="stable")
    shares = row_shares(counts)[np.ix_(order, order)]
    texts = [escape(text) for text in label_texts(vocabulary.classes)]
    names = [texts[label] for label in order]
    heat = graph_objects.Heatmap(
        z=np.where(np.nan_to_num(shares) > 0, shares.round(2), np.nan),  # white: not one region
        x=names,
        y=names,
        customdata=counts[:, :-1][np.ix_(order, order)],
        colorscale=MATRIX.removesuffix("_r"),
        reversescale=MATRIX.endswith("_r"),
        zmin=0,
        zmax=100,
        colorbar=dict(title="% of the annotated<br>class's regions"),
        hovertemplate=_HOVER,
        hoverongaps=False,
    )
    figure = graph_objects.Figure(heat)
    axis = dict(type="category", dtick=1, showgrid=False, constrain="domain")
    figure.update_xaxes(**axis, title="predicted class", tickangle=-90, side="top")
    figure.update_yaxes(**axis, title="annotated class", autorange="reversed", scaleanchor="x")
    border = vocabulary.num_things - 0.5
    if 0 < vocabulary.num_things < len(vocabulary):
        figure.add_hline(border, line_width=1)
        figure.add_vline(border, line_width=1)
    side = max(900, 9 * len(vocabulary) + 250)
    figure.update_layout(
        title=escape(title), width=side, height=side, font=dict(size=11), plot_bgcolor="white", margin=dict(t=220)
    )
    if len(vocabulary) > 40:
        figure.update_layout(xaxis_tickfont_size=7, yaxis_tickfont_size=7)
    write_text(path, figure.to_html(include_plotlyjs=True, config=dict(scrollZoom=True, displaylogo=False)))
