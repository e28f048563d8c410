import copy
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gliomaseg.errors import MissingExtraError, OutputExistsError
from gliomaseg.report import html
from gliomaseg.report.html import write_report

HOSTILE = "<script>alert(1)</script>\"'&$x^{$"
VOID = {"meta", "link", "br", "img", "wbr"}


class Page(HTMLParser):
    """A page taken apart: its elements, text, table of patients, and whether its tags close in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table" or (tag == "tr" and self.rows):
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data

    def patients(self) -> list[list[str]]:
        """Return the cells of the last table's rows, without its heading."""
        body = self.source.partition("data-sortable")[2].count("<tr")
        return [[cell.strip() for cell in row] for row in self.rows[-(body - 1) :]] if body > 1 else []

    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):
    return Page(write_report(folder, tmp_path_factory.mktemp("page") / "report.html"))


@pytest.fixture
def report(write_metrics, tmp_path):
    """Return `report(tree)`: the page of an evaluation of its own."""
    return lambda tree: Page(write_report(write_metrics(tree), tmp_path / "out.html", overwrite=True))


def test_the_headline_is_the_mean_with_its_interval_and_number(page, evaluation):
    entry = evaluation["summary"]["dice_volume"]
    low, high = entry["ci95"]
    assert f"{entry['mean']:.3f}mean Dice of the whole stack" in page.text
    assert "dice_volume, mean over 86 of 88 patients." in page.words()
    assert f"The 95 % confidence interval of the mean is {low:.3f} to {high:.3f}." in page.words()
    assert "Research software, not a medical device." in page.text


def test_every_patient_is_a_row(page, evaluation):
    names = [row[0].partition("failed")[0] for row in page.patients()]
    assert sorted(names) == sorted(row["patient"] for row in evaluation["patients"])


def test_a_failed_patient_is_a_row_with_its_reason_and_is_counted(page):
    first = page.patients()[0]
    assert first[0].endswith("failed: TCGA_DU_6010_19700412_7.tif: is not a readable TIFF")
    assert set(first[3:]) == {"\u2013"}
    assert "1 of 88 patients failed" in page.text


def test_a_sequence_or_model_that_was_not_used_is_in_the_row_and_at_the_top(report, evaluation):
    note = "glioma-t1-flair was left out: no T1 was given"
    evaluation["patients"][0]["notes"] = [note]
    page = report(evaluation)
    assert sum(note in " ".join(row) for row in page.patients()) == 1
    assert "Notes. 1 patient: glioma-t1-flair was left out: no T1 was given." in page.words()


def test_rows_come_from_the_lowest_dice_up(page):
    heads = page.source.partition("data-sortable")[2].partition("</thead>")[0]
    at = re.findall(r"<th.*?>(.*?)</th>", heads).index("Dice, stack")
    scores = [float(row[at]) for row in page.patients() if row[at] != "\u2013"]
    assert scores == sorted(scores)
    assert len(scores) == 86


def test_subgroups_have_their_patients_mean_and_interval_or_a_dash(page, evaluation):
    section = page.source.partition('id="subgroups"')[2].partition("</section>")[0]
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in page.rows if len(row) == 5}
    values = [row["dice_volume"] for row in evaluation["patients"] if row["site"] == "FG"]
    assert rows["FG"][:2] == ["8", f"{sum(values) / 8:.3f}"]
    assert re.fullmatch(r"0\.\d{3} to 0\.\d{3}", rows["FG"][2])
    assert rows["EZ"][2] == "\u2013"  # one patient
    assert "no tumour" in rows
    assert "no interval: fewer than 5 patients with a Dice" in section


def test_several_examinations_of_a_patient_are_cases(report):
    rows = [{"patient": "P1", "case": f"P1_{k}", "dice_volume": 0.5} for k in range(2)]
    page = report({"patients": rows})
    assert "Every case" in page.text
    assert sorted(row[:2] for row in page.patients()) == [["P1_0", "P1"], ["P1_1", "P1"]]


def test_what_does_not_exist_is_a_dash_with_a_reason_and_is_counted(page, evaluation):
    table = page.source.partition("data-sortable")[2]
    missing = sum(
        v is None for row in evaluation["patients"] if row["error"] is None for k, v in row.items() if k != "error"
    )
    assert f"{missing} values are undefined" in page.words()
    assert table.count('<span class="none" title="undefined for this patient">\u2013</span>') == missing
    assert "nan" not in page.words().split()
    assert "None" not in page.words()


def test_each_measure_has_its_definition(page, evaluation):
    for text in evaluation["definitions"].values():
        assert " ".join(text.replace("`", "").split()) in page.words()


def test_the_setting_is_said(page, evaluation):
    for key in ("model", "model_digest", "splits_digest", "data"):
        assert evaluation["setting"][key] in page.text
    assert "Split by patient, validation side, fold 0 to 4, seed 0" in page.text
    assert "orientation unknown" in page.text
    assert evaluation["command"] in page.text


def test_each_chart_has_a_title_and_a_caption_and_text_that_is_text(page):
    charts = [attributes for tag, attributes in page.elements if tag == "svg" and attributes.get("class") == "chart"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(charts) == 9
    assert {chart["role"] for chart in charts} == {"img"}
    assert {chart["aria-labelledby"] for chart in charts} <= set(ids)
    assert len(set(ids)) == len(ids), "an id stands twice"
    assert page.source.count("<figcaption>") == len(charts) + 3
    assert "predicted probability" in page.text
    wanted = set(re.findall(r'(?:href="|url\()#([\w.-]+)', page.source))
    assert wanted <= set(ids)


def test_the_colours_of_charts_are_the_pages(page):
    svg = "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {
        "none", "var(--ink)", "var(--quiet)", "var(--rule)", "var(--blue)", "var(--orange)", "var(--band)",
    }  # fmt: skip
    assert "#010a" not in svg
    assert "font-family: '" not in svg


def test_each_dot_bears_the_name_of_its_patient(page, evaluation):
    row = evaluation["patients"][0]
    assert page.source.count(f"<title>{row['patient']}: Dice {row['dice_volume']:.3f}</title>") == 6


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.elements:
        assert "srcset" not in attributes
        for key in ("src", "href", "action", "data", "poster"):
            place = attributes.get(key, "")
            citation = tag == "a" and key == "href" and place.startswith("https://doi.org/")
            assert citation or place.startswith(("#", "data:")) or not place, (tag, place)
    style = page.source.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|http", style)
    assert "default-src 'none'" in page.source


def test_the_pictures_are_in_the_page(page):
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)
    assert page.text.index("Best") < page.text.index("Worst")


def test_the_same_evaluation_gives_the_same_bytes(folder, page, tmp_path):
    assert write_report(folder, tmp_path / "again.html").read_text("utf-8") == page.source


def test_names_are_escaped_wherever_they_stand(report, evaluation):
    tree = copy.deepcopy(evaluation)
    for number, row in enumerate(tree["patients"]):
        row.update(patient=f"{HOSTILE} {number}", site=HOSTILE)
    tree["patients"][0].update(error=HOSTILE)
    tree["setting"] |= dict.fromkeys(
        ("data", "split", "subset", "warning", "model", "model_digest", "orientation"), HOSTILE
    )
    tree |= {"definitions": {"dice_volume": f"`{HOSTILE}`"}, "interval": HOSTILE, "command": HOSTILE}
    tree |= {"versions": {HOSTILE: HOSTILE}, "summary": tree["summary"] | {HOSTILE: {"mean": 1}}}
    tree["examples"] = [{"kind": "best", "patient": HOSTILE, "file": HOSTILE, "orientation": HOSTILE}]
    page = report(tree)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert page.source.count("<script>") == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count(HOSTILE) > 88


def test_a_picture_that_is_not_there_is_a_sentence(report):
    page = report({"patients": [], "examples": [{"kind": "worst", "file": "no.png"}]})
    assert "The image is no longer in the evaluation." in page.text
    assert "img" not in [tag for tag, _ in page.elements]


def test_nobody_gives_a_page_that_says_so(report):
    page = report({"patients": []})
    assert "No patient has a Dice, so the model has no score." in page.words()
    assert "The evaluation has no patient." in page.text
    assert "chart" not in [attributes.get("class") for _, attributes in page.elements]


def test_one_patient_gives_a_warning_and_no_interval(report):
    row = {"patient": "A", "site": "X", "dice_volume": 0.7, "reference_voxels": 12, "predicted_voxels": 9}
    page = report(
        {"patients": [row], "summary": {"dice_volume": {"mean": 0.7, "median": 0.7, "ci95": [None, None], "n": 1}}}
    )
    assert "A single patient has a Dice." in page.text
    assert "The mean has no confidence interval." in page.words()


def test_if_all_fail_the_page_says_so_first(report):
    rows = [{"patient": name, "error": "is not a readable TIFF"} for name in "AB"]
    page = report({"patients": rows, "summary": {"dice_volume": {"mean": None, "n": 0}, "failed": 2}})
    assert "All 2 patients failed." in page.text
    assert [row[0] for row in page.patients()] == [f"{name}failed: is not a readable TIFF" for name in "AB"]


def test_a_split_by_slice_is_called_a_leak(report):
    assert "The split leaks. Slices of one patient" in report({"patients": [], "setting": {"split": "slice"}}).text


def test_the_training_side_is_called_by_its_name(report):
    page = report({"patients": [], "setting": {"split": "patient", "subset": "train"}})
    assert "The model was trained on these patients." in page.text


def test_patients_that_the_model_was_trained_on_are_told(report):
    page = report({"patients": [], "setting": {"patients_seen": 3}})
    assert "Seen in training. The model was trained on 3 of these patients." in page.text
    assert "If any of these patients" not in page.text
    assert "By their identifiers, none" in report({"patients": [], "setting": {"patients_seen": 0}}).text


def test_volumes_of_nothing_stand_at_zero(report):
    rows = [
        {"patient": f"{n} {p}", "reference_voxels": n, "predicted_voxels": p}
        for n, p in ((0, 0), (0, 5), (9, 0), (7, 7))
    ]
    assert "Predicted and reference volume" in report({"patients": rows}).text


def test_volumes_are_in_millilitres_where_the_spacing_is_known(report, evaluation):
    tree = evaluation | {"setting": {"spacing_mm": [5.5, 0.9, 0.9]}}
    page = report(tree)
    assert "tumour in the reference, ml" in page.text
    assert "5.5 \u00d7 0.9 \u00d7 0.9 mm" in page.text


def test_a_file_that_exists_is_kept_without_overwrite(folder, tmp_path):
    out = tmp_path / "report.html"
    write_report(folder, out)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_report(folder, out)
    write_report(folder, out, overwrite=True)
    assert out.read_text("utf-8").startswith("<!doctype html>")


def test_a_page_that_is_not_a_report_is_kept(folder, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="not ours: report did not write it; move it, or pass another"):
            write_report(folder, out, overwrite=overwrite)
    assert out.read_text() == "precious"


def test_without_the_extra_the_fault_names_it(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "gliomaseg\[report\]"'):
        write_report(folder, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_module_loads_nothing_heavy():
    code = f"import sys, {html.__name__}; print({{'jinja2', 'matplotlib', 'PIL.PngImagePlugin'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("arguments", "code"), [(["nowhere", "--out", "r.html"], 3), (["nowhere"], 2)])
def test_the_command_ends_with_a_line_and_a_code(tmp_path, arguments, code):
    command = [sys.executable, "-m", "gliomaseg", "report", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_the_command_prints_where_the_report_is(folder, tmp_path):
    command = [sys.executable, "-m", "gliomaseg", "report", str(folder), "--out", "report.html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("report.html\n", "")
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("name", ["metrics.json", "pictures/report.html"])
def test_a_report_never_replaces_what_it_reports(name, write_metrics):
    evaluation = write_metrics({"patients": []})
    before = (evaluation / "metrics.json").read_bytes()
    with pytest.raises(OutputExistsError, match="part of the evaluation"):
        write_report(evaluation, evaluation / name, overwrite=True)
    assert (evaluation / "metrics.json").read_bytes() == before
