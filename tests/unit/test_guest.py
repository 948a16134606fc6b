import sys
from pathlib import Path

from trajgen_assets.core.guest import guest_bundle, guest_modules


def test_every_guest_module_is_laid_out_flat(tmp_path: Path) -> None:
    target = guest_bundle(tmp_path)
    names = {path.name for path in target.iterdir()}
    assert names == set(guest_modules())
    assert {"trial_keys.py", "trial_auth.py", "trajectory_logger.py", "digest.py"} <= names
    assert "__init__.py" not in names


def test_a_bundle_over_an_older_one_replaces_its_modules(tmp_path: Path) -> None:
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest" / "trial_keys.py").write_text("raise SystemExit")
    assert "SystemExit" not in (guest_bundle(tmp_path) / "trial_keys.py").read_text()


def test_no_guest_module_hides_one_of_the_standard_library() -> None:
    assert {Path(name).stem for name in guest_modules()}.isdisjoint(sys.stdlib_module_names)


def test_guest_modules_import_nothing_of_ours() -> None:
    for source in guest_modules().values():
        assert "trajgen_assets" not in source.read_text(), source
