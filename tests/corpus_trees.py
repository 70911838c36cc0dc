"""Small copies of public corpora in their exact layouts, of sounds that are made: `TREES` by the corpora's names."""

import gzip
import json
from pathlib import Path

import numpy as np
import soundfile

SENTENCES = ("NINE GREEN APPLES", "SHE READ A LETTER", "THE RAIN STOPPED", "WE WALKED HOME LATE")


def write_sound(path, text, *, rate=16000, seconds=None, channels=1, **form):
    """A sound as long as its text needs, another for each file; gives its seconds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = rng_of(path, text)
    count = int(rate * (seconds or 0.3 + 0.06 * len(text)))
    samples = 0.1 * rng.standard_normal((count, channels)) * np.sin(np.linspace(0, 20, count))[:, None] ** 2
    soundfile.write(path, samples, rate, **form)
    return count / rate


def write_lines(path, lines):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def rng_of(path, text=""):
    """Another one for each file of a tree, wherever the tree is."""
    return np.random.default_rng(list("/".join([*path.parts[-3:], text]).encode()))


def librispeech(folder, parts=("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")):
    home = folder / "LibriSpeech"
    people = ["; comments", ";ID  |SEX| SUBSET           |MINUTES| NAME"]
    for number, part in enumerate(parts):
        for speaker in (100 + 2 * number, 101 + 2 * number):
            people.append(f"{speaker}  | {'FM'[speaker % 2]} | {part}  | 25.03 | A reader | or two")
            place = home / part / str(speaker) / "7"
            names = [f"{speaker}-7-{utterance:04d}" for utterance in range(3)]
            for name, text in zip(names, SENTENCES, strict=False):
                write_sound(place / f"{name}.flac", text)
            write_lines(place / f"{speaker}-7.trans.txt", map(" ".join, zip(names, SENTENCES, strict=False)))
    write_lines(home / "SPEAKERS.TXT", people)


def mini_librispeech(folder):
    librispeech(folder, ("train-clean-5", "dev-clean-2"))


#: The columns of Common Voice's tables before and since version 17.
OLD = "client_id path sentence up_votes down_votes age gender accent locale segment"
NEW = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale segment"
)


def common_voice(folder, *, columns=NEW, version="cv-corpus-21.0-2025-03-14", language="de"):
    place = folder / version / language
    tables = {
        "train": [("a", 1, 'Er sagte "Nein" und ging.'), ("a", 2, "Grüße aus Köln"), ("b", 3, "Es regnet")],
        "dev": [("c", 4, "Grüße aus Essen")],
        "test": [("d", 5, "Es regnet gut")],
    }
    others = [
        ("a", 6, "Noch ein Satz"),
        ("c", 7, "Ein Satz von dev"),
        ("e", 8, "es  regnet gut"),
        ("f", 9, "Umstritten"),
    ]
    tables["validated"] = [*(row for rows in tables.values() for row in rows), *others]
    for table, rows in tables.items():
        lines = ["\t".join(columns.split())]
        for person, number, text in rows:
            cells = {
                "client_id": person * 128, "path": f"common_voice_{language}_{number}.mp3",
                "sentence_id": f"{number:064x}", "sentence": text, "up_votes": "2",
                "down_votes": "1" if number == 9 else "0", "age": "twenties",
                "accent": "Hessen", "accents": "Hessen", "locale": language,
            }  # fmt: skip
            lines.append("\t".join(cells.get(column, "") for column in columns.split()))
            write_sound(place / "clips" / cells["path"], text, rate=32000)
        write_lines(place / f"{table}.tsv", lines)


WORDS = ("yes", "no", "up", "left", "bed", "wow")


def speech_commands(folder, *, test_archive=False):
    home = folder / "speech_commands_v0.02"
    lists = {"validation_list.txt": [], "testing_list.txt": []}
    for word in WORDS:
        for number, speaker in enumerate(("0a7c2a8d", "1b88bf70", "cc6ee39b", "d0faf7e4")):
            name = f"{word}/{speaker}_nohash_0.wav"
            write_sound(home / name, word, seconds=1.0)
            if number > 1:
                lists[tuple(lists)[number - 2]].append(name)
    for name, lines in lists.items():
        write_lines(home / name, lines)
    for name in ("running_tap", "white_noise"):
        write_sound(home / "_background_noise_" / f"{name}.wav", name, seconds=12.0)
    write_lines(home / "_background_noise_" / "README.md", ["noise"])
    if test_archive:
        home = folder / "speech_commands_test_set_v0.02"
        for word in WORDS[:4]:
            write_sound(home / word / "d0faf7e4_nohash_0.wav", word, seconds=1.0)
        write_sound(home / "_unknown_" / "bed_d0faf7e4_nohash_0.wav", "bed", seconds=1.0)
        write_sound(home / "_silence_" / "white_noise_0.wav", "silence", seconds=1.0)


def an4(folder, *, raw=True):
    home = folder / "an4"
    for table, place, people in (
        ("an4_train", "an4_clstk", ("fash", "mdcs", "mjwl")),
        ("an4_test", "an4test_clstk", ("fcaw",)),
    ):
        names, lines = [], []
        for person in people:
            for number, text in enumerate(("YES", "GO NORTH", "R U B O U T")):
                name = f"an{number + 251}-{person}-b"
                names.append(f"{place}/{person}/{name}")
                lines.append(f"<s> {text} </s> ({name})" if table == "an4_train" else f"{text} ({name})")
                path = home / "wav" / f"{names[-1]}.{'raw' if raw else 'sph'}"
                if raw:
                    write_sound(path, text, subtype="PCM_16", endian="BIG", format="RAW")
                else:
                    write_sound(path, text, subtype="PCM_16", format="NIST")
        write_lines(home / "etc" / f"{table}.fileids", names)
        write_lines(home / "etc" / f"{table}.transcription", lines)


def yesno(folder):
    for number in range(12):
        name = "_".join(f"{number * 21 % 256:08b}")
        write_sound(folder / "waves_yesno" / f"{name}.wav", name, rate=8000, seconds=2.0)
    write_lines(folder / "waves_yesno" / "README", ["sixty recordings"])


def tedlium3(folder):
    home = folder / "TEDLIUM_release-3" / "legacy"
    for split, talk in (("train", "AlGore_2009"), ("dev", "DanBarber_2010"), ("test", "GaryFlake_2010")):
        write_sound(home / split / "sph" / f"{talk}.sph", talk, seconds=12.0, format="NIST", subtype="PCM_16")
        lines = [
            ";; a comment",
            f"{talk} 1 {talk} 0.00 1.50 <o,f0,unknown> ignore_time_segment_in_scoring",
            f"{talk} 1 {talk} 1.50 4.25 <o,f0,male> and it 's(2) {{NOISE}} a <sil> gift ({talk}-0001)",
            f"{talk} 1 {talk} 4.25 7.00 <F0_F> we <unk> that",
            f"{talk} 1 inter_segment_gap 7.00 7.50 <o,f0,unknown> ",
            f"{talk} 1 {talk}_2 7.50 11.75 <o,f0,female> so that we don 't forget",
        ]
        write_lines(home / split / "stm" / f"{talk}.stm", lines)


def vctk(folder):
    people = ["ID  AGE  GENDER  ACCENTS  REGION COMMENTS"]
    for number, speaker in enumerate(("p225", "p226", "p227", "p228", "s5")):
        people.append(f"{speaker}  {20 + number}  {'FM'[number % 2]}    English    Southern  England (mic2 files lost)")
        for sentence in (1, 2):
            name = f"{speaker}_{sentence:03d}"
            for mic in (1, 2) if speaker != "s5" else (1,):
                path = folder / "wav48_silence_trimmed" / speaker / f"{name}_mic{mic}.flac"
                write_sound(path, SENTENCES[sentence], rate=48000)
            write_lines(folder / "txt" / speaker / f"{name}.txt", [SENTENCES[sentence].capitalize() + "."])
    write_sound(folder / "wav48_silence_trimmed" / "p315" / "p315_001_mic1.flac", "lost", rate=48000)
    write_lines(folder / "speaker-info.txt", people)
    write_lines(folder / "wav48_silence_trimmed" / "log.txt", ["trimmed"])


def ljspeech(folder):
    home = folder / "LJSpeech-1.1"
    lines = []
    for chapter in range(1, 6):
        for number in (1, 2):
            name = f"LJ{chapter:03d}-{number:04d}"
            write_sound(home / "wavs" / f"{name}.wav", "in eighteen twelve", rate=22050)
            lines.append(f'{name}|"In 1812," said no. {number}|"In eighteen twelve," said number {number}')
    write_lines(home / "metadata.csv", lines)
    write_lines(home / "README", ["LJ Speech"])


def audiomnist(folder):
    home = folder / "AudioMNIST" / "data"
    people = {}
    for speaker in range(1, 6):
        people[f"{speaker:02d}"] = {
            "accent": "german", "age": 30 if speaker == 1 else "25", "gender": "male", "native speaker": "no",
            "origin": "Europe, Germany, Berlin", "recordingdate": "17-06-22-11-04-28", "recordingroom": "Kino",
        }  # fmt: skip
        for digit in (0, 7):
            write_sound(home / f"{speaker:02d}" / f"{digit}_{speaker:02d}_0.wav", "seven", rate=48000)
    write_lines(home / "audioMNIST_meta.txt", [json.dumps(people)])


def fleurs(folder):
    home = folder / "data" / "de_de"
    for split, numbers in (("train", (7, 7, 9)), ("dev", (11,)), ("test", (13,))):
        lines = []
        for place, number in enumerate(numbers):
            name = f"{number}{place}00118.wav"
            text = f"satz nummer {place} für alle"
            seconds = write_sound(home / "audio" / split / name, text)
            spelled = " ".join(text.replace(" ", "|")) + " |"
            cells = (number, name, f"„{text.capitalize()}“.", text, spelled, round(seconds * 16000), "FEMALE")
            lines.append("\t".join(map(str, cells)))
        write_lines(home / f"{split}.tsv", lines)


def mls(folder):
    home = folder / "mls_polish_opus"
    for split, speaker in (("train", 1889), ("dev", 2000), ("test", 2100)):
        lines = []
        for number in range(3):
            name = f"{speaker}_1575_{number:06d}"
            text = ("ze śmiechem", "dom nad rzeką", "to wszystko")[number]
            path = home / split / "audio" / str(speaker) / "1575" / f"{name}.opus"
            write_sound(path, text, format="OGG", subtype="OPUS")
            lines.append(f"{name}\t{text}")
        write_lines(home / split / "transcripts.txt", lines)
    limited = home / "train" / "limited_supervision"
    write_lines(limited / "9hr" / "handles.txt", ["1889_1575_000000", "1889_1575_000002"])
    for part in range(6):
        write_lines(limited / "1hr" / str(part) / "handles.txt", [f"1889_1575_{part % 2:06d}"])
    write_lines(home / "metainfo.txt", [" SPEAKER   |   GENDER   | PARTITION"])


def voxpopuli(folder):
    lines = [
        "session_id|id_|original_text|normalized_text|speaker_id|split|gender|is_gold_transcript|accent|start_time|"
        "end_time|vad"
    ]
    for split, session in (
        ("train", "20090112-0900-PLENARY-3"),
        ("dev", "20100113-0900-PLENARY-4"),
        ("test", "20110114-0900-PLENARY-5"),
    ):
        path = folder / "raw_audios" / "original" / session[:4] / f"{session}_original.ogg"
        write_sound(path, session, seconds=9.0, format="OGG", subtype="VORBIS")
        for number, (start, end, text) in enumerate(((0.5, 3.25, "thank you"), (4.0, 7.5, "the vote is closed"))):
            lines.append(
                f"{session}|en_{number}|{text.capitalize()}.|{text}|{1000 + number}|{split}|female|True|None|"
                f"{start}|{end}|[({start}, {end})]"
            )
    lines.append(f"{session}|en_9|Unused.|unused|none|test_other|male|True|None|7.5|8.5|[(7.5, 8.5)]")
    with gzip.open(folder / "asr_en.tsv.gz", "wt", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")


def voxpopuli_cut(folder):
    home = folder / "transcribed_data" / "en"
    for split in ("train", "dev", "test"):
        lines = ["\t".join("id raw_text normalized_text speaker_id split gender is_gold_transcript accent".split())]  # noqa: SIM905
        name = f"20090112-0900-PLENARY-3-en_{split}"
        write_sound(home / "2009" / f"{name}.ogg", "thank you", format="OGG", subtype="VORBIS")
        lines.append("\t".join((name, "Thank you.", "thank you", "1000", split, "female", "True", "None")))
        write_lines(home / f"asr_{split}.tsv", lines)


def timit(folder):
    for part, region, speaker in (
        ("TRAIN", "DR1", "FCJF0"), ("TEST", "DR1", "FAKS0"), ("TEST", "DR1", "MDAB0"), ("TEST", "DR2", "MABW0"),
    ):  # fmt: skip
        place = folder / "timit" / "TIMIT" / part / region / speaker
        for name, text in (
            ("SA1", "She had your suit."),
            ("SX37", "Critical equipment."),
            ("SI648", "A sailboat may."),
        ):
            seconds = write_sound(place / f"{name}.WAV", text, format="NIST", subtype="PCM_16")
            write_lines(place / f"{name}.TXT", [f"0 {round(seconds * 16000)} {text}"])
            phones = "h# ix tcl kcl k r ix q dx ax-h zh ux epi h#".split()  # noqa: SIM905
            write_lines(place / f"{name}.PHN", [f"{k * 900} {(k + 1) * 900} {phone}" for k, phone in enumerate(phones)])


def musan(folder):
    for kind, collection in (
        ("noise", "free-sound"),
        ("noise", "sound-bible"),
        ("music", "fma"),
        ("speech", "librivox"),
    ):
        place = folder / "musan" / kind / collection
        write_sound(place / f"{kind}-{collection}-0000.wav", kind, seconds=3.0)
        write_lines(place / "LICENSE", ["CC0"])
    write_lines(folder / "musan" / "README", ["MUSAN"])


def rirs_noises(folder):
    home = folder / "RIRS_NOISES"
    lines = []
    for room in ("Room001", "Room002"):
        name = f"simulated_rirs/smallroom/{room}/{room}-00001.wav"
        write_response(home / name)
        lines.append(f"--rir-id small-{room}-00001 --room-id small-{room} RIRS_NOISES/{name}")
    write_lines(home / "simulated_rirs" / "smallroom" / "rir_list", lines)
    real = "real_rirs_isotropic_noises"
    write_response(home / real / "RVB2014_type1_rir_largeroom1_near_angla.wav", channels=3)
    write_response(home / real / "air_type1_air_binaural_aula.wav")
    write_lines(
        home / real / "rir_list",
        [
            f"--rir-id 00001 --room-id large RIRS_NOISES/{real}/RVB2014_type1_rir_largeroom1_near_angla.wav",
            f"--rir-id 00002 --room-id air_aula RIRS_NOISES/{real}/air_type1_air_binaural_aula.wav",
        ],
    )
    noise = "RVB2014_type1_noise_largeroom1_1.wav"
    write_sound(home / real / noise, noise, seconds=2.0, channels=2)
    write_lines(
        home / real / "noise_list",
        [f"--noise-id 00001 --noise-type isotropic --room-linkage RVB2014_largeroom1 RIRS_NOISES/{real}/{noise}"],
    )
    points = "pointsource_noises"
    write_sound(home / points / "noise-free-sound-0000.wav", "noise", seconds=2.0)
    write_lines(
        home / points / "noise_list",
        [f"--noise-id noise-free-sound-0000 --noise-type point-source RIRS_NOISES/{points}/noise-free-sound-0000.wav"],
    )


def write_response(path, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = rng_of(path)
    decay = np.exp(-np.arange(4000) / 400)[:, None]
    samples = 0.1 * rng.standard_normal((4000, channels)) * decay
    samples[10] = 0.9
    soundfile.write(path, samples, 16000)


TREES = {
    made.__name__: made
    for made in (
        librispeech, mini_librispeech, common_voice, speech_commands, an4, yesno, tedlium3, vctk, ljspeech, audiomnist,
        fleurs, mls, voxpopuli, timit, musan, rirs_noises,
    )
}  # fmt: skip
