"""Splits: no patient is in both training and validation, except if the split is by slice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomaseg.config import Split
from gliomaseg.data.case import Case, Slice
from gliomaseg.data.case_list import CaseList
from gliomaseg.data.layouts.kaggle import identify
from gliomaseg.data.split import LEAK, Fold, Splits, choose_fold, read_splits, select, write_splits
from gliomaseg.data.split import draw_splits as draw_splits_with_features
from gliomaseg.data.split_features import SplitFeatures
from gliomaseg.errors import ConfigError, DataError

FEWER_EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SITES = ("CS", "DU", "HT")
# For each patient, the number of slices of each examination.
COHORTS = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=2, max_size=30)


def make_index(examinations: list[list[int]]) -> CaseList:
    """Return an index with one patient for each list; its numbers are the slices of the examinations."""
    cases = []
    for k, slices in enumerate(examinations):
        for year, count in enumerate(slices):
            name = f"TCGA_{SITES[k % 3]}_{k:04}_{2000 + year}0101"
            entries = (Slice(n, Path(f"{name}_{n}.tif"), Path(f"{name}_{n}_mask.tif")) for n in range(1, count + 1))
            cases.append(Case(name, *identify(name), tuple(entries)))
    return CaseList(Path("data"), tuple(sorted(cases, key=lambda case: case.name)))


def draw_splits(index: CaseList, split: Split, features: dict[str, SplitFeatures] | None = None) -> Splits:
    return draw_splits_with_features(index, split, features or {})


def patients_of(index: CaseList, names: tuple[str, ...]) -> set[str]:
    return {case.patient for case in select(index, names)}


TEN = make_index([[2]] * 10)


# --- by patient


@FEWER_EXAMPLES
@given(COHORTS, st.integers(0, 5), st.floats(0.01, 0.99))
def test_no_patient_is_in_both_training_and_validation(
    examinations: list[list[int]], seed: int, holdout: float
) -> None:
    index = make_index(examinations)
    fold = draw_splits(index, Split(seed=seed, holdout=holdout)).folds[0]
    train, validation = patients_of(index, fold.train), patients_of(index, fold.validation)
    assert train
    assert validation
    assert not train & validation
    assert len(train | validation) == len(examinations)


@FEWER_EXAMPLES
@given(COHORTS, st.data())
def test_every_patient_is_in_one_validation_set(examinations: list[list[int]], data: st.DataObject) -> None:
    index = make_index(examinations)
    folds = data.draw(st.integers(2, len(examinations)))
    splits = draw_splits(index, Split(folds=folds))
    validated = [patient for fold in splits.folds for patient in patients_of(index, fold.validation)]
    assert sorted(validated) == sorted({case.patient for case in index.cases})
    assert len(splits.folds) == folds
    for fold in splits.folds:
        assert sorted(fold.train + fold.validation) == [case.name for case in index.cases]
        assert not patients_of(index, fold.train) & patients_of(index, fold.validation)


@FEWER_EXAMPLES
@given(COHORTS)
def test_fold_sizes_differ_by_at_most_one_patient(examinations: list[list[int]]) -> None:
    index = make_index(examinations)
    sizes = [len(patients_of(index, fold.validation)) for fold in draw_splits(index, Split(folds=2)).folds]
    assert max(sizes) - min(sizes) <= 1


def test_all_examinations_of_a_patient_are_on_one_side() -> None:
    index = make_index([[2, 2]] * 4)
    fold = draw_splits(index, Split(holdout=0.25)).folds[0]
    assert len(fold.validation) == 2
    assert len(patients_of(index, fold.validation)) == 1


@pytest.mark.parametrize(("count", "train"), [(2, 1), (5, 4), (10, 8), (11, 8), (88, 70), (110, 88)])
def test_training_share_is_four_fifths_rounded_down(count: int, train: int) -> None:
    fold = draw_splits(make_index([[1]] * count), Split(holdout=0.2)).folds[0]
    assert (len(fold.train), len(fold.validation)) == (train, count - train)


def test_names_of_each_side_are_sorted() -> None:
    for fold in draw_splits(TEN, Split(folds=3)).folds:
        assert list(fold.train) == sorted(fold.train)
        assert list(fold.validation) == sorted(fold.validation)


def test_same_seed_gives_the_same_split() -> None:
    assert draw_splits(TEN, Split(seed=5)) == draw_splits(TEN, Split(seed=5))


def test_another_seed_gives_another_split() -> None:
    drawn = {draw_splits(TEN, Split(seed=seed)).folds[0].validation for seed in range(10)}
    assert len(drawn) > 5


def test_split_does_not_depend_on_the_order_of_the_index() -> None:
    turned = CaseList(TEN.root, TEN.cases[::-1])
    assert draw_splits(turned, Split()).folds == draw_splits(TEN, Split()).folds


def test_splits_record_unit_seed_and_holdout() -> None:
    splits = draw_splits(TEN, Split(seed=5, holdout=0.3))
    assert (splits.by, splits.seed, splits.holdout, splits.warning) == ("patient", 5, 0.3, None)
    assert draw_splits(TEN, Split(folds=5)).holdout is None


# --- shared slices and stratification

SHARED = SplitFeatures(slice_digests=frozenset({b"same"}))
CASES_AND_SHARED_SLICES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), min_size=4, max_size=40)


def make_index_with_shared_slices(drawn: list[tuple[int, int]]) -> tuple[CaseList, dict[str, SplitFeatures]]:
    """Return an index and split features: patients_of with the same drawn number share a slice if it is below 6."""
    index = make_index([[1] * count for count, _ in drawn])
    features = {}
    for case in index.cases:
        number = drawn[int(case.name.split("_")[2])][1]
        digests = {case.name.encode(), b"shared %d" % number} if number < 6 else {case.name.encode()}
        features[case.name] = SplitFeatures(tumour_pixels=100 * number, slice_digests=frozenset(digests))
    return index, features


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(CASES_AND_SHARED_SLICES, st.integers(2, 5), st.integers(0, 2**40))
def test_no_patient_and_no_shared_slice_is_in_both_training_and_validation(
    drawn: list[tuple[int, int]], folds: int, seed: int
) -> None:
    index, features = make_index_with_shared_slices(drawn)
    try:
        splits = draw_splits(index, Split(folds=folds, seed=seed), features)
    except DataError:
        # Patients that share a slice are one unit.
        assert len({n if n < 6 else 100 + k for k, (_, n) in enumerate(drawn)}) < folds
        return
    validated = [name for fold in splits.folds for name in fold.validation]
    assert sorted(validated) == [case.name for case in index.cases]
    for fold in splits.folds:
        assert not patients_of(index, fold.train) & patients_of(index, fold.validation)
        train, validation = (
            {digest for name in side for digest in features[name].slice_digests}
            for side in (fold.train, fold.validation)
        )
        assert not train & validation


def test_patients_that_share_a_slice_are_listed_as_together() -> None:
    names = [case.name for case in TEN.cases]
    splits = draw_splits(TEN, Split(folds=3), {names[0]: SHARED, names[7]: SHARED})
    assert splits.together == ((names[0], names[7]),)
    assert draw_splits(TEN, Split(folds=3)).together == ()


def test_patients_linked_by_a_chain_of_shared_slices_are_one_unit() -> None:
    a, b, c, d = (case.name for case in make_index([[1]] * 4).cases)
    links = {a: [b"1"], b: [b"2"], c: [b"1", b"2"], d: [b"3"]}
    features = {name: SplitFeatures(slice_digests=frozenset(digests)) for name, digests in links.items()}
    splits = draw_splits(make_index([[1]] * 4), Split(folds=2), features)
    assert sorted(fold.validation for fold in splits.folds) == [tuple(sorted((a, b, c))), (d,)]


def test_sites_that_share_a_slice_are_in_one_validation_set() -> None:
    first, second = (next(case.name for case in TEN.cases if case.site == site) for site in ("CS", "DU"))
    splits = draw_splits(TEN, Split(by="site"), {first: SHARED, second: SHARED})
    assert [{identify(name)[1] for name in fold.validation} for fold in splits.folds] == [{"CS", "DU"}, {"HT"}]


def test_folds_are_stratified_by_site_and_tumour() -> None:
    index = make_index([[1]] * 60)
    large = {case.name for case in index.cases[::2]}
    features = {name: SplitFeatures(tumour_pixels=1000) for name in large}
    for fold in draw_splits(index, Split(folds=5, seed=3), features).folds:
        sites = [identify(name)[1] for name in fold.validation]
        assert all(sites.count(site) == 4 for site in SITES)
        assert len(large & set(fold.validation)) == 6


def test_holdout_is_stratified_by_site() -> None:
    fold = draw_splits(make_index([[1]] * 60), Split(holdout=0.2, seed=3)).folds[0]
    assert all([identify(name)[1] for name in fold.validation].count(site) == 4 for site in SITES)


def test_only_patient_of_a_site_is_in_one_validation_set() -> None:
    index = CaseList(TEN.root, (*TEN.cases, Case("TCGA_EZ_9_20000101", "TCGA_EZ_9", "EZ", TEN.cases[0].slices)))
    splits = draw_splits(index, Split(folds=5))
    assert sum("TCGA_EZ_9_20000101" in fold.validation for fold in splits.folds) == 1


# --- by slice, by site


def test_split_by_slice_has_a_leak_warning() -> None:
    splits = draw_splits(TEN, Split(by="slice"))
    assert splits.warning == LEAK
    assert "slices of one patient are on both sides" in LEAK


def test_split_by_slice_uses_each_slice_once() -> None:
    fold = draw_splits(TEN, Split(by="slice", holdout=0.2)).folds[0]
    assert (len(fold.train), len(fold.validation)) == (16, 4)
    assert sorted(fold.train + fold.validation) == sorted(name for case in TEN.cases for name in case.slice_names)


def test_split_by_slice_puts_patients_on_both_sides() -> None:
    index = make_index([[4]] * 10)
    fold = draw_splits(index, Split(by="slice")).folds[0]
    assert patients_of(index, fold.train) & patients_of(index, fold.validation)


def test_split_by_site_validates_each_site_once() -> None:
    splits = draw_splits(TEN, Split(by="site"))
    validation_sites = [{case.site for case in select(TEN, fold.validation)} for fold in splits.folds]
    assert validation_sites == [{"CS"}, {"DU"}, {"HT"}]
    for fold, sites in zip(splits.folds, validation_sites, strict=True):
        assert {case.site for case in select(TEN, fold.train)} == set(SITES) - sites


def test_split_by_site_does_not_depend_on_the_seed() -> None:
    assert draw_splits(TEN, Split(by="site", seed=1)).folds == draw_splits(TEN, Split(by="site", seed=2)).folds


@pytest.mark.parametrize(
    ("count", "split", "message"),
    [
        (1, Split(), "number of patients is 1, expected at least 2 for training and validation; add data"),
        (3, Split(folds=4), "number of patients is 3, expected at least 4 for 4 folds; pass --folds 3 or fewer"),
        (1, Split(by="site"), r"all of one site"),
        (1, Split(by="slice"), "number of slices is 1"),
    ],
)
def test_too_few_units_for_a_validation_set_are_refused(count: int, split: Split, message: str) -> None:
    with pytest.raises(DataError, match=message):
        draw_splits(make_index([[1]] * count), split)


# --- splits files


def write_text_file(folder: Path, splits_dict: Any) -> Path:
    file = folder / "splits.json"
    file.write_text(splits_dict if isinstance(splits_dict, str) else json.dumps(splits_dict), "utf-8")
    return file


def splits_dict(**changes: Any) -> dict[str, Any]:
    return draw_splits(TEN, Split(folds=2)).model_dump() | changes


@pytest.mark.parametrize("split", [Split(), Split(folds=3), Split(by="site"), Split(by="slice", holdout=0.5)])
def test_written_splits_are_read_back_equal(tmp_path: Path, split: Split) -> None:
    splits = draw_splits(TEN, split)
    write_splits(splits, tmp_path / "new" / "splits.json")
    assert read_splits(tmp_path / "new" / "splits.json") == splits


def test_splits_of_a_windows_editor_are_read(tmp_path: Path) -> None:
    splits = draw_splits(TEN, Split())
    (tmp_path / "splits.json").write_text(json.dumps(splits.model_dump()), "utf-8-sig")
    assert read_splits(tmp_path / "splits.json") == splits


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"splits\.json: cannot be read \(No such file"):
        read_splits(tmp_path / "splits.json")


def test_folder_instead_of_a_splits_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_splits(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        json.dumps(splits_dict(folds=[])),
        json.dumps(splits_dict(folds=[{"train": ["a"]}])),
        json.dumps(splits_dict(folds=[{"train": "a", "validation": ["b"]}])),
        json.dumps(splits_dict(folds=[{"train": [1], "validation": ["b"]}])),
        json.dumps(splits_dict(format=2)),
        json.dumps(splits_dict(by="moon")),
        json.dumps(splits_dict(extra=1)),
        json.dumps({"train": ["a"], "validation": ["b"]}),
    ],
)
def test_file_with_other_content_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match="is not a splits file; write one with `gliomaseg split`"):
        read_splits(write_text_file(tmp_path, content))


def test_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not a splits file"):
        read_splits(tmp_path / "splits.json")


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("TCGA_CS_0001_20000101", "TCGA_CS_0001_20000101"),
        ("TCGA_CS_0001_20000101", "TCGA_CS_0001_20050101"),
        ("TCGA_CS_0001_20000101", "TCGA_CS_0001_20000101/3"),
        ("TCGA_CS_0001_20000101/2", "TCGA_CS_0001_20000101/3"),
        ("anna", "anna"),
    ],
)
def test_patient_on_both_sides_of_a_fold_is_refused(tmp_path: Path, train: str, validation: str) -> None:
    fold = {"train": ["other", train], "validation": [validation]}
    with pytest.raises(DataError, match=r"fold 0 has (TCGA_CS_0001|anna) on both sides"):
        read_splits(write_text_file(tmp_path, splits_dict(folds=[fold])))


def test_slice_on_both_sides_of_a_fold_is_refused(tmp_path: Path) -> None:
    fold = {"train": ["a/1", "a/2"], "validation": ["a/2"]}
    with pytest.raises(DataError, match="fold 0 has a/2 on both sides"):
        read_splits(write_text_file(tmp_path, splits_dict(by="slice", folds=[fold])))


def test_split_by_slice_may_have_a_patient_on_both_sides(tmp_path: Path) -> None:
    fold = {"train": ["a/1"], "validation": ["a/2"]}
    assert read_splits(write_text_file(tmp_path, splits_dict(by="slice", folds=[fold]))).folds[0].validation == ("a/2",)


def test_choose_fold_returns_the_fold_of_a_number() -> None:
    splits = draw_splits(TEN, Split(folds=3))
    assert choose_fold(splits, 2) == splits.folds[2]


@pytest.mark.parametrize("number", [-1, 3])
def test_fold_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ConfigError, match=f"fold {number} does not exist; folds are 0 to 2"):
        choose_fold(draw_splits(TEN, Split(folds=3)), number)


# --- select


def test_selected_cases_are_in_the_order_of_the_index() -> None:
    names = (TEN.cases[5].name, TEN.cases[2].name)
    assert select(TEN, names) == (TEN.cases[2], TEN.cases[5])


def test_only_named_slices_of_a_case_are_selected() -> None:
    case = TEN.cases[3]
    chosen = select(TEN, (f"{case.name}/2",))
    assert [(c.name, c.patient, [entry.number for entry in c.slices]) for c in chosen] == [
        (case.name, case.patient, [2])
    ]


def test_case_named_with_one_of_its_slices_is_selected_once() -> None:
    case = TEN.cases[3]
    assert select(TEN, (case.name, f"{case.name}/2")) == (case,)


def test_no_names_select_no_case() -> None:
    assert select(TEN, ()) == ()


@pytest.mark.parametrize("missing", ["TCGA_XX_9999_20000101", f"{TEN.cases[0].name}/99", f"{TEN.cases[0].name}/01"])
def test_name_missing_from_the_data_set_is_refused(missing: str) -> None:
    with pytest.raises(DataError) as caught:
        select(TEN, (TEN.cases[1].name, missing))
    assert caught.value.line().startswith(f"data: lacks 1 name of the splits, the first is {missing};")


def test_splits_have_format_1_by_default() -> None:
    assert Splits(by="patient", seed=0, folds=(Fold(train=("a",), validation=("b",)),)).format == 1
