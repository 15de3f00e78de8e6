"""What the site has beyond docs/*.md: pages from elsewhere in the repository, pages made of its files, and all links.

A hook of MkDocs. Every page keeps the links that it has in the repository: one to another page leads to that page, one
to a file of no page (a config, a folder) becomes plain text, anything else is a warning, which the build takes for an
error.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[2]
# A file of the repository, and its page.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "tools/analysis_tools/README.md": "analysis_tools.md",
    "densevlm_mm/tiny_scenes/assets/README.md": "tiny_scenes.md",
    **{
        f"configs/{path.parent.name}/README.md": f"configs/{path.parent.name}.md"
        for path in ROOT.glob("configs/*/README.md")
    },
    **{f"docs/notebooks/{path.name}": f"notebooks/{path.stem}.md" for path in ROOT.glob("docs/notebooks/*.ipynb")},
}
PAPER_MAP = "## Where is what of the paper\n"
LINK = re.compile(r"(?P<image>!?)\[(?P<label>[^\]\n]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    for source, uri in ELSEWHERE.items():
        files.append(File.generated(config, uri, content=page_text(ROOT / source)))
    files.append(File.generated(config, "zoo.md", content=model_zoo()))
    files.append(File.generated(config, "paper_map.md", content=paper_map()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into those of the site."""
    uri = page.file.src_uri
    sources = {there: source for source, there in ELSEWHERE.items()}
    made = uri in ("paper_map.md", "zoo.md")  # of files at the top
    return with_links(markdown, "README.md" if made else sources.get(uri, f"docs/{uri}"), uri)


def with_links(markdown: str, source: str, uri: str) -> str:
    """Rewrite links.

    Args:
        markdown: The text.
        source: Path in the repository that its links start from.
        uri: Path of its page below docs/.
    """

    def link(match: re.Match) -> str:
        target, anchor = match["target"], match["anchor"] or ""
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = os.path.normpath(os.path.join(os.path.dirname(source), target))
        there = ELSEWHERE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if there is None and (ROOT / path).exists():
            return match["label"]
        relative = os.path.relpath(there, os.path.dirname(uri) or ".") if there else target
        return f"{match['image']}[{match['label']}]({relative}{anchor})"

    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(link, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(link, markdown[end:])])


def page_text(path: Path) -> str:
    """The Markdown of a file; of a notebook, its cells."""
    if path.suffix == ".ipynb":
        text, _ = MarkdownExporter().from_filename(str(path))
        return f"{text}\n\n*This is `{path.relative_to(ROOT)}`; run it to see its pictures.*\n"
    return path.read_text(encoding="utf-8")


def paper_map() -> str:
    """The README's section on the paper as a page."""
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(PAPER_MAP)
    if not rest:
        raise ValueError(f"README.md has no section {PAPER_MAP.strip()!r}, which docs/site/pages.py makes a page of")
    return "# " + PAPER_MAP.removeprefix("## ") + rest.partition("\n## ")[0] + "\n"


def model_zoo() -> str:
    """The index of models, model-index.yml and the metafiles that it imports, as tables."""
    lines = [
        "# Model zoo",
        "",
        "Every experiment of `model-index.yml`, which `mim search densevlm_mm` reads too. Where weights are:",
        "[docs/weights.md](docs/weights.md). Figures are those of the papers that are named, **not measured by this",
        "project**.",
        "",
    ]
    for path in yaml.safe_load((ROOT / "model-index.yml").read_text(encoding="utf-8"))["Import"]:
        metafile = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        lines += ["", f"## {os.path.basename(os.path.dirname(path))}", ""]
        readmes = {collection["README"] for collection in metafile.get("Collections", ())}
        lines += [f"More in [{readme}]({readme}).\n" for readme in sorted(readmes)]
        lines += ["| model | config | figures | of |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for model in metafile["Models"] for row in rows(model)]
    return "\n".join(lines) + "\n"


def rows(model: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Write a model as rows of a table, one a result."""
    first = (model["Name"], f"`{model['Config']}`")
    for result in model.get("Results", ({},)):
        figures = ", ".join(f"{name} {value}" for name, value in result.get("Metrics", {}).items())
        of = ", ".join(str(result[key]) for key in ("Dataset", "Source") if key in result)
        yield (*first, figures, of)
        first = ("", "")
