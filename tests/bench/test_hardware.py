import getpass
import json
import platform

from gliomaseg.bench import hardware


def test_a_machine_is_told_without_whose_it_is():
    text = json.dumps(hardware.describe_machine())
    assert "/" not in text.replace("r/s", "")
    assert platform.node() not in text
    assert getpass.getuser() not in json.loads(text).values()


def test_flags_versions_and_threads_are_told():
    told = hardware.describe_machine()
    assert set(told["flags"]) <= set(hardware.FLAGS)
    assert told["versions"].keys() >= {"gliomaseg", "python", "numpy", "onnxruntime"}
    assert 1 <= told["threads"] <= told["processors"]


def test_a_file_that_is_not_there_tells_nothing(tmp_path):
    assert hardware._read(tmp_path / "none") == {}


def test_the_first_value_of_a_name_counts(tmp_path):
    (tmp_path / "info").write_text("model name\t: A\nflags : avx2\n\nmodel name\t: B\n")
    assert hardware._read(tmp_path / "info") == {"model name": "A", "flags": "avx2"}
