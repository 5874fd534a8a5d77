"""Seeded faults: one wrong line each, as people write them, in a rule, a kernel, a meaning or the tape itself."""

import faults_arithmetic  # noqa: F401  # each of these enters its faults
import faults_arrays  # noqa: F401
import faults_attention  # noqa: F401
import faults_losses  # noqa: F401
import faults_recurrent  # noqa: F401
import faults_tape  # noqa: F401
import faults_windows  # noqa: F401
from planting import FAULTS as FAULTS
from planting import Fault as Fault
