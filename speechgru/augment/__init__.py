"""What training does to samples and to spectrograms: one stage object each, in the order of `STAGES`.

To add one: a module with its stage (`stage.SampleStage`, `stage.LengthStage` or `stage.FeatureStage`) and its entry
here. Its fields become keys of the section `augment`; training, `listen`, and the refusal of stages that precomputed
features cannot have follow from the stage itself. Importing this room loads no TensorFlow, because the configuration is
made of it: a stage imports what it computes with when it is applied.

>>> Gain(gain_db=6.0).extent
'up to 6 dB up or down'
>>> [stage.title for stage in STAGES if issubclass(stage, LengthStage)]
['Speed', 'Silence']
>>> [stage.title for stage in STAGES if issubclass(stage, SampleStage)]
['Rooms', 'Noise', 'Timbre', 'Level']
>>> [stage.title for stage in STAGES if issubclass(stage, FeatureStage)]
['Warping', 'Time masks', 'Frequency masks']
>>> Scene(sample_rate=16000).readers
{}
"""

from speechgru.augment.feature_stages import FrequencyMasks, FrequencyWarp, TimeMasks
from speechgru.augment.sample_stages import Equalizer, Gain, Noise, Reverberation, Silence, Speed
from speechgru.augment.stage import Clip, FeatureStage, LengthStage, Reader, SampleStage, Scene, Stage

__all__ = [
    "STAGES",
    "Clip",
    "Equalizer",
    "FeatureStage",
    "FrequencyMasks",
    "FrequencyWarp",
    "Gain",
    "LengthStage",
    "Noise",
    "Reader",
    "Reverberation",
    "SampleStage",
    "Scene",
    "Silence",
    "Speed",
    "Stage",
    "TimeMasks",
]

#: The stages in the order in which they are applied: the speaker, the room, the microphone, then the spectrogram. The
#: room follows the silence, so that it rings on in it; noise follows the room, so that it fills the silence too.
STAGES: tuple[type[Stage], ...] = (
    Speed,
    Silence,
    Reverberation,
    Noise,
    Equalizer,
    Gain,
    FrequencyWarp,
    TimeMasks,
    FrequencyMasks,
)
