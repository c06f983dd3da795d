"""Which kind a file's name stands for."""

from trunkline.inputs import image

SUFFIXES = dict.fromkeys(image.SUFFIXES, image.Image.name)
