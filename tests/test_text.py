"""Transcripts: the normaliser and the vocabulary."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.errors import TextError
from speechgru.text import BLANK_ID, Vocabulary, describe_characters, invisible_characters, normalize_text

#: Characters that a vocabulary can have: any that survives in a normalised transcript.
CHARACTERS = st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]) | st.just(" ")
VOCABULARIES = st.lists(CHARACTERS, min_size=1, max_size=30, unique=True).map(Vocabulary)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Turn ON the lights!", "turn on the lights"),
        ("  a \t b\n\nc\u00a0d ", "a b c d"),
        ("well-kept, isn't it?", "well kept isn't it"),
        ("'quoted' rock 'n' roll dogs'", "quoted rock n roll dogs"),
        ("don\u2019t don\u2018t don\u02bct don`t don\u00b4t", " ".join(["don't"] * 5)),
        ("ﬁne Ｆｕｌｌ ½", "ﬁne ｆｕｌｌ ½"),
        ("İstanbul", "i\u0307stanbul"),
        ("e\u0301te\u0301 = \u00e9t\u00e9", "été été"),
        ("GRÖSSE Straße", "grösse straße"),
        ("$5 + 3% #1 a_b", "5 3 1 a b"),
        ("...", ""),
        ("", ""),
        ("東京タワー。ﾀﾜｰ", "東京タワー ﾀﾜｰ"),
    ],
)
def test_normalising(text, expected):
    assert normalize_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ﬁne Ｆｕｌｌ ½", "fine full 1 2"),
        ("don\uff07t don\u00b4t", "don't don't"),
        ("e\u0301te\u0301", "été"),
        ("東京タワー。ﾀﾜｰ", "東京タワー タワー"),
    ],
)
def test_compatibility_spellings_become_plain_only_when_asked(text, expected):
    assert normalize_text(text, normalization="NFKC") == expected


@pytest.mark.parametrize(
    ("text", "expected", "dropped"),
    [
        ("turn\u200b on\ufeff", "turn on", ["\u200b", "\ufeff"]),
        ("fire\u00adplace", "fireplace", ["\u00ad"]),
        ("a\x00b\x07\x9f c\x1fd\x85e\tf", "ab c d e f", ["\x00", "\x07", "\x9f"]),
        ("e\u200b\u0301te\u0301", "\u00e9t\u00e9", ["\u200b"]),
        ("\u2764\ufe0f ok \U0001f468\u200d\U0001f469", "ok", ["\ufe0f", "\u200d"]),
        ("on\u200c\u200doff", "onoff", ["\u200c", "\u200d"]),
        ("\u202aon\u202c\u2066 off\u2069\u2060", "on off", ["\u202a", "\u202c", "\u2066", "\u2069", "\u2060"]),
        ("\u3164\uffa0\ub124", "\ub124", ["\u3164", "\uffa0"]),
        # Persian "goes", Hindi "ksha" held apart, Sinhala "sri", Bengali "rya", a Malayalam chillu, Mongolian
        ("\u0645\u06cc\u200c\u0631\u0648\u062f", None, []),
        ("\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937", None, []),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3", None, []),
        ("\u09b0\u200d\u09cd\u09af", None, []),
        ("\u0d28\u0d4d\u200d", None, []),
        ("\u1820\u182f\u180e\u1820", None, []),
        # a joiner that joins nothing
        ("\u0645\u06cc\u200c \u0631\u0648\u062f", "\u0645\u06cc \u0631\u0648\u062f", ["\u200c"]),
        ("\u200d\u0915\u200c\u200c\u0916", "\u0915\u200c\u0916", ["\u200d", "\u200c"]),
    ],
)
def test_what_nobody_sees_is_dropped_but_what_spells_a_word(text, expected, dropped):
    assert normalize_text(text) == (text if expected is None else expected)
    assert invisible_characters(text) == dropped


def test_every_control_and_format_character_is_known():
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cf") and not character.isspace():
            assert normalize_text(f"a{character}b") == "ab", hex(code)


def test_another_normalization_is_refused():
    with pytest.raises(ValueError, match="normalization must be NFC or NFKC, got 'NFD'"):
        normalize_text("a", normalization="NFD")


def test_marks_that_are_to_be_kept_stay_wherever_they_stand():
    assert normalize_text("Well-kept: 5 % - 'so'!", keep_punctuation="-%") == "well-kept 5 % - so"
    assert normalize_text("\u2018so\u2019", keep_punctuation="\u2019") == "'so'"


def test_normalising_less():
    assert normalize_text("Don\u2019t STOP, now!", lowercase=False) == "Don't STOP now"
    assert normalize_text("Don\u2019t  STOP, now!", remove_punctuation=False) == "don't stop, now!"


@given(st.text(max_size=30))
def test_a_normalised_text_is_clean(text):
    normal = normalize_text(text)
    assert normal == normal.strip()
    assert "  " not in normal
    assert not [c for c in normal if (c.isspace() and c != " ") or (unicodedata.category(c)[0] in "PS" and c != "'")]


@given(
    st.text("aB'’´` -,.!ßÉéİｶﾞ½ﬁ\u0301\t", max_size=30)
    | st.text("a\u00e9\u0301 -\u200b\u200c\u200d\u180e\u1820\ufeff\u0915\u094d\u0643\u0649\u060c\ufe70", max_size=20)
    | st.text(max_size=20),
    st.fixed_dictionaries(
        {
            "lowercase": st.booleans(),
            "remove_punctuation": st.booleans(),
            "keep_punctuation": st.sampled_from(["", "-", "'."]),
            "normalization": st.sampled_from(["NFC", "NFKC"]),
        }
    ),
)
def test_normalising_twice_changes_nothing(text, rules):
    normal = normalize_text(text, **rules)
    assert normalize_text(normal, **rules) == normal


@given(st.lists(st.text("ab c'é", min_size=1), min_size=1).filter(lambda texts: any(texts)))
def test_encoding_and_decoding_give_the_text_back(texts):
    vocabulary = Vocabulary.from_texts(texts)
    for text in texts:
        labels = vocabulary.encode(text)
        assert vocabulary.decode(labels) == text
        assert all(BLANK_ID < label < len(vocabulary) for label in labels)


def test_the_blank_is_label_0_and_counts():
    vocabulary = Vocabulary(" ab")
    assert BLANK_ID == 0
    assert len(vocabulary) == 4
    assert vocabulary.encode("ba b") == [3, 2, 1, 3]


def test_a_vocabulary_from_texts_is_sorted_whatever_their_order():
    assert Vocabulary.from_texts(["cab", "b a"]).characters == (" ", "a", "b", "c")
    assert Vocabulary.from_texts(["b a", "cab"]) == Vocabulary(" abc")
    assert hash(Vocabulary("ab")) == hash(Vocabulary(["a", "b"]))
    assert Vocabulary("ab") != Vocabulary("ba")


def test_whole_words_can_be_the_labels():
    vocabulary = Vocabulary.from_texts(["lights on", "lights off", ""], unit="word")
    assert vocabulary.entries == ("lights", "off", "on")
    assert (len(vocabulary), vocabulary.encode("on lights  on")) == (4, [3, 1, 3])
    assert vocabulary.decode([3, 1, 3]) == "on lights on"
    assert vocabulary.decode([]) == ""
    assert vocabulary.unknown("lamps on lamps a") == ["lamps", "a"]
    with pytest.raises(TextError) as caught:
        vocabulary.encode("lamps on", where="a.wav")
    assert str(caught.value) == (
        "a.wav: 'lamps' is not in the vocabulary; "
        "spell the transcript with known words or train with a vocabulary that has them"
    )


def test_words_that_are_no_entry_are_spelt_where_there_are_letters():
    vocabulary = Vocabulary.with_letters(["lights", "on", "a"], "adn")
    assert vocabulary.entries[3:] == ("<unk>", "\u2581a", "\u2581d", "\u2581n", "##a", "##d", "##n")
    assert vocabulary.words == ("lights", "on", "a") and vocabulary.letters == "adn"
    labels = vocabulary.encode("dad lights a and on")
    assert labels == [6, 8, 9, 1, 3, 5, 10, 9, 2]
    assert vocabulary.decode(labels) == "dad lights a and on"
    assert vocabulary.word_spans(labels) == [(0, 3), (3, 4), (4, 5), (5, 8), (8, 9)]
    # What a user asks for is still judged by the words that have a label.
    assert vocabulary.unknown("dad lights off") == ["dad", "off"] and vocabulary.unwritable("dad lights off") == ["off"]
    with pytest.raises(TextError, match=r"a\.wav: 'off' is not in the vocabulary"):
        vocabulary.encode("dad off", where="a.wav")


def test_further_letters_without_a_first_one_are_a_word():
    vocabulary = Vocabulary.with_letters(["on"], "ad")
    assert vocabulary.decode([5, 6, 1, 6, 3, 3, 6]) == "ad on d a ad"
    assert vocabulary.word_spans([]) == [] and vocabulary.decode([]) == ""


@given(st.lists(st.text("abc", min_size=1, max_size=4), max_size=6).map(" ".join))
def test_what_is_spelt_is_read_again(text):
    vocabulary = Vocabulary.with_letters(["a", "ab", "cab"], "abc")
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert len(vocabulary.word_spans(vocabulary.encode(text))) == len(text.split())


def test_a_model_writes_words_and_one_label_for_any_other_and_no_letters():
    vocabulary = Vocabulary.with_letters(["on", "off"], "on")
    assert (len(vocabulary), vocabulary.unknown_label) == (4, 3)
    assert vocabulary.written == Vocabulary(["on", "off", "<unk>"], unit="word")
    assert vocabulary.decode([1, 3, 3]) == vocabulary.written.decode([1, 3, 3]) == "on <unk> <unk>"
    assert vocabulary.encode("off <unk>") == [2, 3], "a transcript may say so itself"
    plain = Vocabulary(["on", "<unk>"], unit="word")
    assert (plain.unknown_label, plain.written, plain.words) == (None, plain, ("on", "<unk>"))
    assert Vocabulary.with_letters(["on", "<unk>"], "") == plain
    with pytest.raises(TextError, match=r"the entries that spell other words must be the last, and come behind <unk>"):
        Vocabulary(["on", "\u2581o", "<unk>", "##o"], unit="word")


def test_vocabularies_whose_letters_a_model_writes_are_still_read():
    """As they were before letters had a head of their own."""
    vocabulary = Vocabulary(["on", "\u2581a", "##d"], unit="word")
    assert (len(vocabulary), vocabulary.words, vocabulary.letters) == (4, ("on",), "a")
    assert vocabulary.decode([1, 2, 3]) == "on ad" and vocabulary.written == vocabulary


def test_the_same_entries_as_characters_and_as_words_are_different_vocabularies():
    assert Vocabulary("ab") != Vocabulary("ab", unit="word")


@given(st.lists(st.text("ab c"), max_size=4).map("".join))
def test_word_spans_are_the_words_of_the_text(text):
    vocabulary = Vocabulary(" abc")
    labels = vocabulary.encode(text)
    spans = vocabulary.word_spans(labels)
    assert [vocabulary.decode(labels[start:end]) for start, end in spans] == text.split()
    words = Vocabulary(["a", "b"], unit="word")
    assert words.word_spans([2, 1, 1]) == [(0, 1), (1, 2), (2, 3)]


def test_texts_without_a_word_make_no_vocabulary():
    with pytest.raises(TextError, match="no transcript holds a word; a vocabulary needs at least one"):
        Vocabulary.from_texts(["", " "], unit="word")


@pytest.mark.parametrize("entry", ["", " ", "two words", "tab\t", "\u00a0"])
def test_a_word_has_no_white_space(entry):
    with pytest.raises(TextError, match="vocabulary entry 2 must be one word without white space, got "):
        Vocabulary(["one", entry], unit="word")


def test_another_unit_is_refused():
    with pytest.raises(TextError, match="unit must be character, subword or word, got 'phone'"):
        Vocabulary("ab", unit="phone")


def test_texts_without_a_character_make_no_vocabulary():
    for texts in ([], ["", ""]):
        with pytest.raises(TextError, match="no transcript holds a character; a vocabulary needs at least one"):
            Vocabulary.from_texts(texts)


def test_unknown_characters_are_named_with_their_code_points():
    vocabulary = Vocabulary("abc")
    assert vocabulary.unknown("aßb7ß") == ["ß", "7"]
    with pytest.raises(TextError) as caught:
        vocabulary.encode("aßb7ß", where="a.wav")
    assert str(caught.value) == (
        "a.wav: 'ß' (U+00DF), '7' (U+0037) are not in the vocabulary; "
        "spell the transcript with known characters or train with a vocabulary that has them"
    )
    assert describe_characters(["😀"]) == "'😀' (U+1F600) is"
    assert describe_characters(["\u200b", "\x00"]) == "'\\u200b' (U+200B, zero width space), '\\x00' (U+0000) are"


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        (["a", "bc"], "vocabulary entry 2 must be one character, got 'bc'"),
        (["", "b"], "vocabulary entry 1 must be one character, got ''"),
        ("abcab", "the vocabulary holds 'a', 'b' more than once"),
        ("a\nb", r"vocabulary entry 2 must be a space or no white space, got '\\n'"),
        ("\u2028", r"vocabulary entry 1 must be a space or no white space, got '\\u2028'"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_reported(characters, message):
    with pytest.raises(TextError, match=message):
        Vocabulary(characters)


@given(VOCABULARIES)
def test_a_saved_vocabulary_loads_as_itself(tmp_path, vocabulary):
    path = tmp_path / "vocabulary.txt"
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary


def test_the_file_can_be_read_by_people(tmp_path):
    Vocabulary(" <b").save(tmp_path / "vocabulary.txt")
    assert (tmp_path / "vocabulary.txt").read_text(encoding="utf-8") == "<blank>\n<space>\n<\nb\n"


@given(st.lists(st.text(CHARACTERS, min_size=1).filter(lambda word: word.split() == [word]), min_size=1, unique=True))
def test_a_saved_vocabulary_of_words_loads_as_itself(tmp_path, words):
    vocabulary = Vocabulary(words, unit="word")
    vocabulary.save(tmp_path / "words.txt")
    assert Vocabulary.load(tmp_path / "words.txt") == vocabulary


def test_the_file_says_that_it_holds_words(tmp_path):
    Vocabulary(["on", "<space>"], unit="word").save(tmp_path / "words.txt")
    assert (tmp_path / "words.txt").read_text(encoding="utf-8") == "<blank> (one word a line)\non\n<space>\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a vocabulary begins with the line <blank>"),
        (b"a\nb\n", "a vocabulary begins with the line <blank>"),
        (b"<blank>\nab\n", "vocabulary entry 1 must be one character, got 'ab'"),
        (b"<blank>\na\n\nb\n", "vocabulary entry 2 must be one character, got ''"),
        (b"<blank>\na\na\n", "the vocabulary holds 'a' more than once"),
        (b"<blank>\n\xff\n", "the vocabulary is not UTF-8 text"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(TextError) as caught:
        Vocabulary.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TextError, match=r"none\.txt: the vocabulary cannot be read \(No such file"):
        Vocabulary.load(tmp_path / "none.txt")
