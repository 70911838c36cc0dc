"""A bundle as a static site: what is written, what is refused, and that it recognises in a real browser."""

from __future__ import annotations

import dataclasses
import json
import shutil
import stat
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, Browser, served

from speechgru.cli import console as cli
from speechgru.corpora.zipped import unpacked
from speechgru.decoding import EndpointRule
from speechgru.errors import BundleError, UserError
from speechgru.grammar import Block, Grammar, Intent
from speechgru.grammar.nodes import Series, Slot, Text
from speechgru.recording.corpus import RECORDINGS_NAME, RecordingFolder
from speechgru.recording.prompts import choose_prompts
from speechgru.runtime import Recognizer
from speechgru.utterances.manifest import read_manifest
from speechgru.web import write_site
from speechgru.web.litert import CORE, FILES, UTILS, VERSION, fetch

PAGE = Path(__file__).parents[1] / "speechgru" / "web" / "page"
BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"
RATE = 8000


@pytest.fixture(scope="module")
def empty_runtime(tmp_path_factory):
    """Packages of the right names whose files hold nothing: enough to write a site."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in (CORE, UTILS):
        package = folder / "node_modules" / name
        package.mkdir(parents=True)
        (package / "package.json").write_text(json.dumps({"name": name, "version": "9.8.7"}))
    for name, file in FILES.values():
        path = folder / "node_modules" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0")
        path.chmod(0o600)
    return folder


def with_grammar(folder, grammar, **changes):
    """A copy of the stored bundle that carries a grammar."""
    shutil.copytree(BUNDLE, folder)
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"grammar": grammar.as_record()} | changes))
    return folder


def with_keywords(folder, **changes):
    """A copy of the stored bundle that listens for `ab`."""
    shutil.copytree(BUNDLE, folder)
    path = folder / "bundle.json"
    keywords = {"thresholds": {"ab": 0.5}, "names": {"ab": "Abbey"}}
    metadata = json.loads(path.read_text()) | {"keywords": keywords} | changes
    path.write_text(json.dumps(metadata))
    return folder


@pytest.fixture(scope="module")
def both():
    """A grammar of the texts `ab` and `b`."""
    nodes = (Text("a"), Text("b"), Slot("last", 1), Slot("first", 0, 1), Series((3, 2)))
    joined = Intent("Both", (Block((4,), {"how": "joined"}, 1.0),))
    return Grammar("en", nodes, (joined, Intent("One", (Block((1,), {}, 1.0),))))


def test_a_site_holds_all_that_its_pages_load(tmp_path, empty_runtime):
    record = write_site(BUNDLE, tmp_path / "site", runtime=empty_runtime)
    site = tmp_path / "site"
    assert (record["litert"], record["streams"], record["grammar"], record["notes"]) == ("9.8.7", True, False, [])
    assert record["golden"] == ["sound", "speech"]
    assert (site / "model.tflite").read_bytes() == (BUNDLE / "model.tflite").read_bytes()
    for place in FILES:
        assert stat.S_IMODE((site / "litert" / place).stat().st_mode) == 0o644
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "http://" not in text and "https://" not in text
        for name in [*text.split('src="')[1:], *text.split('href="')[1:]]:
            assert name.startswith("data:") or (site / name.split('"')[0]).is_file(), name
    imported = {
        line.split("'")[-2] for file in site.glob("*.js") for line in file.read_text().splitlines() if " from '" in line
    }
    assert all((site / name).is_file() for name in imported) and len(imported) > 8
    assert sum(record["bytes_on_the_wire"].values()) < 4e6


def test_every_page_allows_its_own_import_map(tmp_path):
    import base64
    import hashlib

    pages = [page.read_text(encoding="utf-8") for page in PAGE.glob("*.html")]
    maps = [page.split('<script type="importmap">')[1].split("</script>")[0] for page in pages if "importmap" in page]
    assert len(maps) >= 2
    for text in maps:
        assert set(json.loads(text)["imports"]) == {CORE, UTILS}
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in maps]
    assert all(
        f"'sha256-{each}'" in page for each, page in zip(hashes, [p for p in pages if "importmap" in p], strict=True)
    )


def test_a_site_tells_of_no_machine(tmp_path, empty_runtime):
    metadata = json.loads((BUNDLE / "bundle.json").read_text())
    assert metadata["provenance"]
    write_site(BUNDLE, tmp_path / "site", runtime=empty_runtime)
    text = (tmp_path / "site" / "site.json").read_text()
    assert "provenance" not in text and metadata["provenance"]["created"] not in text and str(tmp_path) not in text


def test_golden_vectors_stay_at_home_when_asked(tmp_path, empty_runtime):
    record = write_site(BUNDLE, tmp_path / "site", runtime=empty_runtime, golden=False)
    assert record["golden"] == [] and not (tmp_path / "site" / "golden").exists()
    assert record["notes"] == [
        "the self-check has nothing to compare with: the bundle's golden vectors are not part of the site"
    ]


def test_one_file_is_enough(tmp_path, empty_runtime):
    record = write_site(BUNDLE / "model.tflite", tmp_path / "site", runtime=empty_runtime)
    assert record["form"] == "none" and record["golden"] == []


def test_a_grammar_that_the_vocabulary_cannot_write_is_left_out_and_named(tmp_path, empty_runtime):
    grammar = Grammar("en", (Text("abc"),), (Intent("Other", (Block((0,), {}, 1.0),)),))
    bundle = with_grammar(tmp_path / "bundle", grammar)
    record = write_site(bundle, tmp_path / "site", runtime=empty_runtime)
    assert (
        not record["grammar"]
        and "the page goes without the bundle's grammar: the grammar's text 'abc'" in record["notes"][0]
    )


def test_keywords_travel_with_what_they_must_give(tmp_path, empty_runtime):
    bundle = with_keywords(tmp_path / "bundle")
    record = write_site(bundle, tmp_path / "site", runtime=empty_runtime)
    site = json.loads((tmp_path / "site" / "site.json").read_text())
    assert site["keywords"]["words"] == [{"text": "Abbey", "labels": [1, 2], "threshold": 0.5}] and not record["notes"]
    for case in site["golden"]:
        stream = Recognizer(bundle).keyword_stream()
        samples_N = np.fromfile(bundle / "golden" / case["arrays"]["samples"], "<f4")
        found = [*stream.feed(samples_N), *stream.finish()]
        assert [each["keyword"] for each in case["keywords"]] == [each.keyword for each in found]
    bundle = with_keywords(tmp_path / "whole", stream=None, latency_seconds=None)
    record = write_site(bundle, tmp_path / "site", runtime=empty_runtime)
    assert record["notes"] == ["the page transcribes and spots no keyword: the bundle's model does not stream"]
    with pytest.raises(BundleError, match="its thresholds of keywords are damaged"):
        write_site(with_keywords(tmp_path / "odd", keywords={"thresholds": {"ab": "x"}}), tmp_path / "site",
                   runtime=empty_runtime)  # fmt: skip


def test_an_older_site_is_replaced_and_nothing_else(tmp_path, empty_runtime):
    site, other = tmp_path / "site", tmp_path / "other"
    write_site(BUNDLE, site, runtime=empty_runtime)
    old = json.dumps({"of": "an older release"})
    (site / "site.json").write_text(old)
    write_site(BUNDLE, site, runtime=empty_runtime)
    assert (site / "site.json").read_text() != old
    (site / "mine").write_text("x")
    with pytest.raises(UserError, match="site: would be replaced whole, and mine in it is not of the site"):
        write_site(BUNDLE, site, runtime=empty_runtime)
    assert (site / "mine").read_text() == "x"
    other.mkdir()
    (other / "mine").write_text("x")
    with pytest.raises(
        UserError, match=r"other: exists and is not a site \(site.json is missing\); choose another --out"
    ):
        write_site(BUNDLE, other, runtime=empty_runtime)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["other", "site"]


def test_what_cannot_be_a_site_is_refused(tmp_path, empty_runtime, monkeypatch):
    with pytest.raises(BundleError, match="holds no form 'int8'; it has none"):
        write_site(BUNDLE, tmp_path / "site", form="int8", runtime=empty_runtime)
    with pytest.raises(
        BundleError, match="v2: is of an older version that has no signatures for a page; export it again"
    ):
        write_site(BUNDLE.parent / "v2", tmp_path / "site", runtime=empty_runtime)
    damaged = Path(shutil.copytree(BUNDLE, tmp_path / "damaged"))
    (damaged / "golden" / "golden.json").write_text("{")
    with pytest.raises(BundleError, match=r"golden.json: is damaged .*; copy the bundle again, or export it again"):
        write_site(damaged, tmp_path / "site", runtime=empty_runtime)
    with pytest.raises(
        UserError, match=f"nowhere: holds no npm package {CORE}; `npm install --prefix litert {CORE}@{VERSION}`"
    ):
        write_site(BUNDLE, tmp_path / "site", runtime=tmp_path / "nowhere")
    short = Path(shutil.copytree(empty_runtime, tmp_path / "short"))
    (short / "node_modules" / CORE / "wasm" / "litert_wasm_internal.wasm").unlink()
    with pytest.raises(UserError, match=r"litert_wasm_internal.wasm: is missing; `npm install"):
        write_site(BUNDLE, tmp_path / "site", runtime=short)
    monkeypatch.setattr("speechgru.web.litert.shutil.which", lambda name: None)
    with pytest.raises(UserError, match=r"LiteRT.js, .* comes from npm, which is not installed here; `npm install"):
        write_site(BUNDLE, tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("inside", ["node_modules", f"node_modules/{CORE}"])
def test_litert_is_found_wherever_it_was_unpacked(inside, tmp_path, empty_runtime):
    assert write_site(BUNDLE, tmp_path / "site", runtime=empty_runtime / inside)["litert"] == "9.8.7"


def test_the_command_prints_sizes_and_where_to_look(tmp_path, empty_runtime, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["speechgru", "web", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    code, out, err = run(BUNDLE, "--out", tmp_path / "site", "--runtime", empty_runtime)
    assert code == 0 and "MB over the wire" in out
    assert err == f"reading {BUNDLE}\nnext: python -m http.server --directory {tmp_path / 'site'}\n"
    code, out, _ = run(BUNDLE, "--out", tmp_path / "site", "--runtime", empty_runtime, "--json")
    assert code == 0 and json.loads(out)["golden"] == ["sound", "speech"]
    code, _, err = run(BUNDLE, "--out", tmp_path / "site", "--runtime", tmp_path / "nowhere")
    assert code == 2 and "holds no npm package" in err


# --- in a browser ---


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """LiteRT.js as npm has it."""
    if CHROMIUM is None:
        pytest.skip("chromium, in which the pages are looked at, is not installed")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm, which fetches LiteRT.js, is not installed")
    folder = tmp_path_factory.mktemp("litert")
    try:
        fetch(folder, npm=npm)
    except UserError as error:
        pytest.skip(f"LiteRT.js is not to be had: {error}")
    return folder


@pytest.fixture(scope="module")
def spoken():
    """What somebody says into the microphone: `ab`, a pause, `ab`, at the bundle's rate."""
    said_N = np.load(BUNDLE / "expected.npz")["samples"]
    rng = np.random.default_rng(0)
    quiet_N = lambda seconds: 0.003 * rng.normal(size=round(RATE * seconds))  # noqa: E731
    samples_N = np.concatenate([quiet_N(1.0), said_N, quiet_N(1.2), said_N, quiet_N(1.0)])
    return np.round(samples_N * 32768).clip(-32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def sites(tmp_path_factory, runtime, both):
    """Three sites: of the stored bundle, of one with a grammar that needs whole recordings, and a damaged one."""
    folder = tmp_path_factory.mktemp("sites")
    write_site(BUNDLE, folder / "stream", runtime=runtime)
    bundle = with_grammar(folder / "bundle", both, stream=None, latency_seconds=None, rejection={"threshold": -0.5})
    write_site(bundle, folder / "whole", runtime=runtime)
    shutil.copytree(folder / "stream", folder / "damaged")
    path = folder / "damaged" / "golden" / "speech.log_probs.none.f32"
    values = np.fromfile(path, "<f4")
    (values * 1.1).tofile(path)
    return folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory, spoken):
    path = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    soundfile.write(path, spoken, RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(recording, runtime):
    """A browser whose microphone is a recording, and to which a name beside localhost is this machine too."""
    browser = Browser(
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}", "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
    )  # fmt: skip
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def address(sites):
    with served(sites) as address:
        yield address


def utterances(browser):
    """The page's utterances, the earliest first: text, intent, slots."""
    found = browser.evaluate(
        "[...document.querySelectorAll('#ended li[data-text]')]"
        ".map(({dataset}) => [dataset.text, dataset.intent, dataset.slots])"
    )
    return [(text, intent, json.loads(slots)) for text, intent, slots in reversed(found)]


def listen(browser, expected):
    """Starts the microphone, waits until these are the last utterances, and stops it; gives the texts on the way.

    The recording comes again and again: a busy machine may lose some of the first time.
    """
    browser.evaluate("""
        window.seen = new Set();
        new MutationObserver(() => seen.add(document.getElementById('text').textContent.trim()))
            .observe(document.getElementById('text'), {childList: true});
        document.getElementById('microphone').click()""")
    wanted = json.dumps(expected[::-1])
    browser.wait_for(
        "JSON.stringify([...document.querySelectorAll('#ended li[data-text]')].map(({dataset}) => dataset.text)"
        f".slice(0, {len(expected)})) === JSON.stringify({wanted})"
    )
    browser.evaluate("document.getElementById('microphone').click()")
    browser.wait_for_state("ready")
    return browser.evaluate("[...seen]")


def assert_no_fault(browser):
    assert not [
        line for line in browser.console if line.startswith("exception") or "Refused" in line or "violates" in line
    ]


def test_a_browser_computes_the_golden_vectors(browser, address):
    browser.open(f"{address}/stream/check.html")
    assert browser.wait_for_state("done", "failed") == "done"
    results = json.loads(browser.evaluate("document.body.dataset.results"))
    assert [result["what"] for result in results if result["name"] == "speech"] == [
        "log-mel of the picture", "greedy decoding", "beam of 16", "log-probabilities, all at once",
        "log-probabilities, 128 samples at a time",
    ]  # fmt: skip
    assert len(results) == 10 and all(result["passed"] for result in results)
    off = {result["what"]: result["difference"] for result in results}
    assert max(off.values()) < 1e-4
    assert browser.evaluate("document.getElementById('status').textContent").startswith("All 10 checks passed")
    assert_no_fault(browser)


@pytest.mark.slow  # another load of the runtime, for what a look at the page's code shows too
def test_the_self_check_names_what_differs(browser, address):
    browser.open(f"{address}/damaged/check.html")
    browser.wait_for_state("done", "failed")
    results = json.loads(browser.evaluate("document.body.dataset.results"))
    assert {(result["name"], result["what"].split(",")[0]) for result in results if not result["passed"]} >= {
        ("speech", "log-probabilities")
    }
    assert "checks failed" in browser.evaluate("document.getElementById('status').textContent")


def test_the_microphone_gives_pythons_utterances_and_a_recording_pythons_words(
    browser, address, recording, spoken, tmp_path
):
    recognizer = Recognizer(BUNDLE)
    stream = recognizer.stream(RATE, endpoint=EndpointRule())
    expected = [hypothesis.text for hypothesis in stream.feed(spoken).ended]
    assert expected == ["ab", "ab"]
    browser.open(f"{address}/stream/index.html")
    browser.wait_for_state("ready")
    assert browser.evaluate("document.getElementById('constrained-choice').hidden")
    assert "a" in listen(browser, expected)  # the first letter came before the second
    assert browser.evaluate("document.getElementById('rtf').textContent") != "–"
    assert browser.evaluate("document.getElementById('delay').textContent").endswith("ms")

    browser.give_file("#file", recording)
    browser.wait_for("document.getElementById('status').textContent.startsWith('spoken.wav: ')")
    browser.wait_for_state("ready")
    hypothesis = recognizer.transcribe(spoken, RATE)
    assert browser.evaluate("document.querySelector('#ended li').dataset.text") == hypothesis.text == "abab"
    times = browser.evaluate(
        "[...document.querySelectorAll('#ended li:first-child .words small')].map(e => e.textContent)"
    )
    (word,) = hypothesis.words
    assert times == [
        f"{word.start_seconds:.2f}–{word.end_seconds:.2f}\u202fs · {word.confidence:.0%}".replace("%", "\u202f%")
    ]
    assert_no_fault(browser)

    (tmp_path / "notes.txt").write_text("no sound")
    browser.give_file("#file", tmp_path / "notes.txt")
    browser.wait_for(
        "document.getElementById('status').textContent.startsWith('notes.txt: this browser cannot decode it')"
    )
    browser.wait_for_state("ready")


def test_whole_recordings_and_a_grammar_give_intents_and_slots(browser, address, recording):
    browser.open(f"{address}/whole/check.html")
    assert browser.wait_for_state("done", "failed") == "done"
    results = json.loads(browser.evaluate("document.body.dataset.results"))
    assert len(results) == 10 and all(result["passed"] for result in results)
    assert [result["text"] for result in results if result["what"] == "beam within the grammar"][-1] == "b → One {}"
    browser.open(f"{address}/whole/index.html")
    browser.wait_for_state("ready")
    assert browser.evaluate("document.getElementById('constrained').checked")
    listen(browser, ["ab", "ab"])
    assert utterances(browser)[-2:] == [("ab", "Both", {"how": "joined", "first": 1, "last": "b"})] * 2
    browser.give_file("#file", recording)  # two sentences in one recording, of which the grammar allows one
    browser.wait_for("document.getElementById('status').textContent.startsWith('spoken.wav: ')")
    assert browser.evaluate("document.querySelector('#ended li .refused').textContent").startswith("not accepted")
    assert_no_fault(browser)


def test_a_page_on_http_says_why_it_has_no_microphone(browser, address):
    browser.open(f"{address.replace('127.0.0.1', 'elsewhere.test')}/stream/index.html")
    reason = "Browsers give a page the microphone only over https or from localhost."
    browser.wait_for(f"document.getElementById('status')?.textContent.startsWith({json.dumps(reason)})")
    assert browser.evaluate("document.getElementById('microphone').disabled")


def test_a_page_opened_as_a_file_says_how_to_serve_it(browser, sites):
    browser.open((sites / "stream" / "index.html").as_uri())
    assert browser.wait_for("document.getElementById('status')?.textContent.includes('python -m http.server')")


@pytest.mark.slow  # records for seconds, in a page of its own
def test_the_studio_saves_a_file_that_adapt_takes(browser, address, both, tmp_path):
    browser.ask("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}, session=None)
    browser.open(f"{address}/whole/studio.html")
    browser.wait_for_state("ready")
    assert browser.evaluate("document.getElementById('save').disabled")
    number = choose_prompts(both, 30).index("ab") + 1
    for _ in range(number - 1):
        browser.evaluate("document.getElementById('skip').click()")
    assert browser.evaluate("document.getElementById('prompt').textContent") == "ab"
    browser.evaluate("document.getElementById('record').click()")
    browser.wait_for_state("listening")
    time.sleep(2.2)
    browser.evaluate("document.getElementById('record').click()")
    browser.wait_for_state("ready")
    browser.evaluate("document.getElementById('keep').hidden || document.getElementById('keep').click()")
    assert browser.evaluate("document.getElementById('kept').children.length") == 1
    browser.evaluate("document.getElementById('speaker').value = 'Jo Doe'; document.getElementById('save').click()")
    browser.wait_for("document.getElementById('saved').textContent.startsWith('Jo-Doe.zip is saved.')")
    deadline = time.monotonic() + 20
    while not (tmp_path / "Jo-Doe.zip").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    said = browser.evaluate("document.getElementById('saved').textContent")
    assert "needs 4 sentences or more: read 3 more" in said and "--recordings Jo-Doe.zip --run NEW" in said
    with zipfile.ZipFile(tmp_path / "Jo-Doe.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    with unpacked(tmp_path / "Jo-Doe.zip", tmp_path / "run" / "recordings") as found:  # as `adapt` does
        (zipped,) = read_manifest(found / RECORDINGS_NAME)
    (utterance,) = read_manifest(tmp_path / "Jo-Doe" / RECORDINGS_NAME)
    assert dataclasses.replace(zipped, audio_filepath=utterance.audio_filepath) == utterance
    assert (utterance.text, utterance.speaker) == ("ab", "Jo Doe")
    assert utterance.extra == {"prompt": number, "intent": "Both", "slots": {"how": "joined", "first": 1, "last": "b"}}
    samples_N, rate = soundfile.read(utterance.audio_filepath)
    assert rate == RATE and len(samples_N) / rate == pytest.approx(utterance.duration) and np.abs(samples_N).max() > 0.1
    # `record` goes on in it: the grammar and the prompts are its own.
    prompts = RecordingFolder(tmp_path / "Jo-Doe").open(both, num_prompts=30)
    assert prompts[number - 1] == "ab" and RecordingFolder(tmp_path / "Jo-Doe").recorded().keys() == {number}
    assert_no_fault(browser)


@pytest.mark.slow  # another load of the runtime
def test_a_bundle_that_listens_for_keywords_lists_them_with_their_scores(
    browser, address, sites, runtime, spoken, tmp_path
):
    bundle = with_keywords(tmp_path / "bundle")
    write_site(bundle, sites / "keywords", runtime=runtime)
    browser.open(f"{address}/keywords/check.html")
    assert browser.wait_for_state("done", "failed") == "done"
    results = json.loads(browser.evaluate("document.body.dataset.results"))
    assert [result["passed"] for result in results if result["what"] == "keywords"] == [True, True]
    browser.open(f"{address}/keywords/index.html")
    browser.wait_for_state("ready")
    assert browser.evaluate("document.getElementById('keywords').textContent").startswith(
        "It listens for nothing but Abbey (from a score of 0.50)"
    )
    soundfile.write(tmp_path / "spoken.wav", spoken, RATE, subtype="PCM_16")
    browser.give_file("#file", tmp_path / "spoken.wav")
    browser.wait_for("document.getElementById('status').textContent.startsWith('spoken.wav: ')")
    stream = Recognizer(bundle).keyword_stream(RATE)
    expected = [*stream.feed(spoken), *stream.finish()]
    found = browser.evaluate("[...document.querySelectorAll('#ended li')].map((each) => [each.dataset.keyword, "
                             "Number(each.dataset.score)])")[::-1]  # fmt: skip
    assert [keyword for keyword, _ in found] == [each.keyword for each in expected] == ["Abbey", "Abbey"]
    np.testing.assert_allclose([score for _, score in found], [each.score for each in expected], rtol=0.02)
    browser.evaluate("document.getElementById('microphone').click()")
    browser.wait_for("document.querySelectorAll('#ended li[data-keyword]').length >= 3")
    browser.evaluate("document.getElementById('microphone').click()")
    browser.wait_for_state("ready")
    assert_no_fault(browser)
