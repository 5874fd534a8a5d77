"""What operations mean: every definition by the name of its operation."""

import definitions_of_losses  # noqa: F401  # enters its own
from definitions_of_layers import DEFINITIONS as DEFINITIONS
