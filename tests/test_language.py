"""Language models in files: read as KenLM reads them, damage named by its line."""

import gzip
import math

import numpy as np
import pytest
from languages import TOY, Definition

from speechgru.errors import LanguageError
from speechgru.language import read_language_model
from speechgru.language.arpa import read_arpa, write_arpa

TEXTS = ["", "a", "a ab b", "b ab a ab", "ab none b a a", "none", "<s> a </s>", "b b b ab b", "Ab a"]


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.arpa"
    path.write_text(TOY, encoding="utf-8")
    return path


def random_arpa(seed, *, order=4, num_words=6):
    """A model of random n-grams; as in files that SRILM pruned, some ends of n-grams are no n-grams."""
    rng = np.random.default_rng(seed)
    words = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(num_words))]
    grams = [[(word,) for word in words]]
    for _ in range(1, order):
        longer = {
            (*context, word)
            for context in grams[-1]
            for word in words
            if word != "<s>" and rng.random() < 2 / len(words)
        }
        grams.append(sorted(gram for gram in longer if "</s>" not in gram[:-1]))
    lines = ["\\data\\", *(f"ngram {k}={len(each)}" for k, each in enumerate(grams, 1))]
    for k, each in enumerate(grams, 1):
        lines += ["", f"\\{k}-grams:"]
        for gram in each:
            backoff = f"\t{-rng.random():.5f}" if k < order and rng.random() < 0.8 else ""
            lines.append(f"{-3 * rng.random():.5f}\t{' '.join(gram)}{backoff}")
    return "\n".join([*lines, "", "\\end\\", ""])


def random_texts(seed, num_words=6, count=30):
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{rng.integers(0, num_words + 1)}" for _ in range(rng.integers(0, 9))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_definition(tmp_path, seed):
    text = random_arpa(seed, order=seed + 1)
    (tmp_path / "a.arpa").write_text(text)
    model, definition = read_language_model(tmp_path / "a.arpa"), Definition(text)
    for sentence in random_texts(seed):
        scores = [log_prob for _, log_prob, _ in model.scores(sentence)]
        np.testing.assert_allclose(scores, definition.scores(sentence), atol=2e-5)


def test_scores_are_kenlms(tmp_path, toy):
    kenlm = pytest.importorskip("kenlm", reason="KenLM is not installed (extra peers)")
    (tmp_path / "a.arpa").write_text(random_arpa(5))
    for path, texts in ((toy, TEXTS), (tmp_path / "a.arpa", random_texts(5))):
        model, peer = read_language_model(path), kenlm.Model(str(path))
        for text in texts:
            if "s>" in text:
                continue  # KenLM scores a border within a sentence as one; here it is an unknown word
            peers = [(log_prob * math.log(10), not unknown) for log_prob, _, unknown in peer.full_scores(text)]
            ours = [(log_prob, known) for _, log_prob, known in model.scores(text)]
            assert [known for _, known in ours] == [known for _, known in peers]
            np.testing.assert_allclose([score for score, _ in ours], [score for score, _ in peers], atol=1e-4)


def test_equal_states_score_alike_and_nothing_useless_is_kept(toy):
    model = read_arpa(toy)
    after = {text: model.start() for text in TEXTS}
    for text in TEXTS:
        for word in text.split():
            after[text], _ = model.score(after[text], word)
    assert after["a ab b"] == after["b b b ab b"]  # only "b" has what follows
    assert model.score(model.start(), "none")[0] == model.score((), "other")[0]
    assert hash(after["a"]) is not None


def test_an_unknown_word_scores_as_in_kenlm_where_the_model_has_no_mark_for_it(tmp_path):
    (tmp_path / "a.arpa").write_text(TOY.replace("-1.2\t<unk>\t-0.1\n", "").replace("ngram 1=6", "ngram 1=5"))
    model = read_language_model(tmp_path / "a.arpa")
    assert model.score((), "none")[1] == pytest.approx(-100 * math.log(10))
    assert not model.knows("none") and not model.knows("<unk>") and model.knows("ab")


def test_packed_files_remarks_spaces_and_the_large_mark_are_read(tmp_path, toy):
    with gzip.open(tmp_path / "packed.arpa.gz", "wt") as stream:
        stream.write("made by hand\n\n" + TOY.replace("\t", "  ").replace("<unk>", "<UNK>").replace("\n", "\r\n"))
    ours, packed = read_arpa(toy), read_arpa(tmp_path / "packed.arpa.gz")
    for text in TEXTS:
        assert list(packed.scores(text)) == list(ours.scores(text))


@pytest.mark.parametrize("name", ["b.arpa", "b.arpa.gz"])
def test_what_is_written_reads_as_the_same(tmp_path, name):
    (tmp_path / "a.arpa").write_text(random_arpa(7))
    model = read_arpa(tmp_path / "a.arpa")
    write_arpa(model, tmp_path / name)
    again = read_arpa(tmp_path / name)
    for text in random_texts(7):
        assert again.log_prob(text) == pytest.approx(model.log_prob(text), abs=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "\\dat\\", r"a\.arpa:\d+: the file ends where \\data\\ should stand"),
        ("-0.7\ta\t", "-0.7x\ta\t", r"a\.arpa:11: a logarithm should be a number, got '-0\.7x\\ta\\t-0\.25'"),
        ("-0.7\ta\t", "0.7\ta\t", r"a\.arpa:11: .* a number of at most 0"),
        ("-0.7\ta\t", "nan\ta\t", r"a\.arpa:11: .* a number of at most 0"),
        ("a ab\t", "a none\t", r"a\.arpa:17: the word 'none' is none of the \\1-grams:"),
        ("a ab\t-0.05", "a", r"a\.arpa:17: a 2-gram has a logarithm, 2 words"),
        ("-0.8\tb\t", "-0.8\ta\t", r"a\.arpa:12: the word 'a' stands twice"),
        ("ab a\t", "ab b\t", r"a\.arpa: the 2-gram .* stands twice"),
        ("ngram 2=6", "ngram 2=7", r"a\.arpa:23: 6 2-grams stand before this line, and the header says 7"),
        ("ngram 2=6", "ngram 3=6", r"a\.arpa:4: ngram 2=NUMBER should stand here"),
        ("\\3-grams:", "\\4-grams:", r"a\.arpa:23: \\3-grams: should stand here, got '\\\\4-grams:'"),
        ("\\end\\", "", r"a\.arpa:\d+: the file ends before \\end\\; it is cut short"),
        ("<s>", "<t>", r"a\.arpa: the model lacks the word <s>"),
    ],
)  # fmt: skip
def test_damage_is_named_by_its_line(tmp_path, old, new, message):
    (tmp_path / "a.arpa").write_text(TOY.replace(old, new))
    with pytest.raises(LanguageError, match=message):
        read_language_model(tmp_path / "a.arpa")


def test_what_is_no_language_model_is_refused(tmp_path, toy):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(TOY.encode())[:-40])
    (tmp_path / "latin.arpa").write_bytes(TOY.replace("\tab\t", "\t\xe4b\t").replace("ab", "a").encode("latin-1"))
    for name, message in (
        ("empty", "is empty"),
        ("cut.gz", "is cut short or damaged"),
        ("latin.arpa", r"latin\.arpa:13: the word .* is not UTF-8 text"),
        ("none.arpa", r"the language model cannot be read \(No such file"),
        (".", r"the language model cannot be read \(Is a directory"),
    ):
        with pytest.raises(LanguageError, match=message):
            read_language_model(tmp_path / name)
