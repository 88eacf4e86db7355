"""CCPD: plates whose whole label is the file name; ``augment.data.ccpd`` knows its fields.

Ours are plates, not photographs of cars: the box is the whole image, upright, its area 1000 of
1000, its vertices the image's corners, clockwise from the right bottom. Brightness is the mean
gray value, blur the variance of the Laplacian (the more, the sharper):

    0/1000-90_90-0&0_94&24-94&24_0&24_0&0_94&0-0_0_22_27_27_33_16-131-905.jpg

Plates whose names are the same lie in folders 0, 1, 2 and on.
"""

from bisect import bisect_left

import cv2
import numpy as np

from augment.data.ccpd import plate_indices
from augment.export.base import FolderExport
from augment.export.records import Record, encode_jpeg
from augment.images import decode_image

__all__ = ["CcpdWriter"]


class CcpdWriter(FolderExport):
    """Writes JPEG files with CCPD's names; a label is a Chinese plate of 7 or 8 characters."""

    layout = (
        "CCPD: the name of each file has its seven fields, the box being the whole image. Plates "
        "whose names are the same lie in folders `0`, `1` and on."
    )

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        plate_indices(label)

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        indices = plate_indices(record.label)
        name = _name(record.png, indices)
        folder = bisect_left(  # the first without such a name
            range(self.ledger.count),
            True,
            key=lambda number: not (self.partial / f"{number}/{name}").exists(),
        )
        data = encode_jpeg(record.png)
        self.ledger.enter(record, f"{folder}/{name}", data)
        self.put(f"{folder}/{name}", data)


def _name(png: bytes, indices: list[int]) -> str:
    gray = decode_image(png, channels=1)[:, :, 0]
    h, w = gray.shape
    blur = float(cv2.Laplacian(gray, cv2.CV_64F).var())
    fields = (
        "1000",
        "90_90",
        f"0&0_{w}&{h}",
        f"{w}&{h}_0&{h}_0&0_{w}&0",
        "_".join(map(str, indices)),
        f"{np.mean(gray):.0f}",
        f"{blur:.0f}",
    )
    return "-".join(fields) + ".jpg"
