"""Language models in files: read as KenLM reads them, damage named by its line."""

import contextlib
import gzip
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from languages import TOY, Definition, made_texts

from speechgru.errors import LanguageError
from speechgru.language import read_language_model
from speechgru.language.arpa import read_arpa, write_arpa
from speechgru.language.compact import MAGIC, pack, quantized, read_compact, unpack, write_compact
from speechgru.language.kenlm import require_listed
from speechgru.language.kneser_ney import train
from speechgru.language.texts import numbered_texts

DATA = Path(__file__).parent / "data" / "language"
TEXTS = ["", "a", "a ab b", "b ab a ab", "ab none b a a", "none", "<s> a </s>", "b b b ab b", "Ab a"]


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.arpa"
    path.write_text(TOY, encoding="utf-8")
    return path


def random_arpa(seed, *, order=4, num_words=6, gaps=True):
    """A model of random n-grams; with gaps, as SRILM's pruning leaves them, some beginnings and ends are no n-grams."""
    rng = np.random.default_rng(seed)
    words = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(num_words))]
    grams = [[(word,) for word in words]]
    for _ in range(1, order):
        longer = itertools.product(grams[-1], [word for word in words if word != "<s>"])
        drawn = [
            (*context, word) for context, word in longer if context[-1] != "</s>" and rng.random() < 2 / len(words)
        ]
        grams.append([gram for gram in drawn if gaps or gram[1:] in grams[-1]])
    if gaps:
        grams[1:-1] = [[gram for gram in each if rng.random() < 0.8] for each in grams[1:-1]]
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


def scored_texts(folder):
    """Models in ARPA files, and texts of them that KenLM scores: a border within a sentence is an unknown word here."""
    for name, text, texts in (("toy", TOY, TEXTS), ("random", random_arpa(5, gaps=False), random_texts(5))):
        path = folder / f"{name}.arpa"
        path.write_text(text, encoding="utf-8")
        yield path, [text for text in texts if "s>" not in text]


def test_scores_are_those_that_kenlm_gave(tmp_path):
    kept = json.loads((DATA / "kenlm_scores.json").read_text(encoding="utf-8"))
    for path, texts in scored_texts(tmp_path):
        model = read_language_model(path)
        assert kept[path.stem].keys() == set(texts)
        for text in texts:
            ours, theirs = list(model.scores(text)), kept[path.stem][text]
            assert [known for _, _, known in ours] == [known for _, known in theirs]
            np.testing.assert_allclose([score for _, score, _ in ours], [score for score, _ in theirs], atol=1e-4)


def test_the_scores_that_are_kept_are_kenlms(tmp_path):
    kenlm = pytest.importorskip("kenlm", reason="KenLM is not installed (extra kenlm)")
    kept = json.loads((DATA / "kenlm_scores.json").read_text(encoding="utf-8"))
    for path, texts in scored_texts(tmp_path):
        peer = kenlm.Model(str(path))
        for text in texts:
            theirs = [(log_prob * math.log(10), not unknown) for log_prob, _, unknown in peer.full_scores(text)]
            assert [known for _, known in theirs] == [known for _, known in kept[path.stem][text]]
            expected = [score for score, _ in kept[path.stem][text]]
            np.testing.assert_allclose([score for score, _ in theirs], expected, atol=1e-6)


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


# --- KenLM's binary files, which its build_binary made of the toy ---


@pytest.mark.parametrize("kind", ["probing", "trie"])
def test_kenlms_binary_files_score_as_the_arpa_file(toy, kind):
    model, arpa = read_language_model(DATA / f"toy_{kind}.bin"), read_arpa(toy)
    for text in TEXTS:
        ours, expected = list(model.scores(text)), list(arpa.scores(text))
        assert [(word, known) for word, _, known in ours] == [(word, known) for word, _, known in expected]
        np.testing.assert_allclose([each[1] for each in ours], [each[1] for each in expected], atol=1e-5)
    assert {word.decode() for word in model.words} == {"<s>", "</s>", "<unk>", "a", "b", "ab"}


@pytest.mark.parametrize("head", ["\\data\\\nngram 1=2\n\n\\1-grams:\n-1\t", "a remark "])
def test_a_line_of_gigabytes_in_a_small_file_is_one_message(tmp_path, head):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(head.encode() + bytes(b"a" * (20 << 20)), 1))
    for read in (read_arpa, lambda path: list(numbered_texts(path))):
        with pytest.raises(
            LanguageError, match=r"bomb\.gz:\d: the line has more than 16,777,216 bytes; give a file wi"
        ):
            read(tmp_path / "bomb.gz")


def test_what_is_not_read_of_kenlm_is_refused_by_name(tmp_path):
    with pytest.raises(LanguageError, match=r"is a quantised trie of KenLM.*give the ARPA file that it was made of"):
        read_language_model(DATA / "toy_quantised.bin")
    with pytest.raises(LanguageError, match=r"hold no n-gram's words, so they cannot be written in another form"):
        require_listed(read_language_model(DATA / "toy_probing.bin"), "toy_probing.bin")
    content = (DATA / "toy_trie.bin").read_bytes()
    (tmp_path / "old.bin").write_bytes(content.replace(b"version 5", b"version 4"))
    with pytest.raises(LanguageError, match="is of another version of KenLM"):
        read_language_model(tmp_path / "old.bin")


@pytest.mark.parametrize("kind", ["probing", "trie"])
def test_cut_and_damaged_binary_files_of_kenlm_are_one_error(tmp_path, kind):
    content = (DATA / f"toy_{kind}.bin").read_bytes()
    for size in range(60, len(content), 7):
        (tmp_path / "cut.bin").write_bytes(content[:size])
        with pytest.raises(LanguageError, match=r"cut\.bin"):
            read_language_model(tmp_path / "cut.bin")
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(0, len(content))] ^= 1 << rng.integers(0, 8)
        (tmp_path / "damaged.bin").write_bytes(damaged)
        with contextlib.suppress(LanguageError):  # a changed weight cannot be seen
            list(read_language_model(tmp_path / "damaged.bin").scores("a ab b none"))


# --- the compact form ---


def test_an_exact_compact_file_scores_the_same_and_lies_where_it_is(tmp_path):
    (tmp_path / "a.arpa").write_text(random_arpa(7))
    model = read_arpa(tmp_path / "a.arpa")
    write_compact(model, tmp_path / "a.ngram", exact=True, facts={"made of": "nothing"})
    again, facts = read_compact(tmp_path / "a.ngram")
    assert facts == {"made of": "nothing"} and again.description == model.description
    for text in random_texts(7):
        assert list(again.scores(text)) == list(model.scores(text))
    assert not again.orders[1].words_N.flags.owndata and not again.orders[1].words_N.flags.writeable


def test_levels_cost_little(tmp_path):
    model = train((text.split() for text in made_texts()), order=3).model
    small, exact = pack(model), pack(model, exact=True)
    assert len(small) < 0.7 * len(exact)
    again, _ = unpack(small, name="small")
    texts = made_texts(60)
    scores = [sum(each.log_prob(text) for text in texts) for each in (model, again)]
    assert scores[1] == pytest.approx(scores[0], rel=2e-3)
    assert pack(again) == small, "what has levels keeps them"


def test_few_values_are_their_own_levels_and_borders_stay():
    values = quantized(np.array([-1.5, 0.0, -1.5], np.float32))
    assert values.levels.tolist() == [-1.5, 0.0] and values.codes_N.tolist() == [0, 1, 0]
    many = np.append(-np.random.default_rng(1).exponential(2.0, 5000), [0.0, -227.9]).astype(np.float32)
    values = quantized(many)
    assert len(values.levels) <= 256 and {many.min(), 0.0} <= set(values.levels.tolist())
    errors = np.abs(values.values_N - many)
    assert errors.mean() < 0.02 and np.quantile(errors, 0.99) < 0.1


def test_every_damaged_byte_of_a_compact_file_is_noticed(tmp_path, toy):
    content = pack(read_arpa(toy))
    for place in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        (tmp_path / "a.ngram").write_bytes(damaged)
        with pytest.raises(LanguageError, match=r"a\.ngram"):
            read_language_model(tmp_path / "a.ngram")
    for size in range(len(MAGIC), len(content), 11):
        with pytest.raises(LanguageError, match="the language model"):
            unpack(content[:size], name="cut")


def test_without_its_checksum_a_damaged_compact_file_leads_nowhere(toy):
    content = pack(read_arpa(toy))
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(MAGIC) + 32, len(content))] = rng.integers(0, 256)
        with contextlib.suppress(LanguageError):
            list(unpack(bytes(damaged), name="damaged", verify=False)[0].scores("a ab b none"))


def test_a_newer_version_is_refused_with_the_fix(toy):
    content = bytearray(pack(read_arpa(toy)))
    content[len(MAGIC) + 32] = 2
    with pytest.raises(LanguageError, match=r"is of version 2, this speechgru reads up to 1; update speechgru$"):
        unpack(bytes(content), name="new", verify=False)
