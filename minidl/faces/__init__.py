"""Recognizing faces: data, models, training, figures.

>>> from minidl.faces import FaceRecognizer, datasets
>>> data = datasets.load("generated")
>>> recognizer = FaceRecognizer("eigen").fit(data.images[::2], data.labels[::2])
>>> recognizer.predict(data.images[1::2]).shape
(200,)
"""

from minidl.faces import datasets as datasets
from minidl.faces import errors as errors
from minidl.faces import metrics as metrics
from minidl.faces import protocol as protocol
from minidl.faces.errors import FaceError as FaceError
from minidl.faces.errors import NoFaceFound as NoFaceFound
from minidl.faces.gallery import Gallery as Gallery
from minidl.faces.identification import Match as Match
from minidl.faces.identification import Verification as Verification
from minidl.faces.normalise import normalise as normalise
from minidl.faces.photographs import Box as Box
from minidl.faces.photographs import align as align
from minidl.faces.photographs import detect as detect
from minidl.faces.photographs import faces_in as faces_in
from minidl.faces.recognizer import FaceRecognizer as FaceRecognizer
