"""From a matplotlib figure to SVG that lives in the page: its text is text, its colours are the page's.

Colours are drawn as stand-ins that nobody would choose and become CSS variables, so that one drawing serves
light, dark and paper. Nothing from the evaluation is drawn but the names of sites; names of patients become
titles of their dots.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

WIDTH, HEIGHT = 440, 300
INK, QUIET, RULE, BLUE, ORANGE, BAND = "#010a01", "#010a02", "#010a03", "#010a04", "#010a05", "#010a06"
_VARIABLES = {INK: "ink", QUIET: "quiet", RULE: "rule", BLUE: "blue", ORANGE: "orange", BAND: "band"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gliomaseg",
    "text.parse_math": False,
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.minor.visible": False,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.linewidth": 1.8,
}
_NUMBER = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"#([\w.-]+)")
THOUSANDS = FuncFormatter(lambda value, _place: f"{value:,.0f}".replace("-", "\u2212"))


@dataclass(frozen=True)
class Chart:
    """A drawing with its words.

    name: unique in the page; title: over it; caption: how to read it; svg: markup, safe to insert.
    """

    name: str
    title: str
    caption: str
    svg: str


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the page's style, and without a word about letters that a font lacks: the browser has its own."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def new_figure(height: int = HEIGHT, **kind: Any) -> tuple[Figure, Any]:
    """Return a figure of the page's width and its axes."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(**kind)


def dots(axes: Any, x: Sequence[float], y: Sequence[float], **kind: Any) -> None:
    """Draw patients as dots that let what lies below shine through."""
    look = {"marker": "o", "linestyle": "none", "markersize": 5.5, "color": BLUE, "alpha": 0.72, "markeredgewidth": 0}
    axes.plot(x, y, clip_on=False, zorder=3, **(look | kind))


def as_svg(figure: Figure, *, name: str, title: str, tips: dict[str, Sequence[str]] | None = None) -> str:
    """Return a figure as markup for a page.

    Args:
        figure: what was drawn.
        name: goes before each id: ids are unique in a page.
        title: what a screen reader says of it.
        tips: for the dots drawn under a gid, the title of each.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    root = ET.fromstring(file.getvalue())  # noqa: S314 - it was written a line above
    _strip(root)
    for gid, titles in (tips or {}).items():
        _name_dots(root, gid, titles)
    _rename(root, name)
    label = ET.Element("title", id=f"{name}-title")
    label.text = title
    root.insert(0, label)
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "class": "chart", "role": "img", "aria-labelledby": f"{name}-title"})
    return ET.tostring(root, encoding="unicode")


def _strip(root: ET.Element) -> None:
    """Take out metadata, fonts, namespaces and digits that nobody sees."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("metadata", "}style")):
                parent.remove(child)
        parent.tag = parent.tag.rpartition("}")[2]
        parent.tail = None
        if parent.tag != "text":
            parent.text = None
        parent.attrib.update({key.rpartition("}")[2]: parent.attrib.pop(key) for key in list(parent.attrib)})
        _tidy(parent)


def _tidy(element: ET.Element) -> None:
    for key in {"d", "x", "y", "transform", "width", "height"} & element.attrib.keys():
        value = _NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), element.attrib[key])
        element.attrib[key] = " ".join(value.split())
    if re.match(r"rotate\(-?0 [^)]*\)$", element.attrib.get("transform", "")):
        del element.attrib["transform"]
    if style := element.attrib.get("style"):
        style = re.sub(r"font(-family)?: [^;]*;? ?", "", re.sub(r"font-family: [^;]*;? ?", "", style))
        for colour, variable in _VARIABLES.items():
            style = style.replace(colour, f"var(--{variable})")
        element.attrib["style"] = style.strip()


def _name_dots(root: ET.Element, gid: str, titles: Sequence[str]) -> None:
    """Give each dot its title; where a dot is missing none gets one, rather than another's."""
    marks = [use for group in root.iter("g") if group.get("id") == gid for use in group.iter("use")]
    if len(marks) == len(titles):
        for mark, title in zip(marks, titles, strict=True):
            ET.SubElement(mark, "title").text = title


def _rename(root: ET.Element, name: str) -> None:
    """Keep the ids that something points to, under a name of their own."""
    values = [v for e in root.iter() for k, v in e.attrib.items() if k in ("href", "clip-path", "style")]
    wanted = {target for value in values for target in _REFERENCE.findall(value)}
    for element in root.iter():
        if element.get("id") in wanted:
            element.attrib["id"] = f"{name}-{element.attrib['id']}"
        else:
            element.attrib.pop("id", None)
        for key in ("href", "clip-path"):
            if key in element.attrib:
                element.attrib[key] = element.attrib[key].replace("#", f"#{name}-")
