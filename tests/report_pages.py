"""How tests read the page: its pictures, its tags and the scripts in it."""

import base64
import io
import re
import zlib
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from spectroscope.report import pictures


def decoded(picture: pictures.Picture) -> np.ndarray:
    data = base64.b64decode(picture.png)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def unpacked(text: str) -> str:
    """The Vega libraries in a page."""
    return zlib.decompress(base64.b64decode(re.search(r'const packed = "([^"]*)"', text)[1])).decode()


class Elements(HTMLParser):
    """Counts start tags, and gathers the text of JSON scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.json, self._inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._inside = ("type", "application/json") in attributes

    def handle_data(self, data):
        if self._inside:
            self.json.append(data)
            self._inside = False
