"""Makes tests/train/pictures: one picture of 8 x 8 pixels, red 30 x, green 30 y and blue 120 (or 30 x in gray), in the forms that files have;
and noise, with what torchvision makes of it: the shorter side 16, of which the middle 11 x 12.

   python pictures.py FOLDER      (needs pillow, numpy and torchvision from PyPI)"""
import sys

import numpy as np
from PIL import Image
from torchvision import transforms

folder = sys.argv[1]
y, x = np.mgrid[0:8, 0:8]
pixels = np.stack([30 * x, 30 * y, np.full((8, 8), 120)], -1).astype(np.uint8)
rgb, gray = Image.fromarray(pixels), Image.fromarray(pixels[:, :, 0])
kept = {"quality": 98, "subsampling": 0}

rgb.save(f"{folder}/rgb.png")
rgb.quantize(64).save(f"{folder}/palette.png")
rgb.save(f"{folder}/rgb.jpg", **kept)
rgb.save(f"{folder}/progressive.jpg", progressive=True, **kept)
rgb.convert("CMYK").save(f"{folder}/inks.jpg", **kept)
gray.save(f"{folder}/gray.png")
Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(f"{folder}/gray16.png")
gray.save(f"{folder}/gray.jpg", **kept)
opaque = rgb.copy()
opaque.putalpha(255)
opaque.save(f"{folder}/opaque.png")
for name, ink, alpha in (("white_ink", 255, gray), ("black_ink", 0, Image.fromarray(255 - pixels[:, :, 0]))):
    drawn = Image.new("L", (8, 8), ink)
    drawn.putalpha(alpha)
    drawn.save(f"{folder}/{name}.png")

noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (31, 47, 3), dtype=np.uint8))
noise.save(f"{folder}/noise.png")
transforms.Compose([transforms.Resize(16), transforms.CenterCrop((11, 12))])(noise).save(f"{folder}/noise_resized.png")
