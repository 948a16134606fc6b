"""A patch is published whole, or marked as one that is not; whatever is wrong with it, the trial goes on."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.patch import publish_patch, read_patch_record, remove_patches

SECRET = "sk-of-a-package-index-4711"
DIFF = f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+token = {SECRET}\xe9\n".encode("latin-1")
TRIAL = "t__1"


@pytest.fixture
def files(root: Root) -> JobPaths:
    files = root.job("j")
    (files.trial(TRIAL) / "artifacts").mkdir(parents=True)
    return files


def take(files: JobPaths, diff: bytes | None, **more: Any) -> None:
    """Leave what the guest leaves."""
    taken = files.patch_taken(TRIAL)
    (taken / "store.git" / "objects").mkdir(parents=True)
    report = {
        "schema_version": 1, "status": "ok", "reason": None, "workdir": "/app", "read_by": "engine",
        "baseline_tree": "a" * 40, "final_tree": "b" * 40, "n_files": 1, "size_bytes": len(diff or b""),
        "sha256": hashlib.sha256(diff or b"").hexdigest(), "left_out": {}, "largest": [], "taking_s": 0.1,
    }  # fmt: skip
    (taken / "patch.json").write_text(json.dumps(report | more))
    if diff is not None:
        (taken / "patch.diff").write_bytes(diff)


def published(files: JobPaths) -> Path:
    return files.trial(TRIAL) / "artifacts" / "predict_patch.diff"


def status(files: JobPaths) -> str | None:
    record = read_patch_record(files, TRIAL)
    return record and record.status


def test_a_patch_is_published_byte_for_byte_and_what_it_was_made_from_is_removed(files: JobPaths) -> None:
    take(files, DIFF)
    publish_patch(files, TRIAL, Redactor({}))
    assert published(files).read_bytes() == DIFF
    assert status(files) == "ok"
    assert not files.patch_taken(TRIAL).exists()
    publish_patch(files, TRIAL, Redactor({}))
    assert published(files).read_bytes() == DIFF


def test_a_patch_without_its_secret_says_that_it_leads_elsewhere(files: JobPaths) -> None:
    take(files, DIFF)
    publish_patch(files, TRIAL, Redactor({"INDEX_TOKEN": SECRET}))
    data, record = published(files).read_bytes(), read_patch_record(files, TRIAL)
    assert data == DIFF.replace(SECRET.encode(), b"<redacted:INDEX_TOKEN>")
    assert record is not None
    assert (record.status, record.size_bytes) == ("redacted", len(data))
    assert record.sha256 == hashlib.sha256(data).hexdigest()
    assert "no longer leads" in record.words


@pytest.mark.parametrize("not_taken", ["too_large", "failed"])
def test_where_none_was_taken_a_planted_one_is_removed(files: JobPaths, not_taken: str) -> None:
    published(files).write_text("planted")
    take(files, DIFF if not_taken == "failed" else None, status=not_taken, reason=f"because of {SECRET}")
    publish_patch(files, TRIAL, Redactor({"INDEX_TOKEN": SECRET}))
    assert not published(files).exists()
    assert status(files) == not_taken
    assert SECRET not in files.patch_record(TRIAL).read_text()


def test_no_link_in_the_place_of_a_patch_is_followed(files: JobPaths, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    published(files).symlink_to(tmp_path / "elsewhere")
    take(files, DIFF)
    publish_patch(files, TRIAL, Redactor({}))
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert published(files).read_bytes() == DIFF


@pytest.mark.parametrize("report", [None, "{", '{"schema_version": 9}'])
def test_without_a_readable_report_nothing_is_published(files: JobPaths, report: str | None) -> None:
    take(files, DIFF)
    (files.patch_taken(TRIAL) / "patch.json").unlink()
    if report is not None:
        (files.patch_taken(TRIAL) / "patch.json").write_text(report)
    publish_patch(files, TRIAL, Redactor({}))
    assert not published(files).exists()
    assert status(files) is None


def test_a_report_without_its_patch_costs_no_trial(files: JobPaths, caplog: pytest.LogCaptureFixture) -> None:
    take(files, None)
    publish_patch(files, TRIAL, Redactor({}))
    assert "was not published" in caplog.text
    remove_patches(files)
    assert not files.patches.exists()
