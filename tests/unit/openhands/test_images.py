import re
from pathlib import Path
from typing import Any

import pytest

from tests.openhands_checkout.image_tars import write_image_tar
from tests.openhands_checkout.making import row
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.errors import RequirementError, TaskError
from trajgen_assets.core.openhands.images import TaskImage, image_of, missing_error, names_in, plan_images

COMMIT = "e604fe6d8258c73b511159a953bb130c65b608cc"


def chosen(**keys: Any) -> OpenHands:
    return OpenHands.model_validate({"evaluator": "none", "python": "p", "language": "java"} | keys)


def image(task_id: str = "Acme__Greeter-7", *, language: str = "java", **columns: Any) -> TaskImage:
    return image_of(row(task_id) | columns, chosen(language=language))


def test_the_image_of_another_language_than_python_is_called_by_repository_and_number() -> None:
    assert image().wanted == "mswebench/acme_m_greeter:pr-7"


def test_the_image_of_a_python_task_is_called_by_its_id_in_lower_case() -> None:
    assert image(language="python").wanted == "mswebench/sweb.eval.x86_64.acme_s_greeter-7:latest"


def test_each_image_gets_the_names_of_both_harnesses_and_of_the_evaluator() -> None:
    assert set(image().spellings) == {
        "mswebench/acme_m_greeter:pr-7",
        "mswebench/acme_m_greeter:pr-Acme__Greeter-7",
        "mswebench/sweb.eval.x86_64.acme_s_greeter-7:latest",
        "mswebench/sweb.eval.x86_64.acme__greeter-7:latest",
    }


def test_the_prefix_is_the_configured_one() -> None:
    found = image_of(row("a__b-1"), chosen(eval_docker_image_prefix="host.test:5000/team"))
    assert found.wanted == "host.test:5000/team/a_m_b:pr-1"


def test_an_id_that_no_image_can_be_called_by_is_refused() -> None:
    with pytest.raises(TaskError, match="no image can be called as run_infer would"):
        image("a__b-c+d")


def test_what_is_here_under_another_of_its_names_is_only_named_anew() -> None:
    found = image()
    assert plan_images([found], found.spellings, None).present == (found,)
    plan = plan_images([found], [found.spellings[1]], None)
    assert (plan.to_tag, plan.missing) == ({found.spellings[1]: (found,)}, ())


def test_a_row_may_name_its_image_itself_but_not_by_the_address_of_a_store() -> None:
    found = image(task_specific_image="team/own", image_storage_uri="s3://bucket/x.tar")
    assert found.own == ("team/own:latest",)
    assert plan_images([found], ["team/own:latest"], None).to_tag == {"team/own:latest": (found,)}


@pytest.mark.parametrize("name", ["mswebench/acme_m_greeter:pr-7", "mswebench/sweb.eval.x86_64.acme__greeter-7:latest"])
def test_a_tar_file_is_found_by_the_names_in_it_without_loading_it(tmp_path: Path, name: str) -> None:
    tar = tmp_path / "whatever.tar"
    write_image_tar(tar, [name])
    assert names_in(tar) == (name,)
    assert plan_images([image()], [], tmp_path).to_load == {tar: (image(),)}


@pytest.mark.parametrize(
    ("task_id", "name"),
    [
        ("tobymao__sqlglot-e604fe6d8258", f"tobymao_sqlglot-{COMMIT}.tar"),
        ("tobymao__sqlglot-12", f"TobyMao_sqlglot-{COMMIT}.tar.gz"),
        ("tobymao__sqlglot-12", "tobymao__sqlglot-12.tgz"),
    ],
)
def test_a_tar_file_without_names_in_it_is_found_by_its_own(tmp_path: Path, task_id: str, name: str) -> None:
    write_image_tar(tmp_path / name, [])
    write_image_tar(tmp_path / "another-1.tar", [])
    found = image(task_id, base_commit=COMMIT)
    assert plan_images([found], [], tmp_path).to_load == {tmp_path / name: (found,)}


def test_a_number_that_begins_another_is_not_taken_for_it(tmp_path: Path) -> None:
    write_image_tar(tmp_path / "acme_greeter-1234567890.tar", [])
    assert plan_images([image("acme__greeter-1234567")], [], tmp_path).missing


def test_two_files_that_may_hold_an_image_are_refused(tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        write_image_tar(tmp_path / name, ["mswebench/acme_m_greeter:pr-7"])
    with pytest.raises(RequirementError, match=r"several files may hold the image .*one\.tar, two\.tar"):
        plan_images([image()], [], tmp_path)


def test_a_file_that_is_no_image_and_a_torn_one_hold_none(tmp_path: Path) -> None:
    write_image_tar(tmp_path / "torn.tar", ["mswebench/acme_m_greeter:pr-7"])
    whole = (tmp_path / "torn.tar").read_bytes()
    (tmp_path / "torn.tar").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "text.tar").write_text("text")
    assert plan_images([image()], [], tmp_path).missing == (image(),)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequirementError, match=r"No such file.*correct openhands\.images_dir"):
        plan_images([image()], [], tmp_path / "absent")


def test_every_missing_image_is_named_with_its_task_and_where_to_put_it(tmp_path: Path) -> None:
    missing = plan_images([image(), image("a__b-1")], [], tmp_path).missing
    said = str(missing_error(missing, tmp_path))
    assert "mswebench/acme_m_greeter:pr-7 (Acme__Greeter-7), mswebench/a_m_b:pr-1 (a__b-1)" in said
    assert re.search(f"put its tar file into {re.escape(str(tmp_path))}, or pull it", said)
