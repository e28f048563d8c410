"""Convert a matplotlib figure to inline SVG: text stays text, and colours become CSS variables of the page.

Charts are drawn with placeholder colours, which are then replaced, so that one drawing serves light mode, dark
mode and paper. The only texts of an evaluation in a chart are site names, and patient names as titles of dots.
"""

from __future__ import annotations

import io
import math
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
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

WIDTH, HEIGHT = 440, 300
ZERO_STEP = 2.2  # 0 is drawn this factor below the smallest volume above 0
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
def chart_style() -> Iterator[None]:
    """Draw in the page's style, without warnings about missing glyphs: the browser supplies the font."""
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


def share_axis(axes: Any, label: str) -> None:
    """Set an axis to 0 to 1, whatever the data: a shorter scale exaggerates small differences."""
    axes.set(ylabel=label, ylim=(0, 1))
    axes.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))


def about_zero(values: Sequence[float]) -> str:
    """Return a sentence for the caption if 0 occurs."""
    return " A logarithmic scale has no 0; 0 is drawn at its lower end." if min(values) <= 0 else ""


def floored(values: Sequence[float], among: Sequence[float] = ()) -> list[float]:
    """Return values for a logarithmic axis, on which 0 is drawn at the lower end."""
    low = _round_range(among or values)[0]
    return [value if value > 0 else low / ZERO_STEP for value in values]


def log_axis(scale: Any, limit: Any, axis: Any, values: Sequence[float]) -> None:
    """Make an axis logarithmic between round numbers, with a place for 0 if it occurs."""
    low, high = _round_range(values)
    empty = any(value <= 0 for value in values)
    start = low / ZERO_STEP if empty else low
    scale("log")
    limit(start, high)
    powers = [step for step in _steps(low, high) if math.isclose(math.log10(step) % 1, 0, abs_tol=1e-9)]
    ticks = powers if len(powers) > 1 else _steps(low, high)
    axis.set_major_locator(FixedLocator([start, *ticks] if empty else ticks))
    axis.set_major_formatter(lambda value, _place: "0" if empty and value < low * 0.9 else f"{value:,.10g}")
    axis.set_minor_locator(NullLocator())


def _round_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the round numbers around all values that are above 0, apart from each other."""
    positive = [value for value in values if value > 0] or [1.0]
    steps = _steps(min(positive) / 10, max(positive) * 10)
    low = max(step for step in steps if step <= min(positive))
    high = min(step for step in steps if step >= max(positive) and step > low)
    return low, high


def _steps(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten from `low` to `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in (1, 2, 5)]
    return [step for step in steps if low * (1 - 1e-9) <= step <= high * (1 + 1e-9)]


def as_svg(figure: Figure, *, name: str, title: str, tips: dict[str, Sequence[str]] | None = None) -> str:
    """Return a figure as markup for a page.

    Args:
        figure: what was drawn.
        name: goes before each id: ids are unique in a page.
        title: the accessible name for screen readers.
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
    """Take out metadata, fonts, namespaces and unneeded digits."""
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
