"""GRU language models by the command line, from texts to a beam's texts."""

import json

import pytest

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")


QUICK = (
    *("model.units=8", "model.embedding=4", "train.batch_size=4", "train.max_steps=4", "train.warmup_steps=1"),
    *("train.evaluate_every_steps=2",),
)


@pytest.fixture
def recogniser(tmp_path):
    """The folder of a run that writes a and b, as far as a language model asks it."""
    from tones import make_config, write_corpus

    from speechgru.config import save_config
    from speechgru.text import Vocabulary

    folder = tmp_path / "recogniser"
    folder.mkdir()
    config = make_config(write_corpus(tmp_path), tmp_path / "config.yaml")
    save_config(folder / "config.yaml", config)
    Vocabulary("ab").save(folder / "vocabulary.txt")
    return folder


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "zwei texte.txt"
    path.write_text("".join(f"{'ab' * (k % 5 + 1)}\n{'b' * (k % 3 + 1)}\n" for k in range(20)))
    return path


def test_it_trains_resumes_and_says_what_it_made(run_command, recogniser, texts, tmp_path):
    folder = tmp_path / "runs" / "sprach modell"
    command = ("language", "train-gru", texts, "--recogniser", recogniser, "--run", folder, *QUICK)
    code, out, err = run_command(*command)
    assert code == 0, err
    assert "4 steps in" in out and "bits a character" in out and f"{folder / 'model.gru'}: " in out
    assert err.strip().splitlines()[-1].startswith("next: speechgru evaluate")
    code, out, _ = run_command(*command, "--json")
    record = json.loads(out)
    assert (code, record["steps"], record["ended"]) == (0, 4, "max_steps")
    assert record["scores"].keys() == {"perplexity", "word_perplexity", "bits_per_character"}


def test_mistakes_end_in_one_line_each(run_command, recogniser, texts, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "other.txt").write_text("xyz\nzyx\n")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    trained = ("language", "train-gru", "--recogniser", recogniser, "--run", tmp_path / "run")
    for arguments, message in (
        (
            (*trained[:-1], bundle, texts, *QUICK),
            "bundle: is a bundle (bundle.json); give the language model's run a folder",
        ),
        ((*trained, tmp_path / "missing.txt"), "missing.txt: the text cannot be read"),
        ((*trained, tmp_path), "the text cannot be read"),
        ((*trained, tmp_path / "empty.txt"), "holds no text; write an utterance a line"),
        ((*trained, tmp_path / "other.txt"), "2 of 2 texts cannot be learnt from"),
        ((*trained, texts, "model.unit=3"), "unknown key model.unit; did you mean model.units?"),
        ((*trained, texts, "--form", "int4"), "is one of float32, float16, int8, got 'int4'"),
        (("language", "train-gru", texts, "--recogniser", texts, "--run", tmp_path / "run"), "not a bundle"),
        (("transcribe", recogniser, texts, "--gru-language-model", texts), "not a GRU language model"),
        (("transcribe", recogniser, texts, "--gru-weight", "2"), "the weights of a GRU language model are given"),
        (("transcribe", recogniser, texts, "--rescore", "gru"), "rescore names gru, and no such language model"),
    ):
        code, _, err = run_command(*arguments)
        assert code == 2 and message in " ".join(err.split()), (arguments, err)
        assert not (tmp_path / "run").exists()
