"""From photographs to faces: find them, align them by the eyes, judge them.

The documents also name fully convolutional and region-based detectors; the cascades of OpenCV find the upright faces
that a recognizer can use, in a tenth of a second and with nothing to download, and stay.
"""

from minidl.faces.photographs.alignment import EYES as EYES
from minidl.faces.photographs.alignment import SIZE as SIZE
from minidl.faces.photographs.alignment import Face as Face
from minidl.faces.photographs.alignment import align as align
from minidl.faces.photographs.detection import Box as Box
from minidl.faces.photographs.detection import detect as detect
from minidl.faces.photographs.quality import Quality as Quality
from minidl.faces.photographs.quality import quality as quality
from minidl.faces.photographs.whole import faces_in as faces_in
