"""Folders as `run_infer` makes them."""

from pathlib import Path

from trajgen_assets.core.openhands.layout import find_runs, run_folder


def test_a_run_lies_where_the_harness_puts_it() -> None:
    made = run_folder(
        Path("evaluation/evaluation_outputs"), "data/a.jsonl", "train", "CodeActAgent", "openai/gpt-4o", 50
    )
    assert str(made) == "evaluation/evaluation_outputs/data__a.jsonl-train/CodeActAgent/gpt-4o_maxiter_50"


def test_an_absolute_data_set_a_note_and_odd_letters_of_a_model() -> None:
    made = run_folder(Path("out"), "/data/a.jsonl", "train", "CodeActAgent", "vertex/gemini@2:free", 5, "v1")
    assert str(made) == "out/__data__a.jsonl-train/CodeActAgent/gemini-2_free_maxiter_5_N_v1"


def test_runs_are_found_at_and_below_a_folder_with_and_without_the_level_outputs(tmp_path: Path) -> None:
    for folder in ("outputs/d-train/A/m_maxiter_5", "d-train/A/m_maxiter_5"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "output.jsonl").write_text("")
    assert [run.path.relative_to(tmp_path).parts[0] for run in find_runs(tmp_path)] == ["d-train", "outputs"]
    [run] = find_runs(tmp_path / "outputs" / "d-train" / "A" / "m_maxiter_5")
    assert run.completions("a__b-1").relative_to(run.path) == Path("llm_completions/a__b-1")
    assert run.log("a__b-1").name == "instance_a__b-1.log"
