"""Which kind a file's name stands for."""

from trunkline.inputs import audio, image

SUFFIXES = dict.fromkeys(image.SUFFIXES, image.Image.name) | dict.fromkeys(audio.SUFFIXES, audio.Audio.name)
