"""Measures how well card numbers that are keyed as tones are found, and how often by mistake.

    python benchmarks/keyed.py [FOLDER ...] [--cards 48]

First, random card numbers are keyed, each in PCMU and in one of the ways of `ways`: the share that
is silenced. Then digits are keyed before a pause that erases half a second: how many stay, with
`digits_near_pause` at 0 and at its default.

Then sound without keys is read: the sound files in each folder and below, and README.md in the
voices of espeak-ng. The first of these must be speech, because it is what covers keys. Suitable
files are in the Debian packages asterisk-core-sounds-*-wav (people in five languages),
asterisk-moh-opsound-wav and domino-chain-music (music); `dpkg -x` unpacks them. There is a pause
every ten seconds, so any digit that is found by mistake is silenced. The last line is one JSON
object.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from _common import found, machine
from _sound import encoded
from numpy.typing import NDArray

from galwad.settings.node import RecordingSection
from recording.audio.captured_card import CardFilter, is_card_number
from recording.audio.codecs import NARROW, PayloadCodec, Samples, decoder_for
from recording.audio.dtmf import DIGITS, DtmfDetector

Sound = NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
NEAR_S: float = RecordingSection.model_fields["digits_near_pause"].default
VOICES = ("en-gb", "en-us+f5", "cy", "cy+m7", "en-gb-x-rp", "en-gb-scotland+f2")
LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477)
PLACES = (3, 1), *((row, column) for row in range(3) for column in range(3))
"""The row and column of each digit's tones."""
LEVEL_DB = -16.0
"""The level of each of the two tones, against full scale."""
dice = np.random.default_rng(1)


def silence(seconds: float) -> Sound:
    """Return silence."""
    return np.zeros(round(seconds * NARROW))


def keyed(number: str, ms: int = 90, pause_ms: int = 90, level_db: float = LEVEL_DB) -> Sound:
    """Return the tones of a number."""
    at = np.arange(ms * NARROW // 1000) * 2 * np.pi / NARROW
    volume = 32_768 * 10 ** (level_db / 20)
    parts = []
    for digit in map(int, number):
        row, column = PLACES[digit]
        tone = volume * (np.sin(LOW[row] * at) + np.sin(HIGH[column] * at))
        parts += [tone, silence(pause_ms / 1000)]
    return np.concatenate(parts)


def random_card() -> str:
    """Return a number of 16 digits that could be a card's."""
    digits = [4, *dice.integers(0, 10, 14)]
    return next(
        "".join(map(str, [*digits, last]))
        for last in range(10)
        if is_card_number(bytes([*digits, last]))
    )


def level(sound: Sound) -> float:
    """Return the root mean square of a sound; pauses do not count."""
    loud = sound[np.abs(sound) > np.abs(sound).max() / 100]
    return float(np.sqrt(np.mean(loud**2)))


def covered(number: str, other: Sound, db: float) -> Sound:
    """Return a number with another sound, of the level 1, that is made `db` weaker."""
    tones = keyed(number)
    at = dice.integers(0, len(other) - len(tones))
    covering: Sound = other[at : at + len(tones)] * level(tones) / 10 ** (db / 20)
    return tones + covering


def grouped(number: str, pause_s: float) -> Sound:
    """Return a number in groups of four."""
    groups = (number[at : at + 4] for at in range(0, len(number), 4))
    return np.concatenate([part for group in groups for part in (keyed(group), silence(pause_s))])


def holed(number: str, share: float) -> Sound:
    """Return a number from which packets of 20 ms are lost."""
    tones = keyed(number)
    kept = dice.random(len(tones) // 160 + 1) >= share
    whole: Sound = tones * np.repeat(kept, 160)[: len(tones)]
    return whole


def ways(speech: Sound) -> dict[str, Callable[[str], Sound]]:
    """Return the ways to key a number, by name. `speech` is that of the same party."""
    speech, noise = speech / level(speech), dice.normal(0, 1, 60 * NARROW)
    return {
        "tones and pauses of 90 ms": keyed,
        **{f"{ms}/{ms} ms": partial(keyed, ms=ms, pause_ms=ms) for ms in (30, 25, 20)},
        **{f"white noise {db} dB below": partial(covered, other=noise, db=db) for db in (6, 3, 0)},
        **{
            f"own speech {db} dB below": partial(covered, other=speech, db=db)
            for db in (10, 6, 3, 0)
        },
        **{f"{db} dBFS": partial(keyed, level_db=db) for db in (-53, -60, -64)},
        **{f"groups {s} s apart": partial(grouped, pause_s=s) for s in (11, 29, 31)},
        **{
            f"{share:.0%} of packets lost": partial(holed, share=share)
            for share in (0.01, 0.03, 0.05)
        },
    }


def decoded(sound: Sound) -> Samples:
    """Return a sound after PCMU."""
    decoder = decoder_for(PayloadCodec("PCMU", NARROW))
    if decoder is None:
        raise SystemExit("no decoder")
    return decoder.decode(encoded(np.clip(sound, -32_000, 32_000)))


def filtered(samples: Samples, near_s: float, edges: dict[int, bool]) -> tuple[CardFilter, Samples]:
    """Return a filter to which a party's samples were given, and what it has left of them.

    `edges` has the positions of edges of pauses; true if an erased stretch begins there.
    """
    cards, left = CardFilter(NARROW, near_s), [np.zeros((0, 2), np.int16)]
    for at in range(0, len(samples), 4 * NARROW):
        for edge, begins_erased in edges.items():
            if at <= edge < at + 4 * NARROW:
                cards.mark_pause_edge(edge, begins_erased=begins_erased)
        part = samples[at : at + 4 * NARROW]
        cards.feed(np.stack([part, np.zeros_like(part)], axis=1))
        left += cards.blocks()
    cards.finish()
    return cards, np.concatenate([*left, *cards.blocks()])[:, 0]


def digits_in(samples: Samples) -> int:
    """Return how many digits are heard in a sound."""
    detector = DtmfDetector(NARROW)
    presses = detector.feed(samples) + detector.finish()
    return sum(press.key < DIGITS and not press.unsure for press in presses)


def before_a_pause(digits: int, delay_s: float, near_s: float) -> int:
    """Return how many digits stay that are keyed before a pause.

    The pause begins `delay_s` after the last digit's tone, and erases half a second.
    """
    tones = np.concatenate([silence(2), keyed(random_card()[:digits], 100, 100)])
    edge = round(len(tones) - 0.1 * NARROW + (delay_s - 0.5) * NARROW)
    sound = np.concatenate([tones, silence(30)])
    sound[edge:] = 0
    edges = {edge: True, edge + NARROW // 2: False}
    return digits_in(filtered(decoded(sound), near_s, edges)[1])


def narrow(file: Path | None, data: bytes = b"") -> Samples:
    """Return a sound file, or a WAV file's `data`, at 8 kHz with one channel."""
    raw = ("-t", "raw", "-r", str(NARROW), "-e", "signed", "-b", "16", "-c", "1", "-")
    source = ("-t", "wav", "-") if file is None else (str(file),)
    command = ["sox", "-D", "-V1", *source, *raw]
    made = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    return np.frombuffer(made, np.int16)


def spoken() -> Iterator[tuple[str, Samples]]:
    """Yield README.md in each voice, if the machine has espeak-ng."""
    program = found("espeak-ng")
    text = (ROOT / "README.md").read_bytes()
    for voice in VOICES if program else ():
        command = [str(program), "-v", voice, "--stdin", "--stdout"]
        made = subprocess.run(command, input=text, check=True, capture_output=True).stdout
        yield f"espeak-ng {voice}", narrow(None, made)


def read(folder: Path) -> Samples:
    """Return all sound files of a folder and below, one after another."""
    files = sorted(each for each in folder.rglob("*") if each.suffix in {".wav", ".ogg", ".flac"})
    if not files:
        raise SystemExit(f"no sound files in {folder}")
    return np.concatenate([narrow(each) for each in files])


def by_mistake(samples: Samples) -> dict[str, float]:
    """Return what is silenced in a sound without keys, with a pause every ten seconds."""
    edges = dict.fromkeys(range(0, len(samples), 10 * NARROW), True)
    begun = time.process_time()
    cards, _ = filtered(samples, NEAR_S, edges)
    cpu_s = time.process_time() - begun
    silenced = sum(end - start for start, end in cards.near_pause) / NARROW
    return {
        "minutes": len(samples) / NARROW / 60,
        "digits": digits_in(samples),
        "card_numbers": len(cards.captured),
        "near_pauses": len(cards.near_pause),
        "silenced_s": silenced,
        "cpu_s": cpu_s,
    }


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description="How well keyed digits are found.")
    parser.add_argument("folders", nargs="*", type=Path, help="sound files without keys")
    parser.add_argument("--cards", type=int, default=48, help="how many numbers are keyed each way")
    options = parser.parse_args()
    sounds = [*((folder.name, read(folder)) for folder in options.folders), *spoken()]
    if not sounds:
        raise SystemExit("neither espeak-ng nor a folder of sound files: no speech")
    caught = {}
    for name, way in ways(sounds[0][1].astype(np.float64)).items():
        cards = (random_card() for _ in range(options.cards))
        sent = (np.concatenate([silence(1), way(card), silence(1)]) for card in cards)
        caught[name] = sum(bool(filtered(decoded(each), 0, {})[0].captured) for each in sent)
        print(f"{name:28} {caught[name]} of {options.cards} numbers silenced")
    stay = {}
    for near_s in (0.0, NEAR_S):
        for delay_s in (0.0, 5.0, 9.9):
            row = [before_a_pause(digits, delay_s, near_s) for digits in range(4, 16)]
            stay[f"{near_s:g} {delay_s:g}"] = row
            print(f"digits_near_pause {near_s:g}, pause after {delay_s} s: of 4 to 15 stay {row}")
    mistakes = {}
    for name, samples in sounds:
        row_of = mistakes[name] = by_mistake(samples)
        print(name, {key: round(value, 2) for key, value in row_of.items()})
    total = {key: sum(each[key] for each in mistakes.values()) for key in row_of}
    print(json.dumps({**machine(), "caught": caught, "stay": stay, "mistakes": total}))


if __name__ == "__main__":
    main()
