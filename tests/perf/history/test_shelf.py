import json
from datetime import UTC, datetime

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.history import HistoryReader, import_history, load_histories, shipped


@pytest.fixture
def file(tmp_path, content):
    path = tmp_path / "from" / "mine.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_an_imported_file_is_kept_as_it_was(file, tmp_path):
    folder = tmp_path / "history"
    named, is_new = import_history(file, folder)
    assert (named.name, is_new) == ("mine", True)
    assert (folder / "mine.json").read_bytes() == file.read_bytes()
    assert import_history(file, folder)[1] is False
    assert [each.name for each in load_histories(folder)] == ["history-2025-07", "mine"]


def test_another_file_of_that_name_needs_a_word(file, tmp_path, content):
    folder = tmp_path / "history"
    import_history(file, folder)
    content["about"] = "other"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="already"):
        import_history(file, folder)
    assert import_history(file, folder, replaces=True)[1] is True
    assert load_histories(folder)[1].history.about == "other"


def test_a_refused_file_leaves_nothing(file, tmp_path):
    folder = tmp_path / "history"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidRequest):
        import_history(file, folder)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["history-2025-07.json", "My File.json"])
def test_some_names_are_refused(file, tmp_path, name):
    with pytest.raises(InvalidRequest, match="called"):
        import_history(file.rename(file.with_name(name)), tmp_path / "history")


def test_the_reader_gives_them_oldest_first():
    reader = HistoryReader([shipped()])
    records = list(reader.records())
    assert len(records) == 16
    assert [record.at for record in records] == sorted(record.at for record in records)
    assert len(list(reader.records(job_type="video_fast"))) == 5
    assert len(list(reader.records(since=datetime(2025, 7, 7, tzinfo=UTC)))) == 3
    assert [r.facts["label"] for r in reader.records(limit=1)] == ["2025-08-20"]
    assert len(list(reader.records(limit=100))) == 16
