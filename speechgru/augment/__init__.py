"""What training does to samples and to spectrograms: one stage object each, in the order of `STAGES`.

To add one: a module with its stage (`stage.SampleStage`, `stage.LengthStage` or `stage.FeatureStage`) and its entry
here. Its fields become keys of the section `augment`; training, `listen`, and the refusal of stages that precomputed
features cannot have follow from the stage itself. Importing this room loads no TensorFlow, because the configuration is
made of it: a stage imports what it computes with when it is applied.

A stage describes how much it changes:

>>> for stage in (
...     Speed(speed_share=0.1),
...     Prosody(prosody_probability=0.5),
...     Voice(voice_probability=0.5),
...     Silence(silence_seconds=0.1),
...     Reverberation(reverb_probability=0.3),
...     Noise(noise_probability=0.2, noise_kinds=("white", "babble")),
...     Equalizer(equalizer_db=3.0),
...     Clipping(clipping_probability=0.1),
...     Transmission(transmission_probability=0.1),
...     Gain(gain_db=6.0),
...     FrequencyWarp(frequency_warp_share=0.1),
...     TimeMasks(time_masks=2, time_mask_share=0.05),
...     FrequencyMasks(frequency_masks=1, frequency_mask_share=0.2),
... ):
...     print(f"{stage.title}: {stage.extent}")
Speed: up to 10 % faster or slower
Prosody: 50 % of utterances, pitch up to 5 semitones up or down and 1.5 inside, pace up to 15 %, jitter up to 1 %
Voice: 50 % of utterances, formants up to 20 % up or down and 6 % each, tilt up to 3 dB an octave, up to 40 % breath
Silence: up to 0.1 s before and after
Rooms: 30 % of utterances, 0.1 to 0.6 s, direct sound 0 to 12 dB above the rest
Noise: 20 % of utterances, white, babble, 10 to 40 dB below the speech
Timbre: frequencies up to 3 dB louder or softer
Clipping: 10 % of utterances, up to 12 dB below their peak
Transmission: 10 % of utterances, telephone, mu-law
Level: up to 6 dB up or down
Warping: up to 10 % up or down
Time masks: 2, up to 5 % of the utterance each
Frequency masks: 1, up to 20 % of the filters each
>>> [stage.title for stage in STAGES if issubclass(stage, LengthStage)]
['Speed', 'Silence']
>>> [stage.title for stage in STAGES if issubclass(stage, SampleStage)]
['Prosody', 'Voice', 'Rooms', 'Noise', 'Timbre', 'Clipping', 'Transmission', 'Level']
>>> [stage.title for stage in STAGES if issubclass(stage, FeatureStage)]
['Warping', 'Time masks', 'Frequency masks']
>>> Scene(sample_rate=16000).readers
{}
"""

from speechgru.augment.feature_stages import FrequencyMasks, FrequencyWarp, TimeMasks
from speechgru.augment.sample_stages import Equalizer, Gain, Noise, Reverberation, Silence, Speed
from speechgru.augment.stage import Clip, FeatureStage, LengthStage, Reader, SampleStage, Scene, Stage
from speechgru.augment.transmission_stages import Clipping, Transmission
from speechgru.augment.voice_stages import Prosody, Voice

__all__ = [
    "STAGES",
    "Clip",
    "Clipping",
    "Equalizer",
    "FeatureStage",
    "FrequencyMasks",
    "FrequencyWarp",
    "Gain",
    "LengthStage",
    "Noise",
    "Prosody",
    "Reader",
    "Reverberation",
    "SampleStage",
    "Scene",
    "Silence",
    "Speed",
    "Stage",
    "TimeMasks",
    "Transmission",
    "Voice",
]

#: The stages in the order in which they are applied: the speaker, the room, the microphone and the line behind it, then
#: the spectrogram. The room follows the silence, so that it rings on in it; noise follows the room, so that it fills
#: the silence too.
STAGES: tuple[type[Stage], ...] = (
    Speed,
    Prosody,
    Voice,
    Silence,
    Reverberation,
    Noise,
    Equalizer,
    Clipping,
    Transmission,
    Gain,
    FrequencyWarp,
    TimeMasks,
    FrequencyMasks,
)
