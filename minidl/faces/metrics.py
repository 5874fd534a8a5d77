"""How good a recognizer is: identification (accuracy, precision, recall, CMC) and verification (ROC, EER, TAR at FAR).

Terms: a *probe* is compared with a *gallery*; a *genuine* pair shows one person, an *impostor* pair two;
FAR is the share of impostor pairs accepted, FRR that of genuine pairs refused, TAR = 1 - FRR.
A pair is accepted when its score reaches the threshold; higher scores mean more alike. Tied scores are
never told apart: they are accepted together, and a rank among ties is averaged over all orders.
"""

from __future__ import annotations

from minidl.faces.closed_set import accuracy as accuracy
from minidl.faces.closed_set import cmc as cmc
from minidl.faces.closed_set import confusion as confusion
from minidl.faces.closed_set import genuine_and_impostor as genuine_and_impostor
from minidl.faces.closed_set import precision as precision
from minidl.faces.closed_set import rank1 as rank1
from minidl.faces.closed_set import recall as recall
from minidl.faces.figures import REPORTED_FARS as REPORTED_FARS
from minidl.faces.figures import Report as Report
from minidl.faces.figures import report as report
from minidl.faces.openset import OpenSet as OpenSet
from minidl.faces.openset import open_set as open_set
from minidl.faces.reliability import Reliability as Reliability
from minidl.faces.reliability import expected_calibration_error as expected_calibration_error
from minidl.faces.reliability import reliability as reliability
from minidl.faces.roc import Roc as Roc
from minidl.faces.roc import auc as auc
from minidl.faces.roc import eer as eer
from minidl.faces.roc import roc as roc
from minidl.faces.roc import tar_at_far as tar_at_far
